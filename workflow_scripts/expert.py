"""Train one expert on the views of one group: anew, or from the trunk."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.settings import ModelSettings, TrainSettings
    from dac.training.expert import train_expert

    horizon, trunk = job.wildcards.get("horizon"), job.folders("trunk")
    in_path = {} if horizon is None else {"steps": int(horizon)}
    train_expert(
        job.folder("scene"),
        Path(job.input.partition),
        int(job.wildcards.group),
        job.section("model", ModelSettings),
        job.section("train", TrainSettings, **in_path),
        seed=int(job.wildcards.seed),
        out=job.out,
        state=Path(job.params.state),
        trunk=trunk[0] if trunk else None,
    )


run(main, snakemake)
