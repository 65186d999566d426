"""Merge the specialists into one model: their mean."""

from _job import Job, run


def main(job: Job) -> None:
    from dac.conquer.merge import merge

    merge(job.folders("experts"), out=job.out)


run(main, snakemake)
