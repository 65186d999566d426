"""Draw every control against the 2x baseline."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.report.controls_figure import controls_figure

    records = [Path(record) for record in job.input.records]
    controls_figure(records, None, None, Path(job.output.png), Path(job.output.pdf))


run(main, snakemake)
