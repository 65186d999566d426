"""Draw the loss terms of every phase."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.report.losses_figure import losses_figure
    from dac.report.runs import SceneRuns

    runs = SceneRuns(
        scene=job.wildcards.scene,
        baseline_1x=job.folder("baseline_1x"),
        baseline_2x=job.folder("baseline_2x"),
        experts=job.folders("experts"),
        distill=job.folder("distill"),
        finetune=job.folder("finetune"),
    )
    losses_figure(runs, Path(job.output.png), Path(job.output.pdf))


run(main, snakemake)
