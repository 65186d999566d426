"""Is it the division? Every control against the 2x baseline, and DaC's gain stage by stage.

On the left each run's PSNR minus that of the 2x baseline, with the 95 % interval over test views
and seeds; a dot is filled where the interval leaves zero out. On the right what each stage adds,
from the 1x baseline on, and the same for the test views of every sector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from dac.errors import UserError
from dac.report.controls import Controls, controls_of
from dac.report.figures import Inputs, Outputs, Settings, Wildcards
from dac.report.methods import known_method, method_colour
from dac.report.notes import of_few
from dac.report.rows import Row, SceneRows, load_scenes
from dac.report.statistics import Paired
from dac.report.style import TWO_COLUMNS, drawing, dress, group_colours, note_below, write_at
from dac.report.text import for_figure, interval, one_line, signed
from dac.report.waterfall import STAGES, Waterfall, waterfall

# A run further off than this is drawn at the edge, with its number: it would flatten the rest.
SHOWN_DECIBELS = 3.0


@dataclass(frozen=True)
class Line:
    """A run against the 2x baseline.

    Attributes:
        name: as it is printed.
        row: the run.
        control: whether it is DaC, or its student, with the division of a control.
        gain: PSNR minus the 2x baseline's; None where they share no seed.
    """

    name: str
    row: Row
    control: bool
    gain: Paired | None

    @property
    def sure(self) -> bool:
        """Whether it differs."""
        return self.gain is not None and self.gain.sure


@dataclass(frozen=True)
class Panel:
    """One scene.

    Attributes:
        title: of the scene.
        lines: runs against the 2x baseline.
        waterfalls: one a mode, where all stages are there.
        strides: of the pixels that the oracle rests on.
    """

    title: str
    lines: list[Line]
    waterfalls: list[Waterfall]
    strides: set[int]


def panels_of(records: Sequence[Path]) -> list[Panel]:
    """The numbers of every scene.

    Args:
        records: of the 2x baseline, and of the controls and DaC's models as far as they are there;
            DaC's division is that of the scene's routed experts.

    Raises:
        UserError: as `load_rows` and `controls_of`; a scene has no 2x baseline, two runs of one
            kind, or routed experts of several divisions.
    """
    panels = []
    for scene in load_scenes(records):
        chosen = _division_of(scene)
        found = controls_of(scene, *chosen)
        modes = sorted({row.label.mode for row in found.rows if row.label.mode is not None})
        falls = [waterfall(controls_of(scene, *chosen, mode)) for mode in modes]
        runs = () if found.experts is None else found.experts.runs
        strides = {run.settings.get("evaluate", {}).get("expert_stride", 1) for run in runs}
        known = [fall for fall in falls if fall is not None]
        panels.append(Panel(scene.title, _lines(found, len(modes) > 1), known, strides))
    return panels


def _division_of(scene: SceneRows) -> tuple[str, int]:
    """Division and K of the scene's routed experts; ("", 0) where none were scored."""
    found = {(row.label.division or "", row.label.K or 0) for row in scene.select("experts")}
    if len(found) > 1:
        what = "has routed experts of several divisions"
        raise UserError(f"scene {one_line(scene.scene)}", what, "say which is meant")
    return found.pop() if found else ("", 0)


def _lines(found: Controls, several_modes: bool) -> list[Line]:
    """The runs in the table's order, but mode by mode."""
    where = f"scene {one_line(found.scene)}"
    if found.twice is None:
        what = "has no record of the 2x baseline, which all others are compared with"
        raise UserError(where, what, "evaluate it")
    rows = [row for row in found.rows if row is not found.twice]
    kinds = list(dict.fromkeys(_kind(row, found) for row in rows))
    rows.sort(key=lambda row: (kinds.index(_kind(row, found)), row.label.mode or ""))
    lines: dict[str, Line] = {}
    for row in rows:
        marked = several_modes and row.label.mode is not None
        name = _kind(row, found) + (f", {row.label.mode}" if marked else "")
        if name in lines:
            what = f"has two runs of one kind: {one_line(name)}"
            raise UserError(where, what, "give one of them")
        student = row.label.method in ("dac", "distilled")
        control = student and row.label.division != found.division
        lines[name] = Line(name, row, control, row.minus(found.twice))
    return list(lines.values())


