"""Find cameras and points from photos."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.scenes.sfm import run_sfm
    from dac.settings import SfmSettings

    run_sfm(
        Path(job.value("path")),
        job.section("sfm", SfmSettings),
        job.out,
        Path(job.params.work),
        threads=job.threads,
        exclude=job.value("exclude"),
    )


run(main, snakemake)
