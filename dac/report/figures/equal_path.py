"""What K workers reach in one worker's wall-clock: test PSNR over the path, a panel each scene.

The path, on a logarithmic axis, is the longest chain of training steps, with the experts side by
side. The bars are no spread of the PSNR itself, most of which is how hard the views are: they are
the 95 % interval of the difference from the baseline of the same path, about the point. A bar that
leaves the baseline's line out is a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from dac.report.equal_path import EqualPath, Line, equal_path
from dac.report.figures import Inputs, Outputs, Settings, Wildcards
from dac.report.methods import method_colour
from dac.report.notes import of_few
from dac.report.rows import trunk_share
from dac.report.style import TWO_COLUMNS, drawing, dress, note_below, panel_grid
from dac.report.text import for_figure

NARROW = 4.6  # inches: the width of a single panel, and of the legend below it
_MARKERS = ("s", "D", "^", "v", "<")  # of routed models, by K
_APART = 0.022  # of a panel's width, between points of one path, so that none hides another
_NAMES = {
    "baseline": "baseline",
    "big_batch": "baseline, {K} x the rays",
    "wide": "baseline, {K} x the parameters",
    "merged": "merged",
    "distilled": "distilled, fine-tuned",
}
_SHAPES = {"baseline": "o", "big_batch": "P", "wide": "X", "merged": "h", "distilled": "p"}


@dataclass(frozen=True)
class Series:
    """Points of one look.

    Attributes:
        name: as the legend has it.
        colour, marker: of its points.
        fill: of them: `full`, of the trunk as it is configured; `none`, without a trunk; `bottom`.
        joined: whether a line joins them.
    """

    name: str
    colour: str
    marker: str
    fill: Literal["full", "bottom", "none"]
    joined: bool

    @property
    def look(self) -> dict[str, Any]:
        """For matplotlib."""
        style = "bottom" if self.fill == "bottom" else "full"
        dots = {"marker": self.marker, "ms": 4.6, "fillstyle": style, "mfcalt": "white"}
        inside = "white" if self.fill == "none" else self.colour
        edge = {"mfc": inside, "mec": self.colour, "mew": 1.0}
        return dots | edge | {"color": self.colour, "ls": "-" if self.joined else "", "lw": 1.2}


def series_of(scenes: Sequence[EqualPath]) -> dict[Series, list[list[Line]]]:
    """Every series with its points in each scene, in the legend's order."""
    sizes = sorted({line.label.K or 0 for scene in scenes for line in _all_routed(scene)})
    found: dict[Series, list[list[Line]]] = {}
    for index, scene in enumerate(scenes):
        for line in scene.lines:
            series = _series(line, scene, sizes)
            found.setdefault(series, [[] for _ in scenes])[index].append(line)
    order = ["baseline", "routed", *(name for name in _NAMES if name != "baseline")]

    def place(series: Series) -> tuple[int, bool, str]:
        line = next(line for points in found[series] for line in points)
        method = "routed" if line.method.startswith("routed") else line.method
        return order.index(method), not series.joined, series.name

    return {series: found[series] for series in sorted(found, key=place)}


def _all_routed(scene: EqualPath) -> list[Line]:
    return scene.of("routed", "routed_trunk", "routed_random")


def _series(line: Line, scene: EqualPath, sizes: Sequence[int]) -> Series:
    method, label = line.method, line.label
    if not method.startswith("routed"):
        name = _NAMES[method].format(K=label.K)
        several = {other.label.mode for other in scene.of("distilled")}
        if method == "distilled" and len(several) > 1:
            name = for_figure(f"{name} ({label.mode})", 40)
        colour = method_colour({"distilled": "dac"}.get(method, method))
        return Series(name, colour, _SHAPES[method], "full", method == "baseline")
    share = trunk_share(label)
    trunk = f"trunk {share:.2g}" if share else "no trunk"
    chance = ", random groups" if method == "routed_random" else ""
    usual = bool(scene.ours) and share == trunk_share(scene.ours[0].label) and not chance
    marker = "x" if chance else _MARKERS[sizes.index(label.K or 0) % len(_MARKERS)]
    name = f"routed, K = {label.K}, {trunk}{chance}"
    fill: Literal["full", "bottom", "none"] = "full" if usual else "bottom" if share else "none"
    return Series(name, method_colour("routed"), marker, fill, usual)


