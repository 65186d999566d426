"""Draw renders of all scenes beside the truth."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.report.qualitative_figure import Comparison, qualitative_figure
    from dac.settings import ReportSettings

    settings = job.section("report", ReportSettings)
    folders = zip(job.folders("scenes"), job.folders("baselines"), job.folders("ours"), strict=True)
    comparisons = [Comparison(*three) for three in folders]
    png, pdf = Path(job.output.png), Path(job.output.pdf)
    qualitative_figure(comparisons, settings.crops, png, pdf, dpi=settings.dpi)


run(main, snakemake)
