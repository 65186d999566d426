"""Draw the experts against the baseline."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.report.experts_figure import experts_figure

    png, pdf = Path(job.output.png), Path(job.output.pdf)
    experts_figure(job.folder("experts"), job.folder("baseline"), png, pdf)


run(main, snakemake)
