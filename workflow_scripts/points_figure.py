"""Draw PSNR on the sparse points of a scene."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.report.points_figure import points_figure

    points_figure(
        job.folder("scene"),
        Path(job.input.points),
        job.folder("baseline"),
        job.folder("ours"),
        Path(job.output.png),
        Path(job.output.pdf),
    )


run(main, snakemake)
