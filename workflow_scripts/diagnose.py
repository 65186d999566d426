"""Measure a partition and draw it."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.divide.covisibility import load_covisibility
    from dac.divide.diagnostics import diagnose
    from dac.divide.partition import Partition
    from dac.report.figures.partition import partition_figure
    from dac.scenes.points import Points
    from dac.scenes.scene import Scene
    from dac.storage.artifacts import write_json

    scene = Scene.load(job.folder("scene"))
    partition = Partition.load(Path(job.input.partition))
    points = Points.load(Path(job.input.points))
    covisible = load_covisibility(Path(job.input.covisibility))
    write_json(Path(job.output.json), diagnose(scene, partition, points, covisible))
    partition_figure(scene, partition, points, Path(job.output.png), Path(job.output.pdf))


run(main, snakemake)
