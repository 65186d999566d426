"""Draw test PSNR over training steps."""

from _figure import draw_with

from _job import Job, run


def main(job: Job) -> None:
    from dac.report.figures.convergence_study import draw

    draw_with(draw, job, {})


run(main, snakemake)
