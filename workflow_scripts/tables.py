"""Write the main table."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.report.tables import write_main_table

    records = [Path(record) for record in job.input.records]
    csv, md, tex = (Path(job.output[kind]) for kind in ("csv", "md", "tex"))
    write_main_table(records, csv, md, tex)


run(main, snakemake)
