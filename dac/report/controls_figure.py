"""Is it the division? Every control against the 2x baseline, and DaC's gain stage by stage.

On the left each run's PSNR minus that of the 2x baseline, with the 95 % interval over test views
and seeds; a dot is filled where the interval leaves zero out. On the right what each stage adds,
from the 1x baseline on, and the same for the test views of every sector.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dac.report.gains import STAGES, Row, Waterfall, division_of, rows_of, strides, waterfalls
from dac.report.methods import method_colour
from dac.report.scene_records import SceneRecords, load_scene_records
from dac.report.style import STYLE, TWO_COLUMNS, group_colours, save_figure
from dac.report.text import for_figure, signed

# A run further off than this is drawn at the edge, with its number: it would flatten the rest.
SHOWN_DECIBELS = 3.0


@dataclass(frozen=True)
class Controls:
    """One scene.

    Attributes:
        records: of the scene.
        rows: runs against the 2x baseline.
        waterfalls: one a mode, where all stages are there.
        strides: of the pixels that the oracle rests on.
    """

    records: SceneRecords
    rows: list[Row]
    waterfalls: list[Waterfall]
    strides: set[int]


def controls(records: Sequence[Path], division: str | None, K: int | None) -> list[Controls]:
    """The numbers of every scene.

    Args:
        records: of the 2x baseline, and of the controls and DaC's models as far as they are there.
        division, K: of DaC; where either is None, each scene's are those of its routed experts.

    Raises:
        UserError: as `load_scene_records`, `rows_of` and `division_of`.
    """
    scenes = []
    for scene in load_scene_records(records):
        chosen = division_of(scene) if division is None or K is None else (division, K)
        rows, falls = rows_of(scene, *chosen), waterfalls(scene, *chosen)
        scenes.append(Controls(scene, rows, falls, strides(scene, *chosen)))
    return scenes


def controls_figure(
    records: Sequence[Path], division: str | None, K: int | None, png: Path, pdf: Path
) -> None:
    """Draw every control against the 2x baseline, and what each stage adds; a line each scene.

    Args:
        records: `evaluation.json` files.
        division, K: as for `controls`.
        png, pdf: files to write.

    Raises:
        UserError: as `controls`; the files can't be written.
    """
    scenes = controls(records, division, K)
    most = max(len(scene.waterfalls) for scene in scenes)
    heights = [max(1.7, 0.75 + 0.155 * len(scene.rows)) for scene in scenes]
    with rc_context(STYLE):
        figure = Figure(figsize=(TWO_COLUMNS, sum(heights) + 0.4), layout="constrained")
        widths = [1.6, *[1.3 if most > 1 else 1.2 for _ in range(most)]]
        grid: Any = figure.subplots(
            len(scenes), len(widths), squeeze=False, width_ratios=widths, height_ratios=heights
        )
        for line, scene in zip(grid, scenes, strict=True):
            _draw_rows(line[0], scene)
            for axes, fall in zip(line[1:], scene.waterfalls, strict=False):
                _draw_waterfall(axes, fall)
            for axes in line[1 + len(scene.waterfalls) :]:
                axes.set_visible(False)
            _share_range(line[1 : 1 + len(scene.waterfalls)])
        note = textwrap.fill(small_print(scenes), 150)
        legend = figure.legend(
            handles=[], loc="outside lower left", title=note, title_fontsize=6, frameon=False
        )
        legend.get_title().set_color("#555555")
        save_figure(figure, png, pdf, dpi=300)


def small_print(scenes: Sequence[Controls]) -> str:
    """How the figure is read, and what to be careful about."""
    parts = ["Filled: the 95 % interval, paired over test views and seeds, leaves zero out."]
    gains = [row.gain for scene in scenes for row in scene.rows if row.gain is not None]
    if any(gain.seeds == 1 for gain in gains):
        parts.append("With one seed it speaks of the views alone.")
    coarse = sorted(stride for scene in scenes for stride in scene.strides if stride > 1)
    if coarse:
        parts.append(f"Oracle: experts compared on a grid of pixels, stride {coarse[-1]}.")
    if any(scene.waterfalls for scene in scenes):
        parts.append("Right: what each stage adds; coloured lines: the views of each sector.")
    return " ".join(parts)


def _draw_rows(axes: Any, scene: Controls) -> None:
    rows = scene.rows
    axes.axvline(0, color="#555555", lw=0.8, zorder=1)
    for place, row in enumerate(rows):
        if row.gain is not None:
            _draw_row(axes, place, row)
        _write_gain(axes, place, row)
    ends = [end for row in rows if row.gain for end in (row.gain.low, row.gain.high)]
    low, high = (
        max(min(ends, default=0), -SHOWN_DECIBELS),
        min(max(ends, default=0), SHOWN_DECIBELS),
    )
    low, high = min(low, -0.1), max(high, 0.1)
    axes.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [for_figure(row.name, 36) for row in rows], fontsize=6.5)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", lw=0.4, color="#DDDDDD")
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("PSNR minus baseline 2x (dB)")
    axes.set_title(scene.records.title, loc="left", weight="bold")


def _draw_row(axes: Any, place: int, row: Row) -> None:
    assert row.gain is not None
    colour = method_colour("experts" if row.method == "oracle" else row.method)
    fill = colour if row.gain.sure else "white"
    shape = "D" if row.method == "oracle" else "s" if row.control else "o"
    mean = row.gain.mean
    if abs(mean) > SHOWN_DECIBELS:
        shape, mean = ("<", -SHOWN_DECIBELS) if mean < 0 else (">", SHOWN_DECIBELS)
    else:
        axes.hlines(place, row.gain.low, row.gain.high, color=colour, lw=1.3, zorder=2)
    axes.plot(mean, place, shape, ms=4.8, color=fill, mec=colour, mew=1.1, zorder=3, clip_on=False)


def _write_gain(axes: Any, place: int, row: Row) -> None:
    text = "no common seed"
    if row.gain is not None:
        numbers = (row.gain.mean, row.gain.low, row.gain.high)
        mean, low, high = (signed(number, 2) for number in numbers)
        text = f"{mean} [{low}, {high}]"
    axes.annotate(
        text,
        (1.02, place),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=6,
        weight="bold" if row.gain is not None and row.gain.sure else "normal",
    )


def _draw_waterfall(axes: Any, fall: Waterfall) -> None:
    for sector, colour in enumerate(group_colours(len(fall.sectors))):
        levels = [0.0, *fall.sectors[sector]]
        axes.plot(range(4), levels, color=colour, lw=0.8, marker="o", ms=2.2, alpha=0.8, zorder=4)
    level = 0.0
    for place, (method, stage) in enumerate(zip(STAGES, fall.stages, strict=True), start=1):
        colour = method_colour(method)
        axes.bar(place, stage.mean, 0.62, bottom=level, color=colour, alpha=0.55, zorder=2)
        after = level + stage.mean
        axes.hlines(after, place - 0.31, place + 0.31, color=colour, lw=1.6, zorder=3)
        axes.vlines(place, level + stage.low, level + stage.high, color="#333333", lw=0.8, zorder=3)
        axes.annotate(
            signed(stage.mean, 2),
            (place, 1.0),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="top",
            fontsize=5.5,
            weight="bold" if stage.sure else "normal",
        )
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
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", lw=0.4, color="#DDDDDD")
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if np.isfinite(fall.twice):
        axes.annotate(
            "2x",
            (1.0, fall.twice),
            xycoords=("axes fraction", "data"),
            xytext=(1, 0),
            textcoords="offset points",
            va="center",
            fontsize=6,
            color=method_colour("baseline-2x"),
        )
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
