"""Write the main table."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.report.tables import write_main_table

    records = [Path(record) for record in job.input.records]
    csv, md, tex, html = (Path(job.output[kind]) for kind in ("csv", "md", "tex", "html"))
    write_main_table(records, csv, md, tex, html, paper=job.value("paper_values"))


run(main, snakemake)
