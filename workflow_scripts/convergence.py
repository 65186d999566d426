"""Draw held-out PSNR over steps and seconds."""

from _runs import scene_runs

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.report.convergence_figure import convergence_figure

    convergence_figure(scene_runs(job), Path(job.output.png), Path(job.output.pdf))


run(main, snakemake)
