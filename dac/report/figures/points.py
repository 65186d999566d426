"""PSNR on the sparse points (the paper's Fig. 1): two methods, and where which is ahead.

The points are drawn in perspective, farthest first, from behind the camera that sees most of them:
matplotlib's own 3D axes neither shrink points with distance nor crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import (
    Colormap,
    LinearSegmentedColormap,
    ListedColormap,
    Normalize,
    to_rgb,
)
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dac.report.figures import Inputs, Outputs, Settings, Wildcards
from dac.report.methods import method_name
from dac.report.point_scores import point_scores
from dac.report.renders import Renders
from dac.report.style import TWO_COLUMNS, drawing, headline, sample
from dac.report.text import for_figure
from dac.scenes.points import Points
from dac.scenes.scene import Scene

Floats = NDArray[np.float64]
Panel = tuple[str, Floats, Colormap, Normalize]

MOST_POINTS = 60_000
BACKDROP = "#15171C"
# The methods' blue and red, lightened to show on the backdrop; grey where neither is ahead.
GAIN_COLOURS = LinearSegmentedColormap.from_list("gain", ["#4E9BFF", "#565A62", "#FF5B3F"])
RAISED = np.radians(12.0)  # how much higher than the camera the eye is
LOWEST = np.radians(20.0)
BEHIND = 1.25  # the eye's distance, in the camera's


@dataclass(frozen=True)
class Picture:
    """Points as an eye sees them, farthest first.

    Attributes:
        index: (n,) of the points that are drawn.
        flat: (n, 2) in the picture, x to the right and y up.
        near: (n,) size and brightness, 1 at the middle distance and more in front of it.
    """

    index: NDArray[np.int64]
    flat: Floats
    near: Floats


def draw(inputs: Inputs, outputs: Outputs, settings: Settings, wildcards: Wildcards) -> None:
    """Draw two methods' PSNR on the points, and their difference.

    Args:
        inputs: the `scene` (a file of its folder), its `points`, and the records `baseline` and
            `ours`, e.g. of the 1x baseline and of the routed experts.
        outputs, settings, wildcards: see `dac.report.figures`.

    Raises:
        UserError: something is missing or damaged.
    """
    scene = Scene.load(inputs["scene"][0].parent)
    xyz = np.asarray(Points.load(inputs["points"][0]).xyz, np.float64)
    methods = [Renders(inputs[name][0].parent) for name in ("baseline", "ours")]
    scores = point_scores(scene, xyz, methods)
    seen = np.flatnonzero(scores.seen > 0)
    if len(seen) == 0:
        # Azimuth divisions go without sparse points.
        with drawing(outputs, TWO_COLUMNS, 0.6) as figure:
            text = f"{scene.name}: no scored view sees a sparse point"
            figure.text(0.5, 0.5, text, ha="center", va="center")
        return
    seen = sample(seen, MOST_POINTS)
    psnr = scores.psnr[:, seen]
    gain = psnr[1] - psnr[0]
    picture = look(scene, xyz[seen])
    names = [
        for_figure(method_name(m.record.label.method, m.record.label.model), 30) for m in methods
    ]
    with drawing(outputs, TWO_COLUMNS, 2.95) as figure:
        panels = _panels(names, psnr, gain)
        for column, (title, values, colours, norm) in enumerate(panels):
            box = (0.006 + column * 0.333, 0.19, 0.322, 0.66)
            _draw(figure.add_axes(box), picture, values, colours, norm)
            figure.text(box[0], 0.865, title, ha="left", va="bottom")
        _bars(figure, panels)
        headline(figure, 0.006, for_figure(scene.name))
        summary = (
            f"{len(seen):,} points, {scores.views} test views; "
            f"{names[1]} ahead on {100 * np.mean(gain > 0):.0f} % of the points"
        )
        figure.text(0.994, 0.985, summary, ha="right", va="top", color="#555555", fontsize=7)


def _panels(names: Sequence[str], psnr: Floats, gain: Floats) -> list[Panel]:
    """Both methods on one scale, and their difference on one about zero."""
    low, high = np.percentile(psnr, (3, 97))
    reach = max(0.5, float(np.percentile(abs(gain), 95)))
    sequential = ListedColormap(colormaps["viridis"](np.linspace(0.12, 1.0, 256)))
    return [
        (names[0], psnr[0], sequential, Normalize(low, high)),
        (names[1], psnr[1], sequential, Normalize(low, high)),
        (f"{names[1]} minus {names[0]}", gain, GAIN_COLOURS, Normalize(-reach, reach)),
    ]


def look(scene: Scene, xyz: Floats) -> Picture:
    """Points (n, 3) as seen from above and behind the camera that sees most, most spread out."""
    sample = torch.from_numpy(xyz[:: max(1, len(xyz) // 2000)])
    size = (scene.cameras.width, scene.cameras.height)
    best, most = scene.train[0], -1.0
    for view in scene.train:
        pixels = scene.cameras.project(view, sample)[0].numpy()
        with np.errstate(invalid="ignore"):
            inside = pixels[((pixels >= 0) & (pixels < size)).all(axis=1)]
        spread = float(inside.std(axis=0).prod()) if len(inside) > 1 else 0.0
        if len(inside) * spread > most:
            best, most = view, len(inside) * spread
    pose = scene.cameras.world_from_camera[best].numpy()
    centre, forward = pose[:, 3], pose[:, 2]
    ahead = (xyz - centre) @ forward
    target = centre + forward * float(np.median(ahead[ahead > 0], axis=0))
    eye = _raised(centre, target)
    return _projected(xyz, eye, target)


def _raised(centre: Floats, target: Floats) -> Floats:
    """The camera's place seen from the target, higher and a little farther off."""
    offset = centre - target
    distance = float(np.linalg.norm(offset))
    azimuth = np.arctan2(offset[1], offset[0])
    elevation = np.arcsin(np.clip(offset[2] / max(distance, 1e-12), -1, 1))
    elevation = np.clip(max(elevation + RAISED, LOWEST), None, np.radians(60.0))
    flat = np.cos(elevation)
    turn = np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])
    return target + BEHIND * distance * turn


