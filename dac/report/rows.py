"""Rows of the tables and figures: runs that differ only in their seed, from evaluation records.

A row's numbers are means over its seeds, with sample standard deviations where there are several.
Two rows are compared view by view and seed by seed (`statistics.py`); without the 2x baseline's
gain over 1x, no difference can be read (`notes.py`).

A row's *path* is the longest chain of training steps that it ends, with the experts side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dac.errors import UserError
from dac.evaluation.records import Evaluation, Label
from dac.report.methods import (
    REFERENCES,
    is_baseline,
    known_method,
    method_name,
    method_rank,
    model_name,
)
from dac.report.statistics import Paired, ViewScores, aligned, paired
from dac.report.text import for_figure, one_line

METRICS = ("psnr", "ssim", "ms_ssim")
DECIMALS = {"psnr": 2, "ssim": 3, "ms_ssim": 3}
SEVERAL_MODELS = ("experts", "oracle")  # which stand out of the contest for the best


@dataclass(frozen=True)
class Row:
    """Runs that differ only in their seed.

    Attributes:
        scene: its name.
        label: what was scored; its seed is the first run's.
        runs: one record a seed, by ascending seed.
        scores: seed -> view -> PSNR, dB.
        metrics: metric -> one value a run; None where it doesn't exist.
    """

    scene: str
    label: Label
    runs: tuple[Evaluation, ...]
    scores: ViewScores
    metrics: Mapping[str, tuple[float | None, ...]]

    @classmethod
    def of(cls, runs: Sequence[Evaluation]) -> Row:
        """The row of these runs."""
        metrics = {metric: tuple(getattr(r.mean, metric) for r in runs) for metric in METRICS}
        scores = {run.label.seed: {view.name: view.psnr for view in run.images} for run in runs}
        return cls(runs[0].scene, runs[0].label, tuple(runs), scores, metrics)

    @property
    def psnr(self) -> NDArray[np.float64]:
        """(S,) each seed's mean over the views, dB."""
        return np.array(self.metrics["psnr"], np.float64)

    def mean(self, metric: str) -> float | None:
        """Over the seeds; None if a seed lacks it."""
        values = self._values(metric)
        return None if values is None else float(np.mean(values))

    def spread(self, metric: str) -> float | None:
        """Sample standard deviation over the seeds; None of one seed, which has none."""
        values = self._values(metric)
        return None if values is None or len(values) < 2 else float(np.std(values, ddof=1))

    def _values(self, metric: str) -> list[float] | None:
        values = [value for value in self.metrics[metric] if value is not None]
        return values if len(values) == len(self.runs) else None

    @cached_property
    def cost(self) -> dict[str, float]:
        """Steps, memory and parameters are the most of any seed; times are means."""
        costs = [run.cost for run in self.runs]
        times = ("training_seconds", "longest_path_seconds", "rays_per_second")
        return {
            "total_steps": max(cost.training_steps for cost in costs),
            **{name: float(np.mean([getattr(cost, name) for cost in costs])) for name in times},
            "parameters": max(run.parameters for run in self.runs),
            "memory_bytes": max(cost.memory_bytes for cost in costs),
        }

    @property
    def path_steps(self) -> int | None:
        """Of its path, the most of any seed; None if a record lacks it."""
        steps = [run.cost.longest_path_steps for run in self.runs]
        known = [count for count in steps if count is not None]
        return max(known) if len(known) == len(steps) else None

    @property
    def model_bytes(self) -> int | None:
        """Of the file of weights, the most of any seed; None if a record lacks it."""
        sizes = [run.model_bytes for run in self.runs]
        known = [size for size in sizes if size is not None]
        return max(known) if len(known) == len(sizes) else None

    def differences(self, other: Row) -> NDArray[np.float64] | None:
        """(S, V) PSNR over another row's on what both score, dB; None where they share no seed.

        Raises:
            UserError: they share no view.
        """
        both = aligned((self.scores, other.scores), f"scene {one_line(self.scene)}")
        return None if both is None else both[1][0] - both[1][1]

    def minus(self, other: Row) -> Paired | None:
        """As `differences`, their mean and its interval."""
        differences = self.differences(other)
        return None if differences is None else paired([differences])


@dataclass(frozen=True)
class SceneRows:
    """The rows of one scene and model.

    Attributes:
        scene, model: their names.
        several_models: whether other records are of another model.
        rows: in the order of the tables.
    """

    scene: str
    model: str
    several_models: bool
    rows: list[Row]

    @property
    def title(self) -> str:
        """For matplotlib."""
        text = f"{self.scene}, {model_name(self.model)}" if self.several_models else self.scene
        return for_figure(text, 30)

    def select(self, method: str, **wanted: str | int | None) -> list[Row]:
        """The rows of a method, e.g. `select("dac", division="random", K=4)`."""
        return select(self.rows, method, **wanted)


