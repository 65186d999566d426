"""Write a study's table, by the module that its stage names."""

from _job import Job, run


def main(job: Job) -> None:
    from importlib import import_module

    write = import_module(job.module).write
    write(job.inputs["records"], job.outputs, job.settings, job.params.study)


run(main, snakemake)
