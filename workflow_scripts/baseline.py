"""Train one model on all views: a baseline, the trunk of the specialists, or a control."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.settings import ModelSettings, TrainSettings
    from dac.training.baseline import train_baseline, wider

    run = job.params.run
    model = job.section("model", ModelSettings)
    train = job.section("train", TrainSettings, steps=run["steps"])
    earlier = job.folders("init")
    train_baseline(
        job.folder("scene"),
        wider(model, run["parameters"]),
        train.model_copy(update={"rays": run["rays"] * train.rays}),
        steps=run["steps"],
        horizon=run["horizon"],
        seed=int(job.wildcards.seed),
        out=job.out,
        state=Path(job.params.state),
        init=earlier[0] if earlier else None,
    )


run(main, snakemake)
