"""Count the points that each pair of views shares."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.divide.covisibility import covisibility, save_covisibility
    from dac.scenes.points import Points
    from dac.scenes.scene import Scene

    points = Points.load(Path(job.input.points))
    scene = Scene.load(job.folder("scene"))
    matrix = covisibility(points.offsets, points.views, len(scene.names))
    save_covisibility(Path(job.output[0]), matrix)


run(main, snakemake)
