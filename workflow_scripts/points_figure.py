"""Draw PSNR on the sparse points of a scene."""

from _figure import draw_with

from _job import Job, run


def main(job: Job) -> None:
    from dac.report.figures.points import draw

    draw_with(draw, job, {})


run(main, snakemake)
