"""The curves: held-out PSNR over steps, experts side by side, as lines of an inline SVG.

They are of each row's first seed; a run without a curve, or whose scene has no held-out pixels, has
no line. What is drawn twice, for wide and narrow screens, is only the frame: its numbers are
computed here, so that the page shows its curves without running anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dac.page.found import Found
from dac.report.figures.convergence import SHOWN_DECIBELS
from dac.report.rows import Row
from dac.report.runs import Stretch, load_curve, shifted, stretch
from dac.report.text import MISSING, one_line
from dac.runs import Run
from dac.training.curve import Curve


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
        steps, cells: the same as a table: a row for each step, a text for each line.
    """

    lines: tuple[Line, ...]
    last: int
    frames: tuple[Frame, ...]
    steps: tuple[int, ...]
    cells: tuple[tuple[str, ...], ...]


def chart(found: Found) -> Chart | None:
    """The curves that are there; None if none is.

    Raises:
        UserError: a curve is damaged.
    """
    lines, bands = _lines(found)
    lines = [line for line in lines if line.points]
    if not lines:
        return None
    last = max(step for line in lines for step, _ in line.points)
    bands = [(start, min(end, last), name) for start, end, name in bands if start < last]
    values = [psnr for line in lines for _, psnr in line.points]
    high = max(values)
    low = max(min(values), high - SHOWN_DECIBELS)
    span = max(high - low, 0.5)
    limits = (0.0, float(last), low - 0.05 * span, high + 0.08 * span)
    steps = sorted({step for line in lines for step, _ in line.points})
    known = [dict(line.points) for line in lines]
    return Chart(
        lines=tuple(lines),
        last=last,
        frames=(
            _frame("wide", (860, 400, 44, 24, 26, 32), lines, bands, limits),
            _frame("narrow", (360, 320, 36, 22, 24, 30), lines, bands, limits),
        ),
        steps=tuple(steps),
        cells=tuple(
            tuple(f"{of[step]:.2f}" if step in of else MISSING for of in known) for step in steps
        ),
    )


def _lines(found: Found) -> tuple[list[Line], list[tuple[int, int, str]]]:
    """Every run's line, and the phases that lead to DaC."""
    main, drawn = found.main, []
    for row, name in ((main.once, "baseline 1x"), (main.twice, "baseline 2x")):
        if row is not None and (curve := _curve(found.evaluation(row).parent)):
            drawn.append(_line(name, row.label.method, stretch(curve)))
    bands: list[tuple[int, int, str]] = []
    for place, controls in enumerate(found.controls):
        if controls.dac is None:
            continue
        several = len(found.controls) > 1
        mode = f" {one_line(f'({controls.dac.label.mode})')}" if several else ""
        own = _dac_lines(found, controls.dac, mode, place)
        drawn += own[0]
        bands = bands or own[1]
    # Experts lie under the others, which the eye follows.
    return sorted(drawn, key=lambda line: line.method != "experts"), bands


def _dac_lines(
    found: Found, dac: Row, mode: str, place: int
) -> tuple[list[Line], list[tuple[int, int, str]]]:
    """The lines of DaC in one mode; experts, which all modes share, only for the first."""
    results = found.folder.parent
    run = Run.parse(found.evaluation(dac).parent.relative_to(results).as_posix())
    if run is None:
        return [], []
    # A single group has none of its own: it learns from the baseline, which has its line.
    own = [expert for expert in run.experts(train_steps=0) if expert.kind == "expert"]
    curves = [(expert.group, _curve(results / expert.path)) for expert in own]
    experts = [(group, curve) for group, curve in curves if curve is not None]
    (distill,) = (_curve(results / earlier.path) for earlier in run.builds_on)
    finetune = _curve(results / run.path)
    lines = []
    if place == 0:
        lines = [
            _line(one_line(f"expert {group}"), "experts", stretch(one)) for group, one in experts
        ]
    end = max((curve.steps[-1] for _, curve in experts), default=0)
    bands = [(0, end, "experts")] if end else []
    if distill is None:
        return lines, bands
    student = stretch(distill, [curve for _, curve in experts])
    lines.append(_line(f"distilled{mode}", "distilled", student, place > 0))
    bands.append((end, int(student.steps[-1]), "distillation"))
    if finetune is not None:
        tuned = shifted(stretch(finetune), student)
        lines.append(_line(f"DaC{mode}", "dac", tuned, place > 0))
        bands.append((int(student.steps[-1]), int(tuned.steps[-1]), "fine-tuning"))
    return lines, bands


def _curve(folder: Path) -> Curve | None:
    return load_curve(folder) if (folder / "curve.json").is_file() else None


def _line(name: str, method: str, of: Stretch, dashed: bool = False) -> Line:
    known = [(int(s), float(v)) for s, v in zip(of.steps, of.psnr, strict=True)]
    return Line(name, method, dashed, tuple(p for p in known if math.isfinite(p[1])))


def _frame(
    kind: str,
    size: tuple[int, int, int, int, int, int],
    lines: Sequence[Line],
    bands: Sequence[tuple[int, int, str]],
    limits: tuple[float, float, float, float],
) -> Frame:
    """The lines in a picture.

    Args:
        kind: its name.
        size: width, height, and margins left, right, top and bottom.
        lines: what is drawn.
        bands: phases.
        limits: lowest and highest step, lowest and highest PSNR.
    """
    width, height, left, right, top, bottom = size
    first, last, low, high = limits

    def x(step: float) -> float:
        return round(left + (width - left - right) * (step - first) / (last - first), 1)

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
        xs=tuple((x(v), f"{v:,.0f}") for v in ticks(first, last, 6 if kind == "wide" else 3)),
        ys=tuple((y(v), f"{v:g}") for v in ticks(low, high, 6)),
        bands=tuple((x(start), x(end), name) for start, end, name in bands),
    )


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers between two, evenly spaced by 1, 2 or 5 of a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (power, 2 * power, 5 * power, 10 * power):
        first, last = math.ceil(low / step), math.floor(high / step)
        if last - first < most:
            return [round(i * step, 10) for i in range(first, last + 1)]
    raise AssertionError("ten powers hold fewer ticks than one")
