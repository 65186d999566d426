"""Test PSNR over the one model's training iterations (the paper's Fig. 2): standard and DaC.

Each point is a finished training with its full evaluation, not a moment of a longer one. A model
that was distilled and fine-tuned stands at the sum of both; the experts come before the axis, as in
the paper, and the small print says how many steps they took. A baseline that is longer than the
axis, e.g. one that spends all that DaC spends, is a dashed line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from dac.errors import UserError
from dac.evaluation.records import Label
from dac.report.figures import Inputs, Outputs, Settings, Wildcards
from dac.report.methods import known_method, method_colour
from dac.report.rows import Row, SceneRows, check_same_views, load_scenes
from dac.report.style import ONE_COLUMN, STYLE, TWO_COLUMNS, note_below, save_figure
from dac.report.table_writers import write_csv
from dac.report.text import for_figure, one_line


def draw(inputs: Inputs, outputs: Outputs, settings: Settings, wildcards: Wildcards) -> None:
    """Draw the `records`, and write the numbers as `csv`."""
    budget_figure(inputs["records"], *(outputs[kind] for kind in ("csv", "png", "pdf")))


# Of DaC's lines, one a mode.
_MARKERS = ("o", "s", "D", "^", "v")
_DASHES = ("-", (0, (4, 1.2)), (0, (1.2, 1)), "-.", (0, (6, 1, 1, 1)))
_BEYOND = (0, (5, 3))


@dataclass(frozen=True)
class Point:
    """One run, whatever the seed.

    Attributes:
        row: the run.
        iterations: of the one model, distillation included.
    """

    row: Row
    iterations: int

    @property
    def label(self) -> Label:
        """Of the first seed."""
        return self.row.label

    @property
    def total(self) -> int:
        """Steps of all runs that it builds on; for DaC the experts' too."""
        return int(self.row.cost["total_steps"])


@dataclass(frozen=True)
class Budget:
    """One panel.

    Attributes:
        scene: its rows.
        standard: baselines on the axis, by iterations.
        dac: name -> points by iterations: a distilled model and its fine-tunings.
        beyond: baselines longer than the axis.
    """

    scene: SceneRows
    standard: list[Point]
    dac: dict[str, list[Point]]
    beyond: list[Point]


def budgets(records: Sequence[Path], *, paper: bool = False) -> list[Budget]:
    """The panels' numbers.

    Args:
        records: of baselines, distilled and DaC's models; others are ignored.
        paper: only what the paper's figure has: DaC's `paper` mode, nothing beyond the axis.

    Raises:
        UserError: as `load_rows` and `check_same_views`; a model of DaC's doesn't say how long it
            was distilled; nothing to draw.
    """
    panels = []
    for scene in load_scenes(records):
        points = [_point(row) for row in scene.rows if _is_shown(row.label)]
        check_same_views([point.row for point in points])
        points.sort(key=lambda point: (point.iterations, point.label.distill_steps or 0))
        baselines = [point for point in points if point.label.mode is None]
        ours = [point for point in points if point.label.mode is not None]
        if paper:
            ours = [point for point in ours if point.label.mode == "paper"]
        twice = [p.iterations for p in baselines if p.label.method == "baseline-2x"]
        axis = [*twice, *(point.iterations for point in ours)] if ours else [np.inf]
        beyond = [point for point in baselines if point.iterations > max(axis)]
        standard = [point for point in baselines if point.iterations <= max(axis)]
        if points:
            panels.append(Budget(scene, standard, _lines(ours), [] if paper else beyond))
    if not panels:
        raise UserError("budget figure", "no record is of a baseline or of DaC", "evaluate one")
    return panels


