"""Draw held-out PSNR over steps and seconds."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.report.convergence_figure import convergence_figure
    from dac.report.runs import SceneRuns

    runs = SceneRuns(
        scene=job.wildcards.scene,
        baseline_1x=job.folder("baseline_1x"),
        baseline_2x=job.folder("baseline_2x"),
        experts=job.folders("experts"),
        distill=job.folder("distill"),
        finetune=job.folder("finetune"),
    )
    convergence_figure(runs, Path(job.output.png), Path(job.output.pdf))


run(main, snakemake)