def load_scenes(records: Sequence[Path]) -> list[SceneRows]:
    """As `load_rows`, by scene and model."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in load_rows(records):
        groups.setdefault((row.scene, row.label.model), []).append(row)
    several = len({model for _, model in groups}) > 1
    return [SceneRows(scene, model, several, rows) for (scene, model), rows in groups.items()]


def load_rows(records: Sequence[Path]) -> list[Row]:
    """Rows in the order of the tables: scenes as they come first, then model, method and steps.

    Args:
        records: `evaluation.json` files, or the folders that hold them.

    Raises:
        UserError: no record, a damaged one, or two of the same run.
    """
    if not records:
        raise UserError("report", "no evaluation record is given", "run an evaluation first")
    groups: dict[tuple[str, Label], dict[int, Evaluation]] = {}
    for path in records:
        record = Evaluation.load(path)
        group = groups.setdefault((record.scene, replace(record.label, seed=0)), {})
        if record.label.seed in group:
            raise UserError(
                path, "records a run that another record holds too", "list each run once"
            )
        group[record.label.seed] = record
    scenes = list(dict.fromkeys(scene for scene, _ in groups))

    def order(row: Row) -> tuple[int, str, int, int]:
        label = row.label
        return scenes.index(row.scene), label.model, method_rank(label.method), label.steps

    rows = [Row.of([group[seed] for seed in sorted(group)]) for group in groups.values()]
    return sorted(rows, key=order)


def check_same_views(rows: Sequence[Row]) -> None:
    """Refuse rows of one scene whose means can't be compared as they are.

    Raises:
        UserError: two runs score different views.
    """
    for row in rows:
        for run in row.runs:
            views = {image.name for image in run.images}
            if views != {image.name for image in rows[0].runs[0].images}:
                one, other = (one_line(label.method) for label in (row.label, rows[0].label))
                what = f"{one} (seed {run.label.seed}) scores other views than {other}"
                where = f"scene {one_line(row.scene)}"
                raise UserError(where, what, "score the same test views")


def select(rows: Sequence[Row], method: str, **wanted: str | int | None) -> list[Row]:
    """Rows of a method, e.g. of `division="random"`."""
    return [
        row
        for row in rows
        if row.label.method == method
        and all(getattr(row.label, name) == value for name, value in wanted.items())
    ]


def rows_like(rows: Sequence[Row], row: Row, method: str) -> list[Row]:
    """Rows of a method on the same scene and with the same model."""
    return [
        other for other in select(rows, method, model=row.label.model) if other.scene == row.scene
    ]


def only(rows: Sequence[Row]) -> Row | None:
    """The one row; None where there is no one row."""
    return rows[0] if len(rows) == 1 else None


def minus(ours: Row | None, reference: Row | None) -> Paired | None:
    """As `Row.minus`; None where either doesn't exist, or both are one."""
    if ours is None or reference is None or ours is reference:
        return None
    return ours.minus(reference)


def same_path_steps(label: Label) -> int | None:
    """Steps of the baseline of the same path, for the methods that are held against it."""
    if label.method in ("big_batch", "wide"):
        return label.steps
    if label.horizon is None:
        return None
    merged = label.horizon + (label.distill_steps or 0) + label.steps
    return {"routed": label.horizon, "merged": merged}.get(label.method)


def reference_of(row: Row, rows: Sequence[Row]) -> Row | None:
    """What a row's gain is over; None where there is no one such row."""
    if beside := baselines_of(rows, row, same_path_steps(row.label)):
        return only(beside)
    method = REFERENCES.get(known_method(row.label.method))
    return None if method is None else only(rows_like(rows, row, method))


def baselines_of(rows: Sequence[Row], row: Row, steps: int | None) -> list[Row]:
    """The baselines of so many steps on a row's scene and with its model."""
    return [
        other
        for other in rows
        if is_baseline(other.label.method)
        and (other.scene, other.label.model) == (row.scene, row.label.model)
        and other.label.steps == steps
    ]


def trunk_share(label: Label) -> float | None:
    """Which share of a specialist's steps the trunk has; None where there are no specialists."""
    return None if label.trunk is None or not label.horizon else label.trunk / label.horizon


def row_names(rows: Sequence[Row]) -> list[str]:
    """Printed names; rows of one scene, model and method say in brackets how they differ."""
    names = []
    for row in rows:
        label = row.label
        marks = _marks(label, [other.label for other in rows_like(rows, row, label.method)])
        name = method_name(label.method, label.model)
        bare, bracket, inside = name.removesuffix(")").partition(" (")
        inner = ", ".join([inside] * bool(bracket) + marks)
        names.append(one_line(f"{bare} ({inner})" if marks else name))
    return names


def _marks(label: Label, rivals: Sequence[Label]) -> list[str]:
    """How a label differs from others of its method, itself among them."""
    marks = []
    if label.division is None and label.K is not None:  # a control: how many times as much
        marks.append(f"{label.K} x")
    elif len({(rival.division, rival.K) for rival in rivals}) > 1:
        marks.append(f"{label.division}-{label.K}")
    if len({rival.mode for rival in rivals}) > 1:
        marks.append(str(label.mode))
    if len({trunk_share(rival) for rival in rivals}) > 1:
        marks.append(f"trunk {trunk_share(label) or 0:.3g}")
    if len({_before(rival) for rival in rivals}) > 1:
        marks.append(f"{_before(label) or 0:,} + {label.steps:,} steps")
    elif len({rival.steps for rival in rivals}) > 1:
        marks.append(f"{label.steps:,} steps")
    return marks


def _before(label: Label) -> int | None:
    """Steps of what the last phase goes on from, where that is a training of its own."""
    if label.method != "merged":
        return label.distill_steps
    return (label.horizon or 0) + (label.distill_steps or 0)
