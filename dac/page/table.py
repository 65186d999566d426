"""The tables of the page: what each model reaches, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dac.page.found import Found
from dac.report.diagnosis import sentences
from dac.report.methods import known_method
from dac.report.rows import DECIMALS, METRICS, Row, reference_of, row_names
from dac.report.table_writers import best, number, share, with_interval
from dac.report.text import MISSING, one_line

# What is drawn as bars: all steps, all seconds, and seconds with the experts side by side.
BARS = ("total_steps", "training_seconds", "longest_path_seconds")


class Metric(NamedTuple):
    """A metric's mean, and its standard deviation over seeds or nothing, as text."""

    mean: str
    spread: str
    best: bool


@dataclass(frozen=True)
class Score:
    """A row of the scores.

    Attributes:
        name: of the model.
        method: whose colour it has.
        metrics: PSNR, SSIM and MS-SSIM.
        gain, over: the gain with its interval, and what it is over; empty where it is over nothing.
        won: on how many test views it is ahead.
        seeds: how many runs it is the mean of.
        steps, seconds: of all runs that it builds on.
    """

    name: str
    method: str
    metrics: tuple[Metric, ...]
    gain: str
    over: str
    won: str
    seeds: int
    steps: str
    seconds: str


@dataclass(frozen=True)
class Spent:
    """A row of the costs.

    Attributes:
        name: of the model.
        method: whose colour it has.
        bars: for each of `BARS` its text, and its share of the most of all rows, percent.
        memory: the most that one of its runs held.
        parameters: numbers in the model, of all experts together.
        rays: a second, in rendering.
    """

    name: str
    method: str
    bars: tuple[tuple[str, float], ...]
    memory: str
    parameters: str
    rays: str


@dataclass(frozen=True)
class Tables:
    """The tables' rows.

    Attributes:
        main: baselines, DaC, experts.
        controls: what DaC is held against, and its stages.
        costs: of the same rows as `main`.
        findings: what the controls say, by rule.
    """

    main: tuple[Score, ...]
    controls: tuple[Score, ...]
    costs: tuple[Spent, ...]
    findings: tuple[str, ...]


def tables(found: Found) -> Tables:
    """The tables of a scene.

    Raises:
        UserError: two models to compare were scored on different views.
    """
    rows = [*found.rows, *found.control_rows]
    names = row_names(rows)
    marks = [_best(rows, metric) for metric in METRICS]
    scores = [_score(i, rows, names, [mark[i] for mark in marks]) for i in range(len(rows))]
    count = len(found.rows)
    where = f"{one_line(found.main.scene)}: "
    return Tables(
        main=tuple(scores[:count]),
        controls=tuple(scores[count:]),
        costs=tuple(_costs(rows[:count], names)),
        findings=tuple(text.removeprefix(where) for text in sentences([found.main])),
    )


def _best(rows: Sequence[Row], metric: str) -> list[bool]:
    """Which rows have the best value; experts, and the best of them, are K models and stand out."""
    several = ("experts", "oracle")
    values = [None if row.label.method in several else row.mean(metric) for row in rows]
    return best(values, DECIMALS[metric])


def _score(index: int, rows: Sequence[Row], names: Sequence[str], marks: Sequence[bool]) -> Score:
    row = rows[index]
    reference = reference_of(row, rows)
    gain = None if reference is None else row.minus(reference)
    ends = (None, None, None) if gain is None else (gain.mean, gain.low, gain.high)
    place = next((i for i, other in enumerate(rows) if other is reference), None)
    return Score(
        name=names[index],
        method=known_method(row.label.method),
        metrics=tuple(
            Metric(*_printed(row, metric), mark)
            for metric, mark in zip(METRICS, marks, strict=True)
        ),
        gain=with_interval(*ends),
        over="" if gain is None or place is None else names[place],
        won=MISSING if gain is None else share(gain.won, gain.views),
        seeds=len(row.runs),
        steps=number(row.cost["total_steps"], 0),
        seconds=number(row.cost["training_seconds"], 0),
    )


def _printed(row: Row, metric: str) -> tuple[str, str]:
    spread = row.spread(metric)
    decimals = DECIMALS[metric]
    return number(row.mean(metric), decimals), "" if spread is None else number(spread, decimals)


def _costs(rows: Sequence[Row], names: Sequence[str]) -> list[Spent]:
    def bar(row: Row, key: str) -> float:
        return round(100 * row.cost[key] / max(1e-9, *(other.cost[key] for other in rows)), 2)

    return [
        Spent(
            name=name,
            method=known_method(row.label.method),
            bars=tuple((number(row.cost[key], 0), bar(row, key)) for key in BARS),
            memory=f"{row.cost['memory_bytes'] / 1e9:.2f} GB",
            parameters=number(row.cost["parameters"], 0),
            rays=number(row.cost["rays_per_second"], 0),
        )
        for row, name in zip(rows, names[: len(rows)], strict=True)
    ]