def _kind(row: Row, found: Controls) -> str:
    """A run's name but for its mode."""
    label = row.label
    if known_method(label.method).startswith("baseline"):
        times = float(label.method.removeprefix("baseline-").removesuffix("x"))
        return f"baseline {times:.3g}x"
    if label.method in ("experts", "oracle"):
        return f"{found.K} experts, {'oracle' if label.method == 'oracle' else 'routed'}"
    if label.method not in ("dac", "distilled"):
        return label.method
    division = "" if label.division == "single" else f" {label.division},"
    return f"{'DaC' if label.method == 'dac' else 'distilled'},{division} K = {label.K}"


def draw(inputs: Inputs, outputs: Outputs, settings: Settings, wildcards: Wildcards) -> None:
    """Draw every control against the 2x baseline, and what each stage adds; a line each scene.

    Args:
        inputs: the `records`.
        outputs, settings, wildcards: see `dac.report.figures`.

    Raises:
        UserError: as `panels_of`; the files can't be written.
    """
    panels = panels_of(inputs["records"])
    most = max(len(panel.waterfalls) for panel in panels)
    heights = [max(1.7, 0.75 + 0.155 * len(panel.lines)) for panel in panels]
    widths = [1.6, *[1.3 if most > 1 else 1.2] * most]
    with drawing(outputs, TWO_COLUMNS, sum(heights) + 0.4, layout="constrained") as figure:
        grid: Any = figure.subplots(
            len(panels), len(widths), squeeze=False, width_ratios=widths, height_ratios=heights
        )
        for line, panel in zip(grid, panels, strict=True):
            _draw_lines(line[0], panel)
            for axes, fall in zip(line[1:], panel.waterfalls, strict=False):
                _draw_waterfall(axes, fall)
            for axes in line[1 + len(panel.waterfalls) :]:
                axes.set_visible(False)
            _share_range(line[1 : 1 + len(panel.waterfalls)])
        note_below(figure, small_print(panels), 150)


def small_print(panels: Sequence[Panel]) -> str:
    """How the figure is read, and what to be careful about."""
    parts = ["Filled: the 95 % interval, paired over test views and seeds, leaves zero out."]
    gains = [line.gain for panel in panels for line in panel.lines if line.gain is not None]
    parts += of_few((gain.seeds for gain in gains), (gain.views for gain in gains))
    coarse = [stride for panel in panels for stride in panel.strides if stride > 1]
    if coarse:
        parts.append(f"Oracle: experts compared on a grid of pixels, stride {max(coarse)}.")
    if any(panel.waterfalls for panel in panels):
        parts.append("Right: what each stage adds; coloured lines: the views of each sector.")
    return " ".join(parts)


def _draw_lines(axes: Any, panel: Panel) -> None:
    lines = panel.lines
    axes.axvline(0, color="#555555", lw=0.8, zorder=1)
    for y, line in enumerate(lines):
        if line.gain is not None:
            _draw_line(axes, y, line, line.gain)
        _write_gain(axes, y, line)
    gains = [line.gain for line in lines if line.gain is not None]
    # Without an interval, its ends are NaN.
    ends = np.array([-0.1, 0.1, *(end for g in gains for end in (g.mean, g.low, g.high))])
    low, high = np.clip([np.nanmin(ends), np.nanmax(ends)], -SHOWN_DECIBELS, SHOWN_DECIBELS)
    axes.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.set_ylim(len(lines) - 0.4, -0.6)
    names = [for_figure(line.name, 36) for line in lines]
    axes.set_yticks(range(len(lines)), names, fontsize=6.5)
    axes.tick_params(axis="y", length=0)
    dress(axes, "x", bare=("left",))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("PSNR minus baseline 2x (dB)")
    axes.set_title(panel.title, loc="left", weight="bold")