def draw(inputs: Inputs, outputs: Outputs, settings: Settings, wildcards: Wildcards) -> None:
    """Draw test PSNR over the path, a panel each scene.

    Args:
        inputs: the `records`.
        outputs, wildcards: see `dac.report.figures`.
        settings: `routed`, scene -> the configured division, its K and the trunk's share.

    Raises:
        UserError: as `equal_path`; two models to compare were scored on different views; the files
            can't be written.
    """
    scenes = equal_path(inputs["records"], settings["routed"])
    series = series_of(scenes)
    columns = {1: 1, 2: 2, 4: 2}.get(len(scenes), 3)
    width = NARROW if columns == 1 else TWO_COLUMNS
    legend_columns = 2 if columns == 1 else 3
    height = 2.5 * -(-len(scenes) // columns) + 0.5 + 0.15 * -(-len(series) // legend_columns)
    with drawing(outputs, width, height, layout="constrained") as figure:
        panels = panel_grid(figure, len(scenes), columns)
        for index, (axes, scene) in enumerate(zip(panels, scenes, strict=True)):
            _draw(axes, {each: points[index] for each, points in series.items()})
            axes.set_title(scene.scene.title, loc="left", weight="bold")
            if index % columns == 0:
                axes.set_ylabel("test PSNR (dB)")
            if index + columns >= len(scenes):
                axes.set_xlabel("path, in units of an expert's steps")
        handles = [Line2D([], [], label=each.name, **each.look) for each in series]
        layout = {"ncols": legend_columns, "handlelength": 2.0, "columnspacing": 1.2}
        note_below(figure, small_print(scenes), round(22 * width), handles, **layout)


def small_print(scenes: Sequence[EqualPath]) -> str:
    """How the figure is read, and what to be careful about."""
    gains = [line.gain for scene in scenes for line in scene.lines if line.gain is not None]
    parts = [
        "Bars: the 95 % interval of the difference from the baseline of the same path, or the next "
        "longer one, paired over test views and seeds. Points of one path are drawn apart."
    ]
    return " ".join(parts + of_few((g.seeds for g in gains), (g.views for g in gains)))


def _draw(axes: Any, series: dict[Series, list[Line]]) -> None:
    paths = [line.path for lines in series.values() for line in lines]
    limits = min(paths) / 1.35, max(paths) * 1.2
    apart = (limits[1] / limits[0]) ** _APART
    taken: dict[float, int] = {}
    for each, lines in series.items():
        xs = [line.path if each.joined else _beside(line.path, taken, apart) for line in lines]
        ys = [float(line.row.psnr.mean()) for line in lines]
        axes.plot(xs, ys, zorder=4 if each.joined else 3, **each.look)
        for x, y, line in zip(xs, ys, lines, strict=True):
            if line.gain is not None:
                low, high = (y + end - line.gain.mean for end in (line.gain.low, line.gain.high))
                axes.vlines(x, low, high, color=each.colour, lw=0.9, zorder=2)
    _dress(axes, limits)


def _beside(path: float, taken: dict[float, int], apart: float) -> float:
    """A place near a path for one more point: in turn to its right and left, ever farther."""
    count = taken[path] = taken.get(path, 0) + 1
    steps = (count + 1) // 2
    return path * apart ** (steps if count % 2 else -steps)


def _dress(axes: Any, limits: tuple[float, float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(*limits)
    powers = [2.0**power for power in range(-10, 11)]
    axes.xaxis.set_major_locator(FixedLocator([x for x in powers if limits[0] < x < limits[1]]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.margins(y=0.08)
    dress(axes)
