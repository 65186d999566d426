"""Draw the loss terms of every phase."""

from _runs import scene_runs

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.report.losses_figure import losses_figure

    losses_figure(scene_runs(job), Path(job.output.png), Path(job.output.pdf))


run(main, snakemake)
