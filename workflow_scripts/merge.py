"""Merge the specialists into one model."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.conquer.merge import merge
    from dac.settings import FinetuneSettings, TrainSettings

    merge(
        job.folder("scene"),
        job.folders("experts"),
        job.section("train", TrainSettings),
        job.section("finetune", FinetuneSettings, steps=int(job.wildcards.steps), start="fresh"),
        seed=int(job.wildcards.seed),
        out=job.out,
        state=Path(job.params.state),
    )


run(main, snakemake)
