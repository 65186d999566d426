"""Make one model of the specialists that keeps them all."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.conquer.route import route
    from dac.settings import SpecialistSettings

    route(
        job.folder("scene"),
        Path(job.input.partition),
        job.folders("experts"),
        job.section("specialists", SpecialistSettings),
        generalist=next(iter(job.folders("generalist")), None),
        out=job.out,
    )


run(main, snakemake)
