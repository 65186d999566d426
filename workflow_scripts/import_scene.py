"""Turn a data set into the arrays that training reads."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.scenes.importer import import_scene
    from dac.settings import SceneSettings

    models = job.folders("sfm")
    scene = import_scene(
        Path(job.settings["path"]),
        job.settings["format"],
        job.section("scene", SceneSettings),
        name=job.wildcards.scene,
        sfm_model=models[0] if models else None,
        work=job.out.parent,
    )
    scene.save(job.out)


run(main, snakemake)
