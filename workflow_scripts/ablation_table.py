"""Write the table of a study that varies one thing."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.report.tables.ablation import write

    records = [Path(record) for record in job.input.records]
    outputs = {kind: Path(file) for kind, file in job.output.items()}
    write(records, outputs, {"paper_values": job.value("paper_values")}, job.wildcards.study)


run(main, snakemake)
