"""Disjoint groups or overlapping sectors (the paper's Fig. 6): the 2x baseline and DaC with both.

The paper draws bars. A bar's length is read from zero, and between 25 and 38 dB from zero a tenth
of a decibel can't be seen; cut off, its length misleads. So these are dots, and all panels span
equally many decibels: equal distances mean equal differences in every scene. The paired difference
of the two divisions, with its 95 % interval over views and seeds, is written above.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from dac.errors import UserError
from dac.report.figures import Inputs, Outputs, Settings, Wildcards
from dac.report.methods import method_colour
from dac.report.notes import of_few
from dac.report.rows import Row, SceneRows, check_same_views, load_scenes
from dac.report.statistics import Paired
from dac.report.style import TWO_COLUMNS, drawing, dress, note_below, panel_grid, write_at
from dac.report.text import for_figure, interval, one_line, signed

OVERLAPPING = "azimuth-overlap"
NARROW = 4.6  # inches: the width of a single panel, and of the legend below it
LEAST_SPAN = 0.5  # dB that a panel shows, so that differences of no account look like it


@dataclass(frozen=True)
class Dot:
    """One run of a scene, whatever the seed.

    Attributes:
        kind: `baseline`, `disjoint` or `overlapping`.
        row: the run.
    """

    kind: str
    row: Row

    @property
    def mode(self) -> str:
        """DaC's; empty for the baseline."""
        return self.row.label.mode or ""


@dataclass(frozen=True)
class Panel:
    """One scene.

    Attributes:
        scene: its rows.
        dots: what there is of baseline, disjoint and overlapping, mode by mode.
        differences: mode -> PSNR with overlapping sectors minus with disjoint groups.
    """

    scene: SceneRows
    dots: list[Dot]
    differences: dict[str, Paired]

    @property
    def modes(self) -> list[str]:
        """DaC's modes, in the order of the dots."""
        return list(dict.fromkeys(dot.mode for dot in self.dots if dot.kind != "baseline"))


def panels_of(records: Sequence[Path]) -> list[Panel]:
    """The numbers of every scene that has a model of DaC's.

    Args:
        records: of the 2x baseline and of DaC, in each mode with at most one division into disjoint
            groups and one into overlapping sectors; other methods are ignored.

    Raises:
        UserError: as `load_rows` and `check_same_views`; a mode has two runs of one kind; no record
            is of DaC.
    """
    panels = []
    for scene in load_scenes(records):
        chosen: dict[tuple[str, str], Dot] = {}
        for row in scene.select("baseline-2x") + scene.select("dac"):
            dot = Dot(_kind(row), row)
            if (dot.mode, dot.kind) in chosen:
                what = f"has two runs of one kind: {dot.kind}, {one_line(dot.mode or 'no')} mode"
                raise UserError(f"scene {one_line(scene.scene)}", what, "give one of them")
            chosen[dot.mode, dot.kind] = dot
        dots = [chosen[key] for key in sorted(chosen)]
        check_same_views([dot.row for dot in dots])
        differences = {}
        for (mode, kind), dot in chosen.items():
            disjoint = chosen.get((mode, "disjoint"))
            if kind == "overlapping" and disjoint is not None:
                found = dot.row.minus(disjoint.row)
                if found is not None:
                    differences[mode] = found
        if any(dot.kind != "baseline" for dot in dots):
            panels.append(Panel(scene, dots, differences))
    if not panels:
        raise UserError("overlap figure", "no record is of DaC", "evaluate a fine-tuned model")
    return panels


