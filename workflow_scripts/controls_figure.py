"""Draw every control against the 2x baseline."""

from _figure import draw_with

from _job import Job, run


def main(job: Job) -> None:
    from dac.report.figures.controls import draw

    draw_with(draw, job, {})


run(main, snakemake)
