"""Train one model on all views."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.settings import ModelSettings, TrainSettings
    from dac.training.baseline import train_baseline

    steps = int(job.wildcards.steps)
    earlier = job.folders("init")
    train_baseline(
        job.folder("scene"),
        job.section("model", ModelSettings),
        job.section("train", TrainSettings, steps=steps),
        steps=steps,
        seed=int(job.wildcards.seed),
        out=job.out,
        state=Path(job.params.state),
        init=earlier[0] if earlier else None,
    )


run(main, snakemake)
