"""The columns that tables of runs share: what was run, what it reached, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar

from dac.report.rows import DECIMALS, METRICS, Row, minus, reference_of, row_names
from dac.report.statistics import Paired
from dac.report.table import Column, Values, named, nothing, numbered
from dac.report.text import number, share, spread, with_interval

HEADINGS = {"psnr": "PSNR ↑", "ssim": "SSIM ↑", "ms_ssim": "MS-SSIM ↑"}
R = TypeVar("R")


@dataclass(frozen=True)
class Named:
    """A row with what a table says of it beside its own numbers.

    Attributes:
        row: the runs.
        name: as it is printed.
        reference: what its gain is over, where there is one.
        gain: over it.
    """

    row: Row
    name: str
    reference: Row | None
    gain: Paired | None

    @property
    def over(self) -> str | None:
        """The method that the gain is over."""
        return None if self.reference is None or self.gain is None else self.reference.label.method


def with_gains(rows: Sequence[Row]) -> list[Named]:
    """Each row with its name and its gain.

    Raises:
        UserError: two methods to compare were scored on different views.
    """
    references = [reference_of(row, rows) for row in rows]
    gains = map(minus, rows, references)
    return [Named(*each) for each in zip(rows, row_names(rows), references, gains, strict=True)]


def _score(metric: str) -> Column[Any]:
    decimals = DECIMALS[metric]
    return Column(
        metric,
        lambda each: each.row.mean(metric),
        HEADINGS[metric],
        lambda values: number(values[metric], decimals),
        more=lambda values: spread(values[f"{metric}_std"], decimals),
        best=decimals,
    )


def _deviation(metric: str) -> Column[Any]:
    return Column(f"{metric}_std", lambda each: each.row.spread(metric))


def cost(name: str, heading: str = "", text: Callable[[float], str] = number) -> Column[Any]:
    """What a row took of something; printed, if it has a heading."""
    return Column(name, lambda each: each.row.cost[name], heading, lambda v: text(v[name]))


LABEL = (
    *("model", "method", "division", "K", "mode", "distill_steps"),
    *("trunk", "horizon", "steps"),
)
# Of rows of any kind that have a `row`: what was run, what it reached, of which the scores are
# printed, and what it took.
RUN: list[Column[Any]] = [
    *(Column(name, attrgetter(f"row.label.{name}")) for name in LABEL),
    Column("seeds", lambda each: len(each.row.runs)),
    *map(_score, METRICS),
    *map(_deviation, METRICS),
    *map(cost, ("total_steps", "training_seconds", "longest_path_seconds")),
]
# What such a row is called, where it has a `name` too.
SCENE_AND_NAME: list[Column[Any]] = [
    named("scene", attrgetter("row.scene"), "Scene"),
    named("name", attrgetter("name"), "Model"),
]
# What it took, printed: all runs that it builds on, and the longest way through them.
TOOK: list[Column[Any]] = [
    numbered("total_steps", None, "Steps"),
    numbered("training_seconds", None, "Seconds"),
    numbered("longest_path_seconds", None, "Path"),
]
TOOK_NOTE = "Steps and Seconds count every run that the model builds on"
PATH_NOTE = "Path: seconds with the experts side by side"


def difference_columns(
    prefix: str,
    difference: Callable[[R], Paired | None],
    heading: str = "",
    more: Callable[[Values], str] = nothing,
) -> list[Column[R]]:
    """A difference and its interval; printed, if it has a heading, with the views that were won."""

    def part(name: str) -> Column[R]:
        def value(r: R) -> float | None:
            found = difference(r)
            return None if found is None else getattr(found, name)

        return Column(f"{prefix}_{'psnr' if name == 'mean' else name}", value)

    columns = [part(name) for name in ("mean", "low", "high", "won", "views", "seeds")]
    if not heading:
        return columns
    mean, low, high, won, views = (f"{prefix}_{n}" for n in ("psnr", "low", "high", "won", "views"))
    return [
        *columns,
        Column(heading=heading, text=lambda v: with_interval(v[mean], v[low], v[high]), more=more),
        Column(heading="Won", text=lambda v: share(v[won], v[views])),
    ]
