"""Train one expert on the views of one group."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.settings import ModelSettings, TrainSettings
    from dac.training.expert import train_expert

    train_expert(
        job.folder("scene"),
        Path(job.input.partition),
        int(job.wildcards.group),
        job.section("model", ModelSettings),
        job.section("train", TrainSettings),
        seed=int(job.wildcards.seed),
        out=job.out,
        state=Path(job.params.state),
    )


run(main, snakemake)
