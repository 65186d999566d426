"""Find sparse points with the cameras kept as they are."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.scenes.points import triangulate_scene
    from dac.settings import PointsSettings

    triangulate_scene(
        job.folder("scene"),
        job.section("points", PointsSettings),
        job.out,
        Path(job.params.work),
    )


run(main, snakemake)
