"""Distil the experts into one model."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.conquer.distill import distill
    from dac.settings import DistillSettings, ModelSettings, TrainSettings

    init = job.folders("init")
    distill(
        job.folder("scene"),
        Path(job.input.partition),
        job.folders("experts"),
        job.section("model", ModelSettings),
        job.section("train", TrainSettings),
        job.section("distill", DistillSettings, steps=int(job.wildcards.steps)),
        mode=job.wildcards.get("mode", "corrected"),
        seed=int(job.wildcards.seed),
        out=job.out,
        state=Path(job.params.state),
        init=init[0] if init else None,
    )


run(main, snakemake)
