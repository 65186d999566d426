"""Train a baseline or a merged model on with a new learning rate, as DaC's fine-tuning does."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.settings import FinetuneSettings, TrainSettings
    from dac.training.finetune import finetune

    steps = int(job.wildcards.steps)
    finetune(
        job.folder("scene"),
        job.folder("student"),
        job.section("train", TrainSettings),
        job.section("finetune", FinetuneSettings, steps=steps, start="fresh"),
        distill=None,
        seed=int(job.wildcards.seed),
        out=job.out,
        state=Path(job.params.state),
    )


run(main, snakemake)
