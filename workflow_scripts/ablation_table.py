"""Write the table of a study that varies one thing."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.report.ablation_tables import write_ablation_table

    records = [Path(record) for record in job.input.records]
    csv, md, tex, html = (Path(job.output[kind]) for kind in ("csv", "md", "tex", "html"))
    paper = job.value("paper_values")
    write_ablation_table(job.wildcards.study, records, csv, md, tex, html, paper=paper)


run(main, snakemake)
