"""Make a data set of the views that were rendered of a .blend file."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.scenes.photos.blend import assemble

    assemble(job.folders("cameras"), job.out, Path(job.params.work))


run(main, snakemake)
