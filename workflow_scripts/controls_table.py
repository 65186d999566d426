"""Write the table of the controls, and what they say."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.report.controls_table import write_controls_table

    records = [Path(record) for record in job.input.records]
    csv, md, tex, html = (Path(job.output[kind]) for kind in ("csv", "md", "tex", "html"))
    divisions = {scene: (division, K) for scene, (division, K) in job.value("divisions").items()}
    write_controls_table(records, csv, md, tex, html, divisions)


run(main, snakemake)
