"""Draw the loss terms of every phase."""

from _figure import draw_with

from _job import Job, run


def main(job: Job) -> None:
    from dac.report.figures.losses import draw

    draw_with(draw, job, {})


run(main, snakemake)
