"""Score the experts together, each test view by the expert that owns it."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.evaluation.evaluate import evaluate_experts
    from dac.settings import EvaluateSettings

    evaluate_experts(
        job.folder("scene"),
        Path(job.input.partition),
        job.folders("experts"),
        job.section("evaluate", EvaluateSettings),
        job.params.label,
        job.out,
        state=Path(job.params.state),
    )


run(main, snakemake)
