"""Qualitative comparison (the paper's Fig. 5): truth, baseline, DaC, with enlarged details.

Views and details are chosen by a rule, not by hand: views at evenly spaced ranks of DaC's gain over
the baseline (for two views, the quartiles), and in each view the square where DaC is furthest ahead
and the one where the baseline is. A detail's frame has the colour of the method ahead in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from dac.errors import UserError
from dac.evaluation.metrics import psnr_of_error
from dac.evaluation.truth import truth_image, usable_pixels
from dac.report.figures import Inputs, Outputs, Settings, Wildcards
from dac.report.methods import method_colour, method_name
from dac.report.renders import Renders, common_views
from dac.report.style import TWO_COLUMNS, drawing
from dac.report.text import for_figure
from dac.scenes.scene import Scene

Floats = NDArray[np.float64]

DETAIL = 0.22  # side of a detail, as a share of the image's shorter side
GAP = 0.012  # between pictures, in widths of the figure
TEXT = 0.17  # inches above a row of pictures
TALLEST = 0.8  # height of a picture that is cut to the object, in its widths


@dataclass(frozen=True)
class Row:
    """One view: truth, baseline and DaC.

    Attributes:
        title: scene and view.
        images: three (H, W, 3) in [0, 1].
        names, colours: of the two methods.
        psnr: of the two methods, on the view.
        details: top left corners (row, column) of two squares; where ours is furthest ahead first.
        side: of the squares, in pixels.
        frame: what is shown of the view: first and last row, first and last column.
        ahead: whether ours is ahead in each.
        detail_psnr: (2 details, 2 methods).
    """

    title: str
    images: list[Floats]
    names: list[str]
    colours: list[str]
    psnr: list[float]
    details: list[tuple[int, int]]
    side: int
    frame: tuple[int, int, int, int]
    ahead: list[bool]
    detail_psnr: Floats


def draw(inputs: Inputs, outputs: Outputs, settings: Settings, wildcards: Wildcards) -> None:
    """Draw some views of each scene.

    Args:
        inputs: `scenes` (of each a file of its folder) and, in the same order, the records of their
            `baselines` and of `ours`.
        outputs, wildcards: see `dac.report.figures`.
        settings: `report`, of which `crops` (views of a scene) and `dpi`.

    Raises:
        UserError: an evaluation is missing or damaged, or two score no common view.
    """
    report = settings["report"]
    files = zip(inputs["scenes"], inputs["baselines"], inputs["ours"], strict=True)
    rows = [
        row
        for scene, baseline, ours in files
        for row in choose_rows(scene.parent, baseline.parent, ours.parent, report["crops"])
    ]
    heights = [_row_height(row) for row in rows]
    top = total = sum(heights)
    with drawing(outputs, TWO_COLUMNS, total, dpi=report["dpi"]) as figure:
        for row, height in zip(rows, heights, strict=True):
            _draw_row(figure, row, top / total, total)
            top -= height


def choose_rows(scene_dir: Path, baseline: Path, ours: Path, views: int) -> list[Row]:
    """The rows of one scene and two evaluations of it; see the module's text for the rule."""
    scene = Scene.load(scene_dir)
    methods = [Renders(folder) for folder in (baseline, ours)]
    common = common_views(methods)
    if not common:
        what = "scores no view of the baseline's"
        raise UserError(ours, what, "score the same test views")
    gains = [methods[1].score(view).psnr - methods[0].score(view).psnr for view in common]
    ranked = [common[i] for i in np.argsort(gains, kind="stable")[::-1]]
    count = min(views, len(ranked))
    ranks = [(2 * i + 1) * len(ranked) // (2 * count) for i in range(count)]
    return [_row(scene, ranked[rank], methods) for rank in ranks]


def _row(scene: Scene, name: str, methods: Sequence[Renders]) -> Row:
    view = scene.indices([name])[0]
    truth = truth_image(scene, view).double().numpy()
    usable = usable_pixels(scene, view)
    kept = np.ones(truth.shape[:2]) if usable is None else usable.double().numpy()
    pictures = [method.image(name).astype(np.float64) / 255 for method in methods]
    errors = [((picture - truth) ** 2).mean(axis=-1) * kept for picture in pictures]
    side = max(8, round(DETAIL * min(truth.shape[:2])))
    details = choose_details(errors[0] - errors[1], side)
    inside = np.array(
        [[error[y : y + side, x : x + side].mean() for error in errors] for y, x in details]
    )
    labels = [method.record.label for method in methods]
    return Row(
        title=f"{for_figure(scene.name, 24)}, {for_figure(Path(name).stem, 24)}",
        images=[truth, *pictures],
        names=[for_figure(method_name(label.method, label.model), 30) for label in labels],
        colours=[method_colour(label.method) for label in labels],
        psnr=[method.score(name).psnr for method in methods],
        details=details,
        side=side,
        frame=_frame(scene, view, details, side),
        ahead=[bool(error[1] < error[0]) for error in inside],
        detail_psnr=np.array([[psnr_of_error(float(e)) for e in error] for error in inside]),
    )


def choose_details(advantage: Floats, side: int) -> list[tuple[int, int]]:
    """Two squares that don't overlap: where the advantage's mean is largest, then smallest.

    Args:
        advantage: (H, W).
        side: of the squares, at most half the image.

    Returns:
        Top left corners (row, column).
    """
    height, width = advantage.shape
    means = uniform_filter(advantage, side, mode="constant", origin=-(side // 2))
    means = means[: height - side + 1, : width - side + 1]
    first = np.unravel_index(int(means.argmax()), means.shape)
    rows, columns = np.indices(means.shape)
    apart = (abs(rows - first[0]) >= side) | (abs(columns - first[1]) >= side)
    rest = np.where(apart, means, np.inf)
    second = np.unravel_index(int(rest.argmin()), means.shape)
    return [(int(y), int(x)) for y, x in (first, second)]


def _frame(
    scene: Scene, view: int, details: list[tuple[int, int]], side: int
) -> tuple[int, int, int, int]:
    """The whole view or, of an object before an empty background, what holds it and the details."""
    height, width = scene.images.shape[1:3]
    if not scene.has_alpha or not scene.images[view, ..., 3].any():
        return 0, height, 0, width
    rows, columns = np.nonzero(scene.images[view, ..., 3])
    y, x = zip(*details, strict=True)
    margin = round(0.03 * width)
    top = max(0, min(int(rows.min()), *y) - margin)
    bottom = min(height, max(int(rows.max()), *(v + side for v in y)) + margin)
    left = max(0, min(int(columns.min()), *x) - margin)
    right = min(width, max(int(columns.max()), *(v + side for v in x)) + margin)
    missing = int((bottom - top) / TALLEST) - (right - left)
    if missing > 0:
        left = max(0, left - missing // 2)
        right = min(width, left + int((bottom - top) / TALLEST))
    return top, bottom, left, right


def _widths() -> tuple[float, float]:
    """Width of a picture and of a detail, in widths of the figure."""
    whole = (1 - 4 * GAP) / 3
    return whole, (whole - GAP / 2) / 2


def _row_height(row: Row) -> float:
    """Inches: text, picture, details with their text."""
    whole, detail = _widths()
    inches: float = TWO_COLUMNS * (whole * _aspect(row) + detail + GAP / 2 + GAP) + 2 * TEXT
    return inches


def _aspect(row: Row) -> float:
    """Height of the shown part in its widths."""
    top, bottom, left, right = row.frame
    return (bottom - top) / (right - left)


def _draw_row(figure: Figure, row: Row, top: float, total: float) -> None:
    """Draw a row below `top` (a share of the figure, which is `total` inches high)."""
    whole, _ = _widths()
    height = whole * _aspect(row) * TWO_COLUMNS / total
    bottom = top - TEXT / total - height
    captions = [f"{row.title}: truth", *_captions(row)]
    for column, (image, caption) in enumerate(zip(row.images, captions, strict=True)):
        left = GAP + column * (whole + GAP)
        axes = _picture(figure, (left, bottom, whole, height), image)
        first, last, west, east = row.frame
        axes.set(xlim=(west - 0.5, east - 0.5), ylim=(last - 0.5, first - 0.5))
        figure.text(
            left, bottom + height + 0.03 / total, caption, ha="left", va="bottom", fontsize=7
        )
        for index, (y, x) in enumerate(row.details):
            square = Rectangle((x - 0.5, y - 0.5), row.side, row.side, lw=1.2, fill=False)
            square.set_edgecolor(_ahead_colour(row, index))
            axes.add_patch(square)
            value = f"{row.detail_psnr[index, column - 1]:.1f} dB" if column else ""
            _draw_detail(figure, row, image, index, (left, bottom), value)


def _draw_detail(
    figure: Figure, row: Row, image: Floats, index: int, corner: tuple[float, float], value: str
) -> None:
    """An enlarged square below the picture whose lower left corner is given."""
    _, width = _widths()
    aspect = figure.get_figwidth() / figure.get_figheight()
    left = corner[0] + index * (width + GAP / 2)
    bottom = corner[1] - (GAP / 2 + width) * aspect
    y, x = row.details[index]
    axes = _picture(
        figure, (left, bottom, width, width * aspect), image[y : y + row.side, x : x + row.side]
    )
    axes.spines[:].set(color=_ahead_colour(row, index), linewidth=1.6)
    below = bottom - 0.03 / figure.get_figheight()
    figure.text(left + width / 2, below, value, ha="center", va="top", fontsize=7)


def _ahead_colour(row: Row, index: int) -> str:
    return row.colours[row.ahead[index]]


def _captions(row: Row) -> list[str]:
    best = int(np.argmax(np.round(row.psnr, 2)))
    texts = []
    for index, (name, value) in enumerate(zip(row.names, row.psnr, strict=True)):
        mark = f"$\\bf{{{value:.2f}}}$" if index == best else f"{value:.2f}"
        texts.append(f"{name}, {mark} dB")
    return texts


def _picture(figure: Figure, box: tuple[float, float, float, float], image: Floats) -> Any:
    axes: Any = figure.add_axes(box)
    axes.imshow(np.clip(image, 0, 1), interpolation="nearest", aspect="auto")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color="#CCCCCC", linewidth=0.5)
    return axes
