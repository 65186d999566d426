"""Divide the training views into K groups."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.divide.covisibility import load_covisibility
    from dac.divide.divide import partition_scene
    from dac.scenes.scene import Scene
    from dac.settings import DivideSettings

    covisible = job.inputs["covisibility"]
    partition = partition_scene(
        Scene.load(job.folder("scene")),
        job.wildcards.division,
        int(job.wildcards.K),
        job.section("divide", DivideSettings),
        load_covisibility(covisible[0]) if covisible else None,
    )
    partition.save(Path(job.output[0]))


run(main, snakemake)
