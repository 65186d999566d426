"""Draw a figure, by the module that its stage names."""

from _job import Job, run


def main(job: Job) -> None:
    from importlib import import_module

    draw = import_module(job.module).draw
    draw(job.inputs, job.outputs, job.settings, dict(job.wildcards.items()))


run(main, snakemake)
