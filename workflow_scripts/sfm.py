"""Find cameras and points from photos."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.scenes.sfm.reconstruct import run_sfm
    from dac.scenes.views import read_names
    from dac.settings import SfmSettings

    exclude, masks = job.settings["exclude"], job.settings["masks"]
    run_sfm(
        Path(job.settings["path"]),
        job.section("sfm", SfmSettings),
        job.out,
        Path(job.params.work),
        threads=job.threads,
        exclude=read_names(Path(exclude)) if exclude else [],
        masks=Path(masks) if masks else None,
    )


run(main, snakemake)