def _draw_line(axes: Any, y: int, line: Line, gain: Paired) -> None:
    method = line.row.label.method
    colour = method_colour("experts" if method == "oracle" else method)
    fill = colour if line.sure else "white"
    shape = "D" if method == "oracle" else "s" if line.control else "o"
    mean = gain.mean
    if abs(mean) > SHOWN_DECIBELS:
        shape, mean = ("<", -SHOWN_DECIBELS) if mean < 0 else (">", SHOWN_DECIBELS)
    else:
        axes.hlines(y, gain.low, gain.high, color=colour, lw=1.3, zorder=2)
    axes.plot(mean, y, shape, ms=4.8, color=fill, mec=colour, mew=1.1, zorder=3, clip_on=False)


def _write_gain(axes: Any, y: int, line: Line) -> None:
    text = "no common seed"
    if line.gain is not None:
        text = f"{signed(line.gain.mean)} {interval(line.gain.low, line.gain.high)}"
    weight = "bold" if line.sure else "normal"
    write_at(axes, text, (1.02, y), "left center", share="x", weight=weight)


def _draw_waterfall(axes: Any, fall: Waterfall) -> None:
    for sector, colour in enumerate(group_colours(len(fall.sectors))):
        levels = [0.0, *fall.sectors[sector]]
        axes.plot(range(4), levels, color=colour, lw=0.8, marker="o", ms=2.2, alpha=0.8, zorder=4)
    level = 0.0
    for x, (method, stage) in enumerate(zip(STAGES, fall.stages, strict=True), start=1):
        colour = method_colour(method)
        axes.bar(x, stage.mean, 0.62, bottom=level, color=colour, alpha=0.55, zorder=2)
        after = level + stage.mean
        axes.hlines(after, x - 0.31, x + 0.31, color=colour, lw=1.6, zorder=3)
        axes.vlines(x, level + stage.low, level + stage.high, color="#333333", lw=0.8, zorder=3)
        text, weight = signed(stage.mean, 2), "bold" if stage.sure else "normal"
        write_at(axes, text, (x, 1.0), "center top", share="y", size=5.5, weight=weight)
        level = after
    axes.axhline(0, color="#555555", lw=0.8, zorder=1)
    if np.isfinite(fall.twice):
        axes.axhline(fall.twice, color=method_colour("baseline-2x"), lw=1.0, ls=(0, (4, 2)))
    _dress_waterfall(axes, fall)


def _dress_waterfall(axes: Any, fall: Waterfall) -> None:
    axes.set_xlim(-0.25, 3.5)
    names = ["1x", "experts", "distilled", "fine-tuned"]
    axes.set_xticks(range(4), names, rotation=35, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0, labelsize=6, pad=2)
    dress(axes)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if np.isfinite(fall.twice):
        colour = method_colour("baseline-2x")
        at = (1.0, fall.twice)
        write_at(axes, "2x", at, "left center", share="x", shift=(1, 0), color=colour)
    axes.set_title(f"{for_figure(fall.mode, 12)} mode", loc="left")


def _share_range(panels: Sequence[Any]) -> None:
    """One vertical range for the waterfalls of a scene; the stages' numbers stand above them."""
    if len(panels) == 0:
        return
    limits = np.array([axes.get_ylim() for axes in panels])
    bottom, top = limits[:, 0].min(), limits[:, 1].max()
    for axes in panels:
        axes.set_ylim(bottom, top + 0.12 * (top - bottom))
    panels[0].set_ylabel("minus baseline 1x (dB)")
    for axes in panels[1:]:
        axes.tick_params(labelleft=False)
