"""The runs of a scene, as the figures of training curves take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from _job import Job

if TYPE_CHECKING:
    from dac.report.runs import SceneRuns


def scene_runs(job: Job) -> SceneRuns:
    """The folders that the job's inputs lie in."""
    from dac.report.runs import SceneRuns

    return SceneRuns(
        scene=job.wildcards.scene,
        baseline_1x=job.folder("baseline_1x"),
        baseline_2x=job.folder("baseline_2x"),
        experts=job.folders("experts"),
        distill=job.folder("distill"),
        finetune=job.folder("finetune"),
    )
