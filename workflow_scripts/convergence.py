"""Draw held-out PSNR over steps and seconds."""

from _figure import draw_with

from _job import Job, run


def main(job: Job) -> None:
    from dac.report.figures.convergence import draw

    draw_with(draw, job, {})


run(main, snakemake)
