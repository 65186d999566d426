"""What the controls say of a scene: every run against the 2x baseline, and DaC's gain by stages.

All differences are paired over test views and seeds (`dac.report.statistics`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dac.errors import UserError
from dac.evaluation.records import Evaluation
from dac.report.methods import known_method
from dac.report.scene_records import SceneRecords
from dac.report.statistics import Paired, paired_records

STAGES = ("experts", "distilled", "dac")
REFERENCE = "baseline-2x"
FIRST = "baseline-1x"

# The row's name, method, whether it is a control, and the run's records.
_Run = tuple[str, str, bool, list[Evaluation]]


@dataclass(frozen=True)
class Row:
    """A run against the 2x baseline.

    Attributes:
        name: as it is printed.
        method: as records call it, or `oracle`.
        control: whether it is DaC with the division of a control.
        gain: PSNR minus the 2x baseline's; None where they share no seed.
    """

    name: str
    method: str
    control: bool
    gain: Paired | None


@dataclass(frozen=True)
class Waterfall:
    """How DaC's PSNR comes about, from the 1x baseline's on, over the seeds that all stages share.

    Attributes:
        mode: of the conquer phase.
        stages: what the routed experts add to the 1x baseline, distillation to the experts, and
            fine-tuning to the distilled model; the means add up.
        sectors: (K, 3) PSNR after each stage minus the 1x baseline's on the test views of each
            sector, dB; NaN where it has none.
        twice: the 2x baseline's PSNR minus the 1x's, dB; NaN where it shares no seed.
    """

    mode: str
    stages: list[Paired]
    sectors: NDArray[np.float64]
    twice: float


def division_of(scene: SceneRecords) -> tuple[str, int]:
    """Division and K of the scene's routed experts; ("", 0) where none were scored.

    Raises:
        UserError: there are several.
    """
    found = {(label.division or "", label.K or 0) for label in scene.select("experts")}
    if len(found) > 1:
        what = "has routed experts of several divisions"
        raise UserError(f"scene {scene.scene}", what, "say which is meant")
    return found.pop() if found else ("", 0)


def rows_of(scene: SceneRecords, division: str, K: int) -> list[Row]:
    """The runs that a scene has, in the order of the figure.

    Args:
        scene: its records.
        division, K: of DaC; runs of other divisions than these and the controls' are left out.

    Raises:
        UserError: there is not one 2x baseline; two runs of one kind; the experts' record lacks the
            single experts' scores.
    """
    reference = _records(scene, REFERENCE)
    if not reference:
        what = "has no record of the 2x baseline, which all others are compared with"
        raise UserError(f"scene {scene.scene}", what, "evaluate it")
    experts = _records(scene, "experts", division=division, K=K)
    runs = [
        *_baselines(scene),
        ("restart", "restart", False, _records(scene, "restart")),
        (f"{K} experts, routed", "experts", False, experts),
        (f"{K} experts, oracle", "oracle", False, [oracle(record) for record in experts]),
        *_conquered(scene, division, K),
    ]
    return [
        Row(name, method, control, paired_records(records, reference))
        for name, method, control, records in runs
        if records
    ]


def _baselines(scene: SceneRecords) -> Iterator[_Run]:
    """Baselines of other lengths than the 2x, the shortest first."""
    labels = [x for x in scene.runs if known_method(x.method) in (FIRST, "baseline")]
    for label in sorted(labels, key=lambda label: label.steps):
        times = float(label.method.removeprefix("baseline-").removesuffix("x"))
        yield f"baseline {times:.3g}x", label.method, False, scene.runs[label]


def _conquered(scene: SceneRecords, division: str, K: int) -> Iterator[_Run]:
    """What distillation made, mode by mode, the controls before DaC itself."""
    modes = _modes(scene)
    for name, method, groups, count, control in (
        ("distilled", "distilled", division, K, False),
        ("DaC, K = 1", "dac", "single", 1, True),
        (f"DaC, random, K = {K}", "dac", "random", K, True),
        (f"DaC, {division}, K = {K}", "dac", division, K, False),
    ):
        if control and groups == division:
            continue  # it is what the last line names
        for mode in modes:
            full = f"{name}, {mode}" if len(modes) > 1 else name
            records = _records(scene, method, division=groups, K=count, mode=mode)
            yield full, method, control, records


def oracle(record: Evaluation) -> Evaluation:
    """A record of routed experts, each view's PSNR replaced by that of the view's best expert.

    The experts were scored on a grid of pixels (`expert_stride`), the view on all: what is taken
    from the grid is how far the best expert is ahead of the routed one.

    Raises:
        UserError: the record lacks the single experts' scores.
    """
    images = []
    for image in record.images:
        scores = image.expert_psnr or ()
        if image.group is None or not 0 <= image.group < len(scores):
            what = "a record of experts lacks the single experts' scores"
            raise UserError(f"scene {record.scene}", what, "run its evaluation again")
        ahead = max(scores) - scores[image.group]
        images.append(replace(image, psnr=image.psnr + ahead))
    return replace(record, images=tuple(images))


def strides(scene: SceneRecords, division: str, K: int) -> set[int]:
    """Pixel strides that the oracle rests on."""
    records = _records(scene, "experts", division=division, K=K)
    return {record.settings.get("evaluate", {}).get("expert_stride", 1) for record in records}


def waterfalls(scene: SceneRecords, division: str, K: int) -> list[Waterfall]:
    """One a mode, where the 1x baseline, experts, distilled and fine-tuned model share a seed.

    Raises:
        UserError: two runs of one kind.
    """
    found = []
    for mode in _modes(scene):
        runs = [
            _records(scene, FIRST),
            _records(scene, "experts", division=division, K=K),
            _records(scene, "distilled", division=division, K=K, mode=mode),
            _records(scene, "dac", division=division, K=K, mode=mode),
        ]
        seeds = set.intersection(*({record.label.seed for record in run} for run in runs))
        if seeds:
            shared = [[r for r in run if r.label.seed in seeds] for run in runs]
            found.append(_waterfall(mode, shared, K, _twice(scene, shared[0])))
    return found


def _waterfall(mode: str, runs: Sequence[Sequence[Evaluation]], K: int, twice: float) -> Waterfall:
    stages = [paired_records(after, before) for before, after in pairwise(runs)]
    owner = np.array([image.group for image in runs[1][0].images])
    # Views are in one order in all records; see `load_scene_records`.
    psnr = np.array([np.mean([_scores(record) for record in run], axis=0) for run in runs])
    sectors = np.full((K, len(STAGES)), np.nan)
    for sector in np.unique(owner):
        sectors[sector] = (psnr[1:, owner == sector] - psnr[0, owner == sector]).mean(axis=1)
    return Waterfall(mode, [stage for stage in stages if stage is not None], sectors, twice)


def _scores(record: Evaluation) -> list[float]:
    return [image.psnr for image in record.images]


def _twice(scene: SceneRecords, first: Sequence[Evaluation]) -> float:
    gain = paired_records(_records(scene, REFERENCE), first)
    return float("nan") if gain is None else gain.mean


def _modes(scene: SceneRecords) -> list[str]:
    return sorted({label.mode for label in scene.runs if label.mode is not None})


def _records(scene: SceneRecords, method: str, **wanted: str | int | None) -> list[Evaluation]:
    """The records of a run, one a seed; none where there is no such run.

    Raises:
        UserError: there are several.
    """
    labels = scene.select(method, **wanted)
    if len(labels) > 1:
        what = " ".join([method, *(str(value) for value in wanted.values())])
        raise UserError(f"scene {scene.scene}", f"has two runs of {what}", "give one of them")
    return scene.runs[labels[0]] if labels else []
