"""Write the main table."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.report.tables import write_main_table

    records = [Path(record) for record in job.input.records]
    write_main_table(records, *(Path(file) for file in job.output))


run(main, snakemake)