def _projected(xyz: Floats, eye: Floats, target: Floats) -> Picture:
    distance = float(np.linalg.norm(target - eye))
    forward = (target - eye) / distance
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    depth = (xyz - eye) @ forward
    index = np.flatnonzero((depth > 0.25 * distance) & (depth < 4.0 * distance))
    index = index[np.argsort(-depth[index], kind="stable")]
    flat = (xyz[index] - eye) @ np.stack([right, up], axis=1) / depth[index, None]
    return Picture(index, flat, distance / depth[index])


def _draw(axes: Any, picture: Picture, values: Floats, colours: Colormap, norm: Normalize) -> None:
    lower, upper = np.percentile(picture.flat, (1, 99), axis=0)
    middle, span = (lower + upper) / 2, (upper - lower) * 1.18
    box = axes.get_position()
    shape = (box.width * TWO_COLUMNS) / (box.height * axes.figure.get_figheight())
    width = max(span[0], span[1] * shape)
    axes.set(
        xlim=middle[0] + np.array([-0.5, 0.5]) * width,
        ylim=middle[1] + np.array([-0.5, 0.5]) * width / shape,
    )
    tint = colours(norm(values[picture.index]))
    fade = np.clip(picture.near, 0.45, 1.0)[:, None]
    tint[:, :3] = fade * tint[:, :3] + (1 - fade) * np.array(to_rgb(BACKDROP))
    area = float(np.clip(24_000 / max(len(picture.index), 1), 0.4, 8.0))
    axes.scatter(*picture.flat.T, s=area * picture.near**2, c=tint, linewidths=0, rasterized=True)
    axes.set(xticks=[], yticks=[], facecolor=BACKDROP)
    axes.spines[:].set_visible(False)


def _bars(figure: Figure, panels: Sequence[Panel]) -> None:
    for (_, _, colours, norm), left, width, name in (
        (panels[0], 0.10, 0.46, "PSNR (dB)"),
        (panels[2], 0.72, 0.22, "difference (dB)"),
    ):
        axes = figure.add_axes((left, 0.115, width, 0.03))
        bar = figure.colorbar(
            ScalarMappable(norm, colours), cax=axes, orientation="horizontal", extend="both"
        )
        bar.outline.set_linewidth(0.4)
        bar.ax.tick_params(length=2, pad=1.5)
        bar.set_label(name, labelpad=1)