def budget_figure(
    records: Sequence[Path], csv: Path, png: Path, pdf: Path, *, paper: bool = False
) -> None:
    """Draw test PSNR over iterations, a panel each scene, and write the numbers.

    Args:
        records: `evaluation.json` files.
        csv, png, pdf: files to write.
        paper: only what the paper's figure has, in lettered panels.

    Raises:
        UserError: as `budgets`; the files can't be written.
    """
    panels = budgets(records, paper=paper)
    write_csv(budget_table(panels), csv)
    columns = {1: 1, 2: 2, 4: 2}.get(len(panels), 3)
    rows = -(-len(panels) // columns)
    names = list(dict.fromkeys(name for panel in panels for name in panel.dac))
    width = ONE_COLUMN if columns == 1 else TWO_COLUMNS
    with rc_context(STYLE):
        handles = _handles(panels, names)
        below = 0.45 + 0.16 * -(-len(handles) // (1 if columns == 1 else 3))
        figure = Figure(figsize=(width, 1.9 * rows + below), layout="constrained")
        grid: Any = figure.subplots(rows, columns, squeeze=False).flatten()
        for place, panel in enumerate(panels):
            _draw(grid[place], panel, names)
            letter = f"({_letter(place)}) " if paper else ""
            grid[place].set_title(letter + panel.scene.title, loc="left", weight="bold")
            if place % columns == 0:
                grid[place].set_ylabel("test PSNR (dB)")
            if place + columns >= len(panels):
                grid[place].set_xlabel("training iterations")
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        layout = {"ncols": 1 if columns == 1 else 3, "handlelength": 3.2}
        note_below(figure, small_print(panels), round(22 * width), handles, **layout)
        save_figure(figure, png, pdf, dpi=300)


def budget_table(panels: Sequence[Budget]) -> pd.DataFrame:
    """The plotted numbers: one row a point, seeds as mean and standard deviation."""
    rows = []
    for panel in panels:
        drawn = [("standard", panel.standard), *panel.dac.items(), ("beyond", panel.beyond)]
        for line, points in drawn:
            for point in points:
                label = point.label
                rows.append(
                    {
                        "scene": panel.scene.scene,
                        "model": label.model,
                        "line": line,
                        "method": label.method,
                        "division": label.division,
                        "K": label.K,
                        "mode": label.mode,
                        "iterations": point.iterations,
                        "total_steps": point.total,
                        "psnr": point.row.mean("psnr"),
                        "psnr_std": point.row.spread("psnr"),
                        "seeds": len(point.row.runs),
                    }
                )
    return pd.DataFrame(rows)


def small_print(panels: Sequence[Budget]) -> str:
    """What the axes don't show."""
    ours = [point for panel in panels for line in panel.dac.values() for point in line]
    before = sorted({(p.label.K or 0, p.total - p.iterations) for p in ours})
    standard = [point for panel in panels for point in panel.standard + panel.beyond]
    several = any(len(point.row.runs) > 1 for point in standard + ours)
    parts = []
    if before:
        steps = " or ".join(f"{total:,} (K\u00a0=\u00a0{K})" for K, total in before)
        parts.append(f"Not on the axis: the steps of DaC's experts before it, {steps}.")
    if several:
        parts.append("Lines join the means; pale dots are single seeds.")
    return " ".join(parts)


def _is_shown(label: Label) -> bool:
    shown = ("baseline-1x", "baseline-2x", "baseline", "distilled", "dac")
    return known_method(label.method) in shown


def _point(row: Row) -> Point:
    label, iterations = row.label, row.label.steps
    if label.method == "dac":
        if label.distill_steps is None:
            what = "a fine-tuned model's record doesn't say how long the model was distilled"
            raise UserError(f"scene {one_line(row.scene)}", what, "run its evaluation again")
        iterations += label.distill_steps
    return Point(row, iterations)


def _lines(ours: Sequence[Point]) -> dict[str, list[Point]]:
    """A line for each division, mode and distillation; its name says how it differs from others."""

    def distilled(label: Label) -> int:
        return label.steps if label.method == "distilled" else label.distill_steps or 0

    keys = [(p.label.division, p.label.K, p.label.mode, distilled(p.label)) for p in ours]
    lines: dict[str, list[Point]] = {}
    for key, point in sorted(zip(keys, ours, strict=True), key=lambda pair: str(pair[0])):
        division, K, mode, steps = key
        marks = []
        if len({other[:2] for other in keys}) > 1:
            marks.append(f"{division}-{K}")
        if len({other[2] for other in keys}) > 1:
            marks.append(f"{mode} mode")
        if len({other[3] for other in keys}) > 1:
            marks.append(f"distilled for {_short(steps)}")
        name = f"DaC ({', '.join(marks)})" if marks else "DaC"
        lines.setdefault(name, []).append(point)
    return lines


def _draw(axes: Any, panel: Budget, names: Sequence[str]) -> None:
    _draw_line(axes, panel.standard, method_colour("baseline-2x"), "o", "-")
    for name, points in panel.dac.items():
        index = names.index(name) % len(_MARKERS)
        _draw_line(axes, points, method_colour("dac"), _MARKERS[index], _DASHES[index])
    for point in panel.beyond:
        colour = method_colour("baseline")
        axes.axhline(point.row.psnr.mean(), color=colour, lw=0.9, ls=_BEYOND, zorder=1)
        axes.annotate(
            f"{_short(point.iterations)} steps",
            (0.01, point.row.psnr.mean()),
            xycoords=("axes fraction", "data"),
            xytext=(0, 1.5),
            textcoords="offset points",
            fontsize=6,
            color=colour,
        )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", lw=0.4, color="#DDDDDD")
    axes.set_axisbelow(True)
    axes.margins(x=0.06, y=0.12)
    shown = {p.iterations for line in (panel.standard, *panel.dac.values()) for p in line}
    at = sorted(shown)
    apart = len(at) < 2 or np.diff(at).min() > (at[-1] - at[0]) / 8
    axes.xaxis.set_major_locator(FixedLocator(at) if apart else MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _draw_line(axes: Any, points: Sequence[Point], colour: str, marker: str, dashes: Any) -> None:
    x = [point.iterations for point in points]
    y = [point.row.psnr.mean() for point in points]
    axes.plot(x, y, color=colour, ls=dashes, zorder=3)
    for point in points:
        fill = method_colour("distilled") if point.label.method == "distilled" else colour
        axes.plot(
            point.iterations,
            point.row.psnr.mean(),
            marker,
            ms=4.0,
            color=fill,
            mec=colour,
            mew=0.8,
            zorder=4,
        )
        if len(point.row.psnr) > 1:
            at = [point.iterations] * len(point.row.psnr)
            axes.plot(at, point.row.psnr, "o", ms=2.6, color=colour, alpha=0.4, mew=0, zorder=2)


def _handles(panels: Sequence[Budget], names: Sequence[str]) -> list[Line2D]:
    blue, red = method_colour("baseline-2x"), method_colour("dac")
    handles = [Line2D([], [], color=blue, marker="o", ms=4, label="standard training")]
    for place, name in enumerate(names):
        marker, dashes = _MARKERS[place % len(_MARKERS)], _DASHES[place % len(_MARKERS)]
        handles.append(
            Line2D([], [], color=red, marker=marker, ls=dashes, ms=4, label=for_figure(name))
        )
    lines = [line for panel in panels for line in panel.dac.values()]
    if any(point.label.method == "distilled" for line in lines for point in line):
        fill = method_colour("distilled")
        label = "DaC, distilled only"
        handles.append(Line2D([], [], color=fill, mec=red, marker="o", ls="", ms=4, label=label))
    if any(panel.beyond for panel in panels):
        colour, label = method_colour("baseline"), "standard training, longer than the axis"
        handles.append(Line2D([], [], color=colour, ls=_BEYOND, lw=0.9, label=label))
    return handles


def _short(steps: float) -> str:
    """30000 -> 30k."""
    return f"{steps / 1000:g}k" if steps >= 1000 else f"{steps:g}"


def _letter(place: int) -> str:
    rounds, index = divmod(place, 26)
    return chr(ord("a") + index) * (rounds + 1)
