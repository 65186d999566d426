"""The curves: held-out PSNR over steps, experts side by side, as lines of an inline SVG.

They are of each row's first seed; a run without a curve, or whose scene has no held-out pixels, has
no line. What is drawn twice, for wide and narrow screens, is only the frame: its numbers are
computed here, so that the page shows its curves without running anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dac.page.results import SceneResults
from dac.report.curves import Phase, PlacedCurve, load_curve, pipeline, placed, shown_range
from dac.report.rows import Row
from dac.report.table import Column, Table, values_of
from dac.report.text import number, one_line
from dac.runs import KINDS, Run
from dac.training.curve import Curve

_NAMES = {"trunk": "trunk", "distilled": "distilled", "dac": "DaC", "merged": "DaC (merged)"}


@dataclass(frozen=True)
class Line:
    """One run's curve.

    Attributes:
        name: as the legend has it.
        method: whose colour it has.
        dashed: whether it is of another mode than the headline's.
        points: (step, PSNR in dB), by step.
    """

    name: str
    method: str
    dashed: bool
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Frame:
    """The lines in a picture of a given size.

    Attributes:
        kind: `wide` or `narrow`.
        width, height: of the picture.
        left, right, top, bottom: of the plot in it.
        paths: of the lines, in their order.
        xs, ys: ticks: where, and their text.
        bands: phases: from where, to where, and their name.
    """

    kind: str
    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    paths: tuple[str, ...]
    xs: tuple[tuple[float, str], ...]
    ys: tuple[tuple[float, str], ...]
    bands: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True)
class Chart:
    """The curves and their two pictures.

    Attributes:
        lines: from the first drawn to the last.
        last: step at the right edge.
        frames: wide and narrow.
        table: the same as a table: a row for each step, a column for each line.
    """

    lines: tuple[Line, ...]
    last: int
    frames: tuple[Frame, ...]
    table: Table


def chart(results: SceneResults) -> Chart | None:
    """The curves that are there; None if none is.

    Raises:
        UserError: a curve is damaged.
    """
    lines, phases = _lines(results)
    lines = [line for line in lines if line.points]
    limits = shown_range([[psnr for _, psnr in line.points] for line in lines])
    if limits is None:
        return None
    last = max(step for line in lines for step, _ in line.points)
    phases = [replace(phase, end=min(phase.end, last)) for phase in phases if phase.start < last]
    return Chart(
        lines=tuple(lines),
        last=last,
        frames=(
            _frame("wide", (860, 416, 58, 24, 26, 48), lines, phases, (last, *limits)),
            _frame("narrow", (360, 336, 50, 22, 24, 46), lines, phases, (last, *limits)),
        ),
        table=_table(lines),
    )


def _table(lines: Sequence[Line]) -> Table:
    def values(line: Line) -> Column[int]:
        known = dict(line.points)
        return Column(heading=line.name, text=lambda v: number(known.get(v["step"]), 2))

    step = Column[int]("step", lambda s: s, "Step", lambda v: number(v["step"]), left=True)
    columns = [step, *map(values, lines)]
    rows = values_of(columns, sorted({step for line in lines for step, _ in line.points}))
    return Table("", columns, rows, contests=[None] * len(rows))


def _lines(results: SceneResults) -> tuple[list[Line], list[Phase]]:
    """Every run's line, and the phases that lead to the first model."""
    lines: list[Line] = []
    phases: list[Phase] = []
    for row, name in ((results.main.once, "baseline 1x"), (results.main.twice, "baseline 2x")):
        if row is not None and (curve := _curve(results.evaluation(row).parent)):
            lines.append(_line(name, placed(row.label.method, curve)))
    for index, (row, mode) in enumerate(_models(results)):
        named, own = _conquered(results, row)
        phases = phases or own
        # Experts are drawn for the first alone; they lie under the others, which the eye follows.
        beneath = [_line(*each) for each in named if each[1].method == "experts"]
        after = [each for each in named if each[1].method not in ("experts", "trunk")[: 1 + index]]
        lines = (beneath if index == 0 else []) + lines
        lines += [_line(f"{name}{mode}", curve, dashed=index > 0) for name, curve in after]
    return lines, phases


