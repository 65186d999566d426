"""Write the table of the controls, and what they say."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.report.tables.controls import write

    records = [Path(record) for record in job.input.records]
    outputs = {kind: Path(file) for kind, file in job.output.items()}
    write(records, outputs, {"divisions": job.value("divisions")}, "controls")


run(main, snakemake)
