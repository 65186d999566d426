"""Draw renders of all scenes beside the truth."""

from _figure import draw_with

from _job import Job, run


def main(job: Job) -> None:
    from dac.report.figures.qualitative import draw

    draw_with(draw, job, {"report": job.value("report")})


run(main, snakemake)