def _models(results: SceneResults) -> list[tuple[Row, str]]:
    """Every model that is made of experts and has curves, with its mode where there are several."""
    # The merged model's curves are the routed one's, and its own fine-tuning.
    specialists = results.merged or results.routed
    models = [] if specialists is None else [(specialists, "")]
    several = len(results.controls) > 1 or bool(models)
    for controls in results.controls:
        if controls.dac is not None:
            mode = f" {one_line(f'({controls.dac.label.mode})')}" if several else ""
            models.append((controls.dac, mode))
    return models


def _conquered(
    results: SceneResults, row: Row
) -> tuple[list[tuple[str, PlacedCurve]], list[Phase]]:
    """The curves that lead to a model, with their names, and their phases."""
    folder = results.folder.parent
    run = Run.parse(results.evaluation(row).parent.relative_to(folder).as_posix())
    if run is None:
        return [], []
    # A single group has none of its own: it learns from the baseline, which has its line.
    own = [expert for expert in run.experts(train_steps=0) if expert.kind != "baseline"]
    curves = [(expert.group, _curve(folder / expert.path)) for expert in own]
    experts = {group: curve for group, curve in curves if curve is not None}
    chain = [one for one in (*run.builds_on, run) if KINDS[one.kind].trained]
    curves_of: dict[str, Curve | None] = {one.method: _curve(folder / one.path) for one in chain}
    trunk = curves_of.pop("trunk", None)
    drawn, phases = pipeline(list(experts.values()), curves_of, trunk)
    groups = iter(experts)
    names = [
        f"expert {next(groups)}" if curve.method == "experts" else _NAMES[curve.method]
        for curve in drawn
    ]
    return list(zip(names, drawn, strict=True)), phases


def _curve(run: Path) -> Curve | None:
    file = run / "curve.json"
    return load_curve(file) if file.is_file() else None


def _line(name: str, curve: PlacedCurve, *, dashed: bool = False) -> Line:
    points = zip(curve.steps, curve.psnr, strict=True)
    return Line(name, curve.method, dashed, tuple(p for p in points if math.isfinite(p[1])))


def _frame(
    kind: str,
    size: tuple[int, int, int, int, int, int],
    lines: Sequence[Line],
    phases: Sequence[Phase],
    limits: tuple[int, float, float],
) -> Frame:
    """The lines in a picture.

    Args:
        kind: its name.
        size: width, height, and margins left, right, top and bottom.
        lines: what is drawn.
        phases: that lead to the first model.
        limits: last step, lowest and highest PSNR.
    """
    width, height, left, right, top, bottom = size
    last, low, high = limits

    def x(step: float) -> float:
        return round(left + (width - left - right) * step / last, 1)

    def y(psnr: float) -> float:
        return round(top + (height - top - bottom) * (high - psnr) / (high - low), 1)

    return Frame(
        kind=kind,
        width=width,
        height=height,
        left=left,
        right=width - right,
        top=top,
        bottom=height - bottom,
        paths=tuple("M" + "L".join(f"{x(s)} {y(v)}" for s, v in line.points) for line in lines),
        xs=tuple((x(v), f"{v:,.0f}") for v in ticks(0, last, 6 if kind == "wide" else 3)),
        ys=tuple((y(v), f"{v:g}") for v in ticks(low, high, 6)),
        bands=tuple((x(phase.start), x(phase.end), phase.name) for phase in phases),
    )


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers between two, evenly spaced by 1, 2 or 5 of a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (power, 2 * power, 5 * power, 10 * power):
        first, last = math.ceil(low / step), math.floor(high / step)
        if last - first < most:
            return [round(i * step, 10) for i in range(first, last + 1)]
    raise AssertionError("ten powers hold fewer ticks than one")
