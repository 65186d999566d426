"""Rows of the tables: runs that differ only in their seed, from evaluation records.

A row's numbers are means over its seeds, with sample standard deviations where there are several.
Two rows are compared view by view and seed by seed (`statistics.py`); without the 2x baseline's
gain over 1x, no difference can be read: while twice the steps still give more than `SATURATED`, a
comparison is about training speed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dac.errors import UserError
from dac.evaluation.records import Evaluation, Label
from dac.report.methods import REFERENCES, known_method, method_name, method_rank
from dac.report.statistics import Paired, ViewScores, common_scores, paired, view_scores
from dac.report.text import one_line

METRICS = ("psnr", "ssim", "ms_ssim")
DECIMALS = {"psnr": 2, "ssim": 3, "ms_ssim": 3}
SATURATED = 0.6  # dB; the paper's baselines gain 0.1 to 0.6


@dataclass(frozen=True)
class Row:
    """Runs that differ only in their seed.

    Attributes:
        scene: its name.
        label: what was scored; its seed is the first run's.
        runs: one record a seed.
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
        return cls(runs[0].scene, runs[0].label, tuple(runs), view_scores(runs), metrics)

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

    def minus(self, other: Row) -> Paired | None:
        """PSNR over another row's; None where they share no seed.

        Raises:
            UserError: they share no view.
        """
        both = common_scores(self.scores, other.scores, f"scene {one_line(self.scene)}")
        return None if both is None else paired(*both)

    def numbers(self) -> dict[str, Any]:
        """What a CSV says of it."""
        label = asdict(self.label)
        means = {metric: self.mean(metric) for metric in METRICS}
        spreads = {f"{metric}_std": self.spread(metric) for metric in METRICS}
        scene = {"scene": self.scene, "seeds": len(self.runs)}
        return scene | label | means | spreads | self.cost


# Columns that every table's CSV has.
NUMBERS = [
    *("model", "method", "division", "K", "mode", "distill_steps", "steps", "seeds"),
    *METRICS,
    *(f"{metric}_std" for metric in METRICS),
    *("total_steps", "training_seconds", "longest_path_seconds"),
]
# Attributes of a difference, and what a CSV calls them after the prefix.
_DIFFERENCE = {name: name for name in ("mean", "low", "high", "won", "views", "seeds")} | {
    "mean": "psnr"
}


def difference_numbers(difference: Paired | None, prefix: str) -> dict[str, float | None]:
    """What a CSV says of a difference; empty where there is none."""
    values = dict.fromkeys(_DIFFERENCE) if difference is None else asdict(difference)
    return {f"{prefix}_{_DIFFERENCE[name]}": value for name, value in values.items()}


def difference_columns(prefix: str) -> list[str]:
    """The columns of `difference_numbers`."""
    return [f"{prefix}_{name}" for name in _DIFFERENCE.values()]


def load_rows(records: Sequence[Path]) -> list[Row]:
    """Rows in the order of the tables: scenes as they come first, then model, method and steps.

    Args:
        records: `evaluation.json` files, or the folders that hold them.

    Raises:
        UserError: no record, a damaged one, or two of the same run.
    """
    if not records:
        raise UserError("tables", "no evaluation record is given", "run an evaluation first")
    groups: dict[tuple[str, Label], list[Evaluation]] = {}
    for path in records:
        record = Evaluation.load(path)
        group = groups.setdefault((record.scene, replace(record.label, seed=0)), [])
        if any(record.label.seed == other.label.seed for other in group):
            raise UserError(
                path, "records a run that another record holds too", "list each run once"
            )
        group.append(record)
    scenes = list(dict.fromkeys(scene for scene, _ in groups))

    def place(row: Row) -> tuple[int, str, int, int]:
        label = row.label
        return scenes.index(row.scene), label.model, method_rank(label.method), label.steps

    return sorted((Row.of(runs) for runs in groups.values()), key=place)


def rows_like(rows: Sequence[Row], row: Row, method: str, **wanted: str | int | None) -> list[Row]:
    """Rows of a method on the same scene and with the same model, e.g. of `division="random"`."""
    return [
        other
        for other in rows
        if (other.scene, other.label.model) == (row.scene, row.label.model)
        and other.label.method == method
        and all(getattr(other.label, name) == value for name, value in wanted.items())
    ]


def only(rows: Sequence[Row]) -> Row | None:
    """The one row; None where there is no one row."""
    return rows[0] if len(rows) == 1 else None


def reference_of(row: Row, rows: Sequence[Row]) -> Row | None:
    """What a row's gain is over; None where there is no one such row."""
    method = REFERENCES.get(known_method(row.label.method))
    return None if method is None else only(rows_like(rows, row, method))


def row_names(rows: Sequence[Row]) -> list[str]:
    """Printed names; rows of one scene, model and method say in brackets how they differ."""
    names = []
    for row in rows:
        label = row.label
        rivals = [other.label for other in rows_like(rows, row, label.method)]
        marks = []
        if len({(rival.division, rival.K) for rival in rivals}) > 1:
            marks.append(f"{label.division}-{label.K}")
        if len({rival.mode for rival in rivals}) > 1:
            marks.append(str(label.mode))
        if len({rival.distill_steps for rival in rivals}) > 1:
            marks.append(f"{label.distill_steps or 0:,} + {label.steps:,} steps")
        elif len({rival.steps for rival in rivals}) > 1:
            marks.append(f"{label.steps:,} steps")
        name = method_name(label.method, label.model)
        names.append(one_line(f"{name} ({', '.join(marks)})" if marks else name))
    return names
