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
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from dac.errors import UserError
from dac.evaluation.records import Label
from dac.report.figures import Inputs, Outputs, Settings, Wildcards
from dac.report.methods import known_method, method_colour
from dac.report.rows import Row, SceneRows, check_same_views, load_scenes
from dac.report.style import (
    ONE_COLUMN,
    TWO_COLUMNS,
    drawing,
    dress,
    note_below,
    panel_grid,
    write_at,
)
from dac.report.table import Column, values_of
from dac.report.table_files import write_csv
from dac.report.text import for_figure, one_line

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
class Panel:
    """One scene.

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

    @property
    def lines(self) -> dict[str, list[Point]]:
        """All of them, by name."""
        return {"standard": self.standard, **self.dac, "beyond": self.beyond}


# The plotted numbers: one row a point.
COLUMNS: list[Column[tuple[str, Point]]] = [
    Column("scene", lambda each: each[1].row.scene),
    Column("model", lambda each: each[1].label.model),
    Column("line", lambda each: each[0]),
    Column("method", lambda each: each[1].label.method),
    Column("division", lambda each: each[1].label.division),
    Column("K", lambda each: each[1].label.K),
    Column("mode", lambda each: each[1].label.mode),
    Column("iterations", lambda each: each[1].iterations),
    Column("total_steps", lambda each: each[1].total),
    Column("psnr", lambda each: each[1].row.mean("psnr")),
    Column("psnr_std", lambda each: each[1].row.spread("psnr")),
    Column("seeds", lambda each: len(each[1].row.runs)),
]


def panels_of(records: Sequence[Path]) -> list[Panel]:
    """The panels' numbers.

    Args:
        records: of baselines, distilled and DaC's models; others are ignored.

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
        twice = [p.iterations for p in baselines if p.label.method == "baseline-2x"]
        end = max([*twice, *(point.iterations for point in ours)]) if ours else np.inf
        beyond = [point for point in baselines if point.iterations > end]
        standard = [point for point in baselines if point.iterations <= end]
        if points:
            panels.append(Panel(scene, standard, _lines(ours), beyond))
    if not panels:
        raise UserError("convergence study", "no record is of a baseline or of DaC", "evaluate one")
    return panels


def draw(inputs: Inputs, outputs: Outputs, settings: Settings, wildcards: Wildcards) -> None:
    """Draw test PSNR over iterations, a panel each scene, and write the numbers.

    Args:
        inputs: the `records`.
        outputs: `csv` too.
        settings, wildcards: see `dac.report.figures`.

    Raises:
        UserError: as `panels_of`; the files can't be written.
    """
    panels = panels_of(inputs["records"])
    points = [(name, point) for panel in panels for name, of in panel.lines.items() for point in of]
    write_csv(COLUMNS, values_of(COLUMNS, points), outputs["csv"])
    columns = {1: 1, 2: 2, 4: 2}.get(len(panels), 3)
    legend_columns = 1 if columns == 1 else 3
    names = list(dict.fromkeys(name for panel in panels for name in panel.dac))
    legend = _legend(panels, names)
    width = ONE_COLUMN if columns == 1 else TWO_COLUMNS
    height = 1.9 * -(-len(panels) // columns) + 0.45 + 0.16 * -(-len(legend) // legend_columns)
    with drawing(outputs, width, height, layout="constrained") as figure:
        for index, (axes, panel) in enumerate(
            zip(panel_grid(figure, len(panels), columns), panels, strict=True)
        ):
            _draw(axes, panel, names)
            axes.set_title(panel.scene.title, loc="left", weight="bold")
            if index % columns == 0:
                axes.set_ylabel("test PSNR (dB)")
            if index + columns >= len(panels):
                axes.set_xlabel("training iterations")
        handles = [Line2D([], [], **options) for options in legend]
        layout = {"ncols": legend_columns, "handlelength": 3.2}
        note_below(figure, small_print(panels), round(22 * width), handles, **layout)


def small_print(panels: Sequence[Panel]) -> str:
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


def _draw(axes: Any, panel: Panel, names: Sequence[str]) -> None:
    _draw_line(axes, panel.standard, method_colour("baseline-2x"), "o", "-")
    for name, points in panel.dac.items():
        index = names.index(name) % len(_MARKERS)
        _draw_line(axes, points, method_colour("dac"), _MARKERS[index], _DASHES[index])
    for point in panel.beyond:
        colour = method_colour("baseline")
        axes.axhline(point.row.psnr.mean(), color=colour, lw=0.9, ls=_BEYOND, zorder=1)
        text, at = f"{_short(point.iterations)} steps", (0.01, point.row.psnr.mean())
        write_at(axes, text, at, "left baseline", share="x", shift=(0, 1.5), color=colour)
    dress(axes)
    axes.margins(x=0.06, y=0.12)
    lines = (panel.standard, *panel.dac.values())
    shown = sorted({point.iterations for line in lines for point in line})
    apart = len(shown) < 2 or np.diff(shown).min() > (shown[-1] - shown[0]) / 8
    axes.xaxis.set_major_locator(FixedLocator(shown) if apart else MaxNLocator(5, integer=True))
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
            x = [point.iterations] * len(point.row.psnr)
            axes.plot(x, point.row.psnr, "o", ms=2.6, color=colour, alpha=0.4, mew=0, zorder=2)


def _legend(panels: Sequence[Panel], names: Sequence[str]) -> list[dict[str, Any]]:
    """What the legend's lines look like."""
    blue, red = method_colour("baseline-2x"), method_colour("dac")
    legend = [{"color": blue, "marker": "o", "ms": 4, "label": "standard training"}]
    for index, name in enumerate(names):
        marker, dashes = _MARKERS[index % len(_MARKERS)], _DASHES[index % len(_MARKERS)]
        label = for_figure(name)
        legend.append({"color": red, "marker": marker, "ls": dashes, "ms": 4, "label": label})
    lines = [line for panel in panels for line in panel.dac.values()]
    if any(point.label.method == "distilled" for line in lines for point in line):
        distilled = {"color": method_colour("distilled"), "mec": red, "marker": "o", "ls": ""}
        legend.append(distilled | {"ms": 4, "label": "DaC, distilled only"})
    if any(panel.beyond for panel in panels):
        beyond = {"color": method_colour("baseline"), "ls": _BEYOND, "lw": 0.9}
        legend.append(beyond | {"label": "standard training, longer than the axis"})
    return legend


def _short(steps: float) -> str:
    """30000 -> 30k."""
    return f"{steps / 1000:g}k" if steps >= 1000 else f"{steps:g}"
