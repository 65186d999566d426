"""Take the sparse points from the model that the cameras came with."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.scenes.formats.colmap_model import read_model
    from dac.scenes.points import points_from_model
    from dac.scenes.scene import Scene

    model = read_model(job.folder("model"))
    points_from_model(model, Scene.load(job.folder("scene"))).save(Path(job.output[0]))


run(main, snakemake)
