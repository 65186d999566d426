"""Find sparse points with the cameras kept as they are."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.scenes.points import triangulate
    from dac.scenes.scene import Scene
    from dac.settings import PointsSettings

    points = triangulate(
        Scene.load(job.folder("scene")),
        job.section("points", PointsSettings),
        Path(job.params.work),
    )
    points.save(Path(job.output[0]))


run(main, snakemake)
