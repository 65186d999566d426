"""Score one model on the test views."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.evaluation.evaluate import evaluate_model
    from dac.settings import EvaluateSettings

    evaluate_model(
        job.folder("scene"),
        job.folder("run"),
        job.section("evaluate", EvaluateSettings),
        job.params.label,
        job.out,
        state=Path(job.params.state),
        earlier=job.folders("earlier"),
        side_by_side=job.folders("experts"),
        generalist=next(iter(job.folders("generalist")), None),
    )


run(main, snakemake)
