"""Draw test PSNR over training steps."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.report.budget_figure import budget_figure

    records = [Path(record) for record in job.input.records]
    csv, png, pdf = (Path(job.output[kind]) for kind in ("csv", "png", "pdf"))
    budget_figure(records, csv, png, pdf)


run(main, snakemake)
