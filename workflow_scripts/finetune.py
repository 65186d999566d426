"""Fine-tune the distilled model on the images."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.settings import DistillSettings, FinetuneSettings, TrainSettings
    from dac.training.finetune import finetune

    wildcards = job.wildcards
    finetune(
        job.folder("scene"),
        job.folder("student"),
        job.section("train", TrainSettings),
        job.section("finetune", FinetuneSettings, steps=int(wildcards.steps)),
        distill=job.section("distill", DistillSettings, steps=int(wildcards.earlier)),
        seed=int(wildcards.seed),
        out=job.out,
        state=Path(job.params.state),
    )


run(main, snakemake)
