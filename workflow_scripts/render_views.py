"""Render some views of a .blend file."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.scenes.photos.blend import Chunk, render_chunk
    from dac.settings import RenderSettings
    from dac.storage.artifacts import read_json

    wildcards = job.wildcards
    render_chunk(
        Path(job.input.blend),
        job.section("render", RenderSettings),
        Chunk(wildcards.part, int(wildcards.first), int(wildcards.last)),
        job.out,
        Path(job.params.work),
        executable=read_json(Path(job.input.program))["settings"]["executable"],
        threads=job.threads,
        label=f"{wildcards.scene} {wildcards.part} views",
    )


run(main, snakemake)