def draw(inputs: Inputs, outputs: Outputs, settings: Settings, wildcards: Wildcards) -> None:
    """Draw the PSNR with disjoint groups and with overlapping sectors.

    Args:
        inputs: the `records`.
        outputs, settings, wildcards: see `dac.report.figures`.

    Raises:
        UserError: as `panels_of`; the files can't be written.
    """
    panels = panels_of(inputs["records"])
    modes = sorted({mode for panel in panels for mode in panel.modes})
    columns = min(len(panels), 5 if len(modes) == 1 else 3)
    span = max(LEAST_SPAN, *(np.ptp(_all_values(panel)) for panel in panels))
    width = TWO_COLUMNS if columns > 1 else NARROW
    height = 2.1 * -(-len(panels) // columns) + 0.6
    with drawing(outputs, width, height, layout="constrained") as figure:
        grid = panel_grid(figure, len(panels), columns)
        for index, (axes, panel) in enumerate(zip(grid, panels, strict=True)):
            _draw(axes, panel, modes, 1.6 * span)
            if index % columns == 0:
                axes.set_ylabel("test PSNR (dB)")
        note_below(figure, small_print(panels), round(22 * width), _handles(panels), ncols=3)


def _kind(row: Row) -> str:
    if row.label.method != "dac":
        return "baseline"
    return "overlapping" if row.label.division == OVERLAPPING else "disjoint"


def _all_values(panel: Panel) -> NDArray[np.float64]:
    return np.concatenate([dot.row.psnr for dot in panel.dots])


def small_print(panels: Sequence[Panel]) -> str:
    """How the figure is read."""
    parts = ["All panels span equally many dB."]
    if any(len(dot.row.runs) > 1 for panel in panels for dot in panel.dots):
        parts.append("Whiskers: standard deviation over seeds.")
    if any(panel.differences for panel in panels):
        text = "Above: overlapping minus disjoint, paired, 95 % interval (bold: without zero)."
        parts.append(text)
    found = [one for panel in panels for one in panel.differences.values()]
    return " ".join(parts + of_few((one.seeds for one in found), (one.views for one in found)))


def _draw(axes: Any, panel: Panel, modes: Sequence[str], span: float) -> None:
    """Dots of one scene: the baseline, then a pair each mode."""
    left = {mode: 1.0 + 2.6 * index for index, mode in enumerate(modes)}
    for dot in panel.dots:
        pair = left.get(dot.mode, 0.0)
        _draw_dot(axes, {"baseline": 0.0, "overlapping": pair + 1.0}.get(dot.kind, pair), dot)
    values = _all_values(panel)
    middle = (values.max() + values.min()) / 2
    # The differences are written above the dots.
    axes.set_ylim(middle - 0.4 * span, middle + 0.6 * span)
    axes.set_xlim(-0.6, left[modes[-1]] + 1.95)
    for mode, found in panel.differences.items():
        highest = max(_top(dot) for dot in panel.dots if dot.mode == mode)
        _write_difference(axes, left[mode], highest + 0.06 * span, found)
    if len(modes) > 1:
        axes.set_xticks(
            [x + 0.5 for x in left.values()], [for_figure(f"{mode} mode", 20) for mode in left]
        )
    else:
        axes.set_xticks([])
    axes.tick_params(axis="x", length=0)
    dress(axes)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_title(panel.scene.title, loc="left", weight="bold")


def _draw_dot(axes: Any, x: float, dot: Dot) -> None:
    colour, fill = _colours(dot.kind)
    mean, spread = dot.row.psnr.mean(), dot.row.spread("psnr")
    if spread is not None:
        axes.errorbar(x, mean, spread, color=colour, lw=1.0, capsize=2, zorder=2)
    axes.plot(x, mean, "o", ms=5.5, color=fill, mec=colour, mew=1.1, zorder=3)


def _top(dot: Dot) -> float:
    """The whisker's end."""
    return float(dot.row.psnr.mean()) + (dot.row.spread("psnr") or 0.0)


def _write_difference(axes: Any, x: float, y: float, found: Paired) -> None:
    axes.plot([x, x + 1], [y, y], color="#555555", lw=0.7)
    write_at(
        axes,
        f"{signed(found.mean)}\n{interval(found.low, found.high)}",
        (x + 0.5, y),
        "center bottom",
        shift=(0, 2),
        linespacing=1.1,
        weight="bold" if found.sure else "normal",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )


def _handles(panels: Sequence[Panel]) -> list[Line2D]:
    names = {"baseline": "baseline 2x"}
    for kind, groups in (("disjoint", "groups"), ("overlapping", "sectors")):
        counts = {d.row.label.K for panel in panels for d in panel.dots if d.kind == kind}
        one = f"{counts.pop()} {kind}" if len(counts) == 1 else kind
        names[kind] = f"DaC, {one} {groups}"
    handles = []
    for kind, name in names.items():
        colour, fill = _colours(kind)
        handles.append(
            Line2D([], [], color=fill, mec=colour, mew=1.1, marker="o", ms=5.5, ls="", label=name)
        )
    return handles


def _colours(kind: str) -> tuple[str, str]:
    """Of the edge and of the face."""
    colour = method_colour("baseline-2x" if kind == "baseline" else "dac")
    return colour, "white" if kind == "overlapping" else colour
