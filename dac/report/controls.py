"""The controls: DaC's rivals and its own stages on one scene, picked from evaluation records.

Notation: DaC is the model of the configured division into K groups. Its rivals are the baselines
(1x, 2x, as many steps as DaC in all), the baseline whose learning rate starts again, and DaC of
K = 1 and of a random division. Its stages are the routed experts and the distilled student before
fine-tuning, which its rivals have too: what a student of K = 1 loses isn't lost between experts.
The oracle renders each test view by its best expert, which it learns from the test view itself: a
bound, not a method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dac.errors import UserError
from dac.evaluation.records import ImageScore
from dac.report.methods import known_method
from dac.report.rows import Row, SceneRows, load_scenes, only
from dac.report.text import one_line

EQUAL_STEPS = 0.01  # relative; what rounding to whole steps may leave


@dataclass(frozen=True)
class Controls:
    """One scene, model and mode; None for what has no record, or no one record of that kind.

    Attributes:
        scene, model: their names.
        division, K: the configured division, which DaC's is.
        mode: of the conquer phase, which DaC and its controls share.
        rows: all that the table shows, of every mode, in its order.
        once, twice: the 1x and 2x baselines.
        equal: a baseline of as many steps as DaC in all.
        restart: the baseline whose learning rate starts again.
        experts: routed.
        distilled: the student before fine-tuning.
        lone_student: the same of K = 1, whose one expert is the 1x baseline.
        random_student: the same of a random division.
        single: DaC of K = 1.
        random: DaC of a random division into as many groups.
        dac: DaC of the configured division.
    """

    scene: str
    model: str
    division: str
    K: int
    mode: str | None
    rows: list[Row]
    once: Row | None
    twice: Row | None
    equal: Row | None
    restart: Row | None
    experts: Row | None
    distilled: Row | None
    lone_student: Row | None
    random_student: Row | None
    single: Row | None
    random: Row | None
    dac: Row | None


def controls(records: Sequence[Path], divisions: Mapping[str, Sequence[Any]]) -> list[Controls]:
    """Pick the controls of every scene and model, mode by mode of DaC in its configured division.

    Args:
        records: `evaluation.json` files, or the folders that hold them.
        divisions: scene -> the configured division and its K.

    Raises:
        UserError: no record, a damaged one, two of the same run; a scene has no configured
            division, or two runs of DaC in it.
    """
    found = []
    for scene in load_scenes(records):
        if scene.scene not in divisions:
            what = "has records, but no configured division"
            raise UserError(f"scene {one_line(scene.scene)}", what, "configure the scene")
        division, K = divisions[scene.scene]
        rows = scene.select("dac", division=division, K=K)
        modes = sorted({row.label.mode for row in rows if row.label.mode is not None})
        found += [controls_of(scene, division, K, mode) for mode in (modes or (None,))]
    return found


def controls_of(scene: SceneRows, division: str, K: int, mode: str | None = None) -> Controls:
    """Pick the controls of one scene and model; without a mode, that of DaC's first record."""
    every = scene.select("dac", division=division, K=K)
    mode = every[0].label.mode if mode is None and every else mode
    ours = [row for row in every if row.label.mode == mode]
    if len(ours) > 1:
        what = f"two runs of DaC in the division {division}-{K}"
        raise UserError(f"scene {one_line(scene.scene)}", what, "give the records of one schedule")
    dac = only(ours)
    students = scene.select("distilled", division=division, K=K)
    experts = only(scene.select("experts", division=division, K=K))
    lone, chance = ("single", "random")

    def rivals(method: str) -> tuple[list[Row], list[Row]]:
        singles = [] if division == lone else scene.select(method, division=lone)
        return singles, [] if division == chance else scene.select(method, division=chance, K=K)

    singles, randoms = rivals("dac")
    lone_students, random_students = rivals("distilled")
    baselines = [row for row in scene.rows if known_method(row.label.method).startswith("baseline")]
    restarts = scene.select("restart")
    bound = None if experts is None else oracle(experts)
    stages = [row for row in (experts, bound) if row is not None]
    return Controls(
        scene=scene.scene,
        model=scene.model,
        division=division,
        K=K,
        mode=mode,
        rows=[
            *(*baselines, *restarts, *stages),
            *(*lone_students, *random_students, *students),
            *(*singles, *randoms, *every),
        ],
        once=only(scene.select("baseline-1x")),
        twice=only(scene.select("baseline-2x")),
        equal=None if dac is None else only([row for row in baselines if _equal_steps(row, dac)]),
        restart=only(restarts),
        experts=experts,
        distilled=_student(students, dac),
        lone_student=_student(lone_students, dac),
        random_student=_student(random_students, dac),
        single=only([row for row in singles if row.label.mode == mode]),
        random=only([row for row in randoms if row.label.mode == mode]),
        dac=dac,
    )


def _equal_steps(row: Row, dac: Row) -> bool:
    """Whether a baseline has as many steps as DaC has in all."""
    steps = dac.cost["total_steps"]
    return abs(row.cost["total_steps"] - steps) <= EQUAL_STEPS * steps


def _student(students: Sequence[Row], dac: Row | None) -> Row | None:
    """The one that DaC was fine-tuned from, or that of a rival; None without DaC."""
    return None if dac is None else only([row for row in students if _before(row, dac)])


def _before(student: Row, dac: Row) -> bool:
    """Whether DaC was fine-tuned from this student or one like it; its record may not say."""
    steps = dac.label.distill_steps
    return student.label.mode == dac.label.mode and steps in (None, student.label.steps)


def oracle(experts: Row) -> Row | None:
    """The row of each view's best expert, which has a PSNR alone.

    On others' views, experts may be scored on a grid of pixels. By how much the best expert is
    ahead of the view's own is taken from that grid, and added to the own expert's PSNR.

    Returns:
        None if a record lacks the experts' scores.
    """
    scores: dict[int, dict[str, float]] = {}
    for run in experts.runs:
        best = {image.name: _best_expert(image) for image in run.images}
        known = {name: psnr for name, psnr in best.items() if psnr is not None}
        if len(known) < len(best):
            return None
        scores[run.label.seed] = known
    means = tuple(float(np.mean(list(views.values()))) for views in scores.values())
    nothing = (None,) * len(means)
    return replace(
        experts,
        label=replace(experts.label, method="oracle"),
        scores=scores,
        metrics={"psnr": means, "ssim": nothing, "ms_ssim": nothing},
    )


def _best_expert(image: ImageScore) -> float | None:
    every = image.expert_psnr
    if not every or image.group is None or not 0 <= image.group < len(every):
        return None
    return image.psnr + max(every) - every[image.group]
