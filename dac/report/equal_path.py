"""What K workers reach in one worker's wall-clock: the rows of the study `equal_path`.

Notation: 1x is an expert's steps, those of the 1x baseline. A row's *path* is the longest chain of
trainings that it ends, with the experts side by side: its wall-clock on K workers. Its *compute*
is all steps, each counted as often as it has 1x's rays. Both are in units of 1x.

A row is held against the baseline of the same path and against that of the same compute. Where
there is none of exactly as many steps, the next longer one stands for it, which is in the
baseline's favour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from dac.errors import UserError
from dac.evaluation.records import Label
from dac.report.methods import is_baseline, method_name
from dac.report.rows import Row, SceneRows, load_scenes, minus, only, trunk_share
from dac.report.statistics import Paired
from dac.report.text import one_line

# What the study's files call the methods, in their order.
METHODS = (
    *("baseline", "big_batch", "wide", "routed", "routed_trunk", "routed_random"),
    *("merged", "distilled"),
)
SAME = 0.01  # relative; what rounding to whole steps may leave between equal computes


class Setup(NamedTuple):
    """The routed model as it is configured: its division into K groups, the trunk's share."""

    division: str
    K: int
    trunk: float

    def holds(self, label: Label) -> bool:
        """Whether a routed model is of this setup, whatever its path."""
        share = trunk_share(label)
        same = (label.division, label.K) == (self.division, self.K)
        # The trunk has whole steps.
        return same and share is not None and abs(share - self.trunk) * (label.horizon or 1) <= 0.5


@dataclass(frozen=True)
class Line:
    """A row of the study.

    Attributes:
        row: the runs.
        method: one of `METHODS`.
        once: steps of 1x.
        path, compute: in units of it.
        beside: the baseline of the same path.
        equal: the baseline of the same compute.
        batch: the baseline with K times the rays, of the same path and K.
    """

    row: Row
    method: str
    once: int
    path: float
    compute: float
    beside: Row | None
    equal: Row | None
    batch: Row | None

    @property
    def label(self) -> Label:
        """Of the first seed."""
        return self.row.label

    @cached_property
    def gain(self) -> Paired | None:
        """Over the baseline of the same path, dB."""
        return minus(self.row, self.beside)

    @cached_property
    def gain_at_equal_compute(self) -> Paired | None:
        """Over the baseline of the same compute, dB."""
        return minus(self.row, self.equal)

    @cached_property
    def gain_over_batch(self) -> Paired | None:
        """Over the baseline with K times the rays, dB."""
        return minus(self.row, self.batch)

    @property
    def name(self) -> str:
        """As it is printed; division, K and trunk stand in columns of their own."""
        label = self.label
        if self.method == "baseline":
            return method_name("baseline-1x", label.model).removesuffix(" (1x)")
        name = method_name(label.method, label.model)
        return one_line(f"{name} (distilled, {label.mode})" if label.mode else name)


@dataclass(frozen=True)
class EqualPath:
    """The study on one scene and model.

    Attributes:
        scene: its rows.
        lines: by path, then method, K and trunk.
        ours: those of the routed model as it is configured, by path.
    """

    scene: SceneRows
    lines: list[Line]
    ours: list[Line]

    def baseline(self, steps: float) -> Row | None:
        """The baseline of so many steps."""
        lines = self.of("baseline")
        return only([line.row for line in lines if abs(line.label.steps - steps) <= SAME * steps])

    def of(self, *methods: str) -> list[Line]:
        """The lines of some methods."""
        return [line for line in self.lines if line.method in methods]


def equal_path(records: Sequence[Path], setups: Mapping[str, Sequence[Any]]) -> list[EqualPath]:
    """Arrange the records of the study, scene by scene; those of other methods are left out.

    Args:
        records: `evaluation.json` files, or the folders that hold them.
        setups: scene -> division, K and trunk of the routed model as it is configured.

    Raises:
        UserError: no record, a damaged one, two of the same run, one without its path or bytes; a
            scene has no 1x baseline or no setup.
    """
    found = []
    for scene in load_scenes(records):
        where = f"scene {one_line(scene.scene)}"
        if scene.scene not in setups:
            raise UserError(where, "has records, but no configured division", "configure the scene")
        for row in scene.rows:
            if row.path_steps is None or row.model_bytes is None:
                what = f"{one_line(row.label.method)} has a record without its path or bytes"
                raise UserError(where, what, "score it again: delete the record")
        if not scene.select("baseline-1x"):
            what = "has no 1x baseline, which is the unit of path and compute"
            raise UserError(where, what, "list 1 in study.paths")
        found.append(arranged(scene, Setup(*setups[scene.scene])))
    return found


def arranged(scene: SceneRows, setup: Setup) -> EqualPath:
    """The study on a scene that has a 1x baseline; rows that lack their path are left out."""
    once = scene.select("baseline-1x")[0].label.steps
    baselines = [row for row in scene.rows if is_baseline(row.label.method)]
    lines = []
    for row in scene.rows:
        method, steps = _method(row.label), row.path_steps
        if method is None or steps is None:
            continue
        label = row.label
        rays = label.K or 1 if method == "big_batch" else 1
        compute = rays * row.cost["total_steps"]
        held = method != "baseline"
        batches = scene.select("big_batch", K=label.K, steps=steps)
        lines.append(
            Line(
                row,
                method,
                once,
                steps / once,
                compute / once,
                beside=_of_at_least(steps, baselines) if held else None,
                equal=_of_at_least(compute * (1 - SAME), baselines) if held else None,
                batch=only(batches) if method.startswith("routed") else None,
            )
        )
    lines.sort(key=_place)
    ours = [line for line in lines if line.label.method == "routed" and setup.holds(line.label)]
    return EqualPath(scene, lines, ours)


def _method(label: Label) -> str | None:
    """What the study calls a method; None of one that it doesn't look at."""
    if is_baseline(label.method):
        return "baseline"
    if label.method == "routed":
        if label.division == "random":
            return "routed_random"
        return "routed_trunk" if label.trunk else "routed"
    # The paper's student, once it was fine-tuned; before that, it isn't a row of the study.
    known = {"big_batch": "big_batch", "wide": "wide", "merged": "merged", "dac": "distilled"}
    return known.get(label.method)


def _of_at_least(steps: float, baselines: Sequence[Row]) -> Row | None:
    """The shortest baseline of at least so many steps."""
    enough = [row for row in baselines if row.label.steps >= steps]
    return min(enough, key=lambda row: row.label.steps, default=None)


def _place(line: Line) -> tuple[float, int, str, int, float, str]:
    label = line.label
    share = trunk_share(label) or 0.0
    order = METHODS.index(line.method)
    return line.path, order, label.division or "", label.K or 0, share, label.mode or ""
