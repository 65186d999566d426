"""Draw what overlapping sectors bring."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.report.overlap_figure import overlap_figure

    records = [Path(record) for record in job.input.records]
    overlap_figure(records, None, Path(job.output.png), Path(job.output.pdf))


run(main, snakemake)
