"""The picture of a partition (as the paper's Fig. 3): cameras, points and links, coloured by group.

Notation: n training views in K groups; world coordinates with z up. The cameras and points are
drawn by an orthographic projection of our own (`_Oblique`), since matplotlib's 3D axes neither sort
by depth between artists nor keep to their margins.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm, to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy import sparse

from dac.divide.azimuth import azimuths, quantile_start
from dac.divide.covisibility import covisibility
from dac.divide.partition import Partition
from dac.divide.routing import UNOWNED
from dac.report.partition_view import HORIZON, PartitionView, partition_view
from dac.report.style import TWO_COLUMNS, UNASSIGNED, drawing, group_colours
from dac.report.text import for_figure
from dac.scenes.scene import Scene

if TYPE_CHECKING:
    from dac.scenes.points import Points

Floats = NDArray[np.float64]

_MOST_POINTS = 40_000
_PANEL = 2.55  # inches, the height of the panels
_LEGEND: Any = {
    "loc": "lower center",
    "frameon": False,
    "handlelength": 1.0,
    "handleheight": 1.0,
    "columnspacing": 1.4,
    "borderaxespad": 0.3,
}


def partition_figure(
    scene: Scene, partition: Partition, points: Points | None, out_png: Path, out_pdf: Path
) -> None:
    """Draw a partition.

    Left: the training cameras, and the sparse points in the colour of the group that owns most of
    the views that see them. Right: the covisibility matrix sorted by group or, where the points
    have no tracks, the cameras' azimuth and elevation.

    Args:
        scene: the scene that was divided.
        partition: its groups; overlapping groups are drawn by owner.
        points: the sparse model, or None.
        out_png, out_pdf: files to write.

    Raises:
        UserError: the files can't be written.
    """
    view = partition_view(scene, partition, points, _MOST_POINTS)
    colours = group_colours(partition.count)
    labels = [f"{partition.word} {group}: {size}" for group, size in enumerate(view.sizes)]
    columns = _legend_columns(labels)
    below = 0.16 + 0.16 * -(-len(labels) // columns)
    outputs = {"png": out_png, "pdf": out_pdf}
    with drawing(outputs, TWO_COLUMNS, _PANEL + below + 0.33) as figure:
        axes = figure.add_axes(_inches(figure, 0.04, below, 3.55, _PANEL + 0.15))
        _draw_scene(axes, scene, partition, view, colours)
        if points is not None and len(points.views):
            A = covisibility(points.offsets, points.views, len(scene.names))
            _draw_matrix(figure, below, A, scene, view.owner, colours)
        else:
            _draw_azimuths(figure, below, scene, partition, view.owner, colours)
        handles = [Patch(facecolor=c, label=t) for c, t in zip(colours, labels, strict=True)]
        figure.legend(handles=handles, ncols=columns, **_LEGEND)
        title = f"{for_figure(scene.name)}: {partition.division}, K = {partition.count}"
        top = 1 - 0.07 / figure.get_figheight()
        figure.text(0.012, top, title, ha="left", va="top", weight="bold")


def _inches(
    figure: Figure, left: float, bottom: float, width: float, height: float
) -> tuple[float, float, float, float]:
    """A rectangle in inches, as fractions of the figure."""
    across, up = figure.get_figwidth(), figure.get_figheight()
    return left / across, bottom / up, width / across, height / up


@dataclass(frozen=True)
class _Oblique:
    """Orthographic view from an azimuth and elevation (degrees)."""

    azimuth: float
    elevation: float

    def __call__(self, xyz: Floats) -> tuple[Floats, Floats]:
        """Picture coordinates (..., 2), and nearness to the viewer (...)."""
        a, e = np.radians(self.azimuth), np.radians(self.elevation)
        right = [-np.sin(a), np.cos(a), 0.0]
        up = [-np.sin(e) * np.cos(a), -np.sin(e) * np.sin(a), np.cos(e)]
        viewer = [np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)]
        return xyz @ np.array([right, up]).T, xyz @ np.array(viewer)


def _draw_scene(
    axes: Any, scene: Scene, partition: Partition, view: PartitionView, colours: list[str]
) -> None:
    oblique = _Oblique(-62.0, 38.0 if scene.space.kind == "box" else 48.0)
    drawn = []
    if partition.division.startswith("azimuth"):
        drawn.append(_draw_sectors(axes, oblique, partition, view.owner, _centres(scene), colours))
    faces, depth = oblique(view.pyramids)
    palette = [*colours, UNASSIGNED]  # the last is of what belongs to no group
    face_colours = np.array([to_rgba(palette[group]) for group in view.owner])
    behind = depth.mean(axis=(1, 2)) < oblique(view.middle)[1]
    # Cameras in front are lighter, to let the scene show through.
    for chosen, order, opacity in ((behind, 2, 0.55), (~behind, 6, 0.3)):
        _draw_frusta(axes, faces[chosen], depth[chosen], face_colours[chosen], order, opacity)
    drawn.append(faces.reshape(-1, 2))
    if len(view.xyz):
        drawn.append(_draw_points(axes, oblique, view, colours))
    elif scene.space.kind == "box":
        drawn.append(_draw_box(axes, oblique, scene))
    corners = np.concatenate(drawn)
    lower, upper = corners.min(axis=0), corners.max(axis=0)
    margin = 0.03 * (upper - lower).max()
    axes.set(
        xlim=(lower[0] - margin, upper[0] + margin), ylim=(lower[1] - margin, upper[1] + margin)
    )
    axes.set_aspect("equal")
    axes.set_axis_off()


def _centres(scene: Scene) -> Floats:
    """(n, 3) of the training cameras."""
    centres: Floats = scene.cameras.centres.cpu().numpy()[list(scene.train)]
    return centres


def _draw_frusta(
    axes: Any, faces: Floats, depth: Floats, colours: Floats, order: int, opacity: float
) -> None:
    """Pyramids from the farthest to the nearest, so that nearer ones cover those behind."""
    nearness = depth.mean(axis=2)
    nearness[:, :] = depth.mean(axis=(1, 2))[:, None] + 1e-3 * nearness
    ranked = np.argsort(nearness.ravel())
    fill = np.repeat(colours[:, None], 5, axis=1).reshape(-1, 4).copy()
    edge = fill.copy()
    fill[:, 3] = np.tile([opacity, *[opacity / 2] * 4], len(colours))
    axes.add_collection(
        PolyCollection(
            list(faces.reshape(-1, 4, 2)[ranked]),
            facecolors=fill[ranked],
            edgecolors=edge[ranked],
            linewidths=0.45,
            joinstyle="round",
            zorder=order,
        )
    )


def _draw_points(axes: Any, oblique: _Oblique, view: PartitionView, colours: list[str]) -> Floats:
    """Draw points; return the picture coordinates that should be inside the frame."""
    flat, depth = oblique(view.xyz)
    palette = np.array([to_rgb(colour) for colour in [*colours, UNASSIGNED]])
    tint = palette[view.groups]
    # The points' own brightness, mildly, so that the scene's shapes can be made out.
    light = view.light[:, None] / 255
    tint = np.where(light < 0.5, tint * (0.7 + 0.6 * light), 1 - (1 - tint) * (1.3 - 0.6 * light))
    # Towards the horizon they fade, so that the picture ends nowhere abruptly.
    distance = np.linalg.norm(view.xyz - view.middle, axis=1) / view.extent
    opacity = 0.85 * np.clip((HORIZON - distance) / 0.8, 0, 1)
    rgba = np.column_stack([tint, opacity])
    order = np.argsort(depth)
    size = float(np.clip(6000 / len(flat), 0.25, 4.0))
    axes.scatter(*flat[order].T, s=size, c=rgba[order], linewidths=0, rasterized=True, zorder=4)
    return np.percentile(flat, [2, 98], axis=0)


def _sector_edges(partition: Partition, phi: Floats, owner: NDArray[np.int64]) -> Floats:
    """(K + 1,) ascending azimuths between which the groups' sectors lie.

    They are evenly spaced or, for quantiles, midway between groups; where the cameras leave a gap
    that quantiles start after, they end with the last camera.
    """
    K = partition.count
    if partition.division != "azimuth-quantile" or K == 1:
        return np.linspace(0, 2 * np.pi, K + 1)
    start = quantile_start(phi, K)
    counted = (phi - start) % (2 * np.pi)
    last = [counted[owner == group].max() for group in range(K)]
    first = [counted[owner == group].min() for group in range(K)]
    end = last[-1] if start else 2 * np.pi
    return start + np.array([0.0, *(np.add(last[:-1], first[1:]) / 2), end])


def _draw_sectors(
    axes: Any,
    oblique: _Oblique,
    partition: Partition,
    owner: NDArray[np.int64],
    centres: Floats,
    colours: list[str],
) -> Floats:
    """Tinted sectors on the ground, under everything."""
    edges = _sector_edges(partition, azimuths(centres), owner)
    radius = float(np.linalg.norm(centres[:, :2], axis=1).max())
    drawn = []
    for group, colour in enumerate(colours):
        around = np.linspace(edges[group], edges[group + 1], 48)
        rim = radius * np.stack([np.cos(around), np.sin(around), 0 * around], axis=1)
        flat, _ = oblique(np.concatenate([np.zeros((1, 3)), rim]))
        axes.fill(*flat.T, facecolor=to_rgba(colour, 0.13), edgecolor="white", lw=1.0, zorder=0)
        drawn.append(flat)
    return np.concatenate(drawn)


def _draw_box(axes: Any, oblique: _Oblique, scene: Scene) -> Floats:
    """The scene's bounds, where there are no points to show its place."""
    lower, upper = np.array(scene.space.box)
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    flat, _ = oblique(lower + corners * (upper - lower))
    for i in range(8):
        for bit in (1, 2, 4):
            if not i & bit:
                pair = flat[[i, i | bit]]
                axes.plot(*pair.T, color=UNASSIGNED, lw=0.7, zorder=4, solid_capstyle="round")
    return flat


def _draw_matrix(
    figure: Figure,
    below: float,
    A: sparse.csr_matrix,
    scene: Scene,
    owner: NDArray[np.int64],
    colours: list[str],
) -> None:
    """Covisibility of the training views in log scale, sorted by group, by azimuth inside it."""
    axes = figure.add_axes(_inches(figure, 3.95, below + 0.14, _PANEL - 0.14, _PANEL - 0.14))
    train = np.array(scene.train)
    phi = azimuths(_centres(scene))
    order = np.lexsort((_unwrapped(phi, owner, len(colours)), owner))
    order = order[owner[order] != UNOWNED]
    shared = A[train[order]][:, train[order]].toarray().astype(np.float64)
    most = max(float(shared.max()), 2.0)
    axes.imshow(
        np.ma.masked_less(shared, 1),
        norm=LogNorm(1, most),
        cmap="magma_r",
        interpolation="nearest" if len(order) > 60 else "none",
    )
    ends = np.cumsum(np.bincount(owner[order], minlength=len(colours)))
    for end in ends[:-1]:
        axes.axhline(end - 0.5, color="black", lw=0.5)
        axes.axvline(end - 0.5, color="black", lw=0.5)
    width, n = 0.025 * len(order), len(order)
    for group, (end, colour) in enumerate(zip(ends, colours, strict=True)):
        start = 0 if group == 0 else ends[group - 1]
        strip: Any = {"facecolor": colour, "edgecolor": "none", "clip_on": False}
        axes.add_patch(Rectangle((-0.5 - 1.6 * width, start - 0.5), width, end - start, **strip))
        axes.add_patch(Rectangle((start - 0.5, n - 0.5 + 0.6 * width), end - start, width, **strip))
    axes.set(xticks=[], yticks=[], xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5))
    axes.set_title("points shared by two views", pad=4)
    beside = figure.add_axes(_inches(figure, 3.92 + _PANEL, below + 0.14, 0.1, _PANEL - 0.14))
    bar: Any = figure.colorbar(axes.images[0], cax=beside)
    bar.outline.set_linewidth(0.5)
    bar.ax.tick_params(length=2, which="both")


def _unwrapped(phi: Floats, owner: NDArray[np.int64], K: int) -> Floats:
    """Azimuths counted, in each group, from the end of its widest gap."""
    result = phi.copy()
    for group in range(K):
        views = np.flatnonzero(owner == group)
        if len(views) == 0:
            continue
        ordered = np.sort(phi[views])
        gaps = np.diff(ordered, append=ordered[0] + 2 * np.pi)
        start = ordered[(int(np.argmax(gaps)) + 1) % len(ordered)]
        result[views] = (phi[views] - start) % (2 * np.pi)
    return result


def _draw_azimuths(
    figure: Figure,
    below: float,
    scene: Scene,
    partition: Partition,
    owner: NDArray[np.int64],
    colours: list[str],
) -> None:
    """Azimuth as angle; elevation falls from 90 degrees in the middle."""
    axes: Any = figure.add_axes(
        _inches(figure, 4.05, below + 0.10, 2.6, _PANEL - 0.22), projection="polar"
    )
    centres = _centres(scene)
    phi = azimuths(centres)
    distance = np.linalg.norm(centres, axis=1).clip(1e-12)
    polar = 90 - np.degrees(np.arcsin((centres[:, 2] / distance).clip(-1, 1)))
    rim = 180.0 if polar.max() > 100 else 100.0 if polar.max() > 88 else 90.0
    if partition.division.startswith("azimuth"):
        edges = _sector_edges(partition, phi, owner)
        for group, colour in enumerate(colours):
            span = edges[group + 1] - edges[group]
            axes.bar(
                edges[group], rim, width=span, align="edge", color=to_rgba(colour, 0.14), zorder=0
            )
    for group, colour in enumerate(colours):
        chosen = owner == group
        axes.scatter(
            phi[chosen], polar[chosen], s=13, c=colour, edgecolors="white", linewidths=0.4, zorder=3
        )
    axes.set_rlim(0, rim)
    axes.set_rticks([30, 60, 90] if rim < 180 else [45, 90, 135])
    for tick in axes.get_yticks():
        axes.text(
            np.radians(22.5),
            tick,
            f"{90 - tick:.0f}°".replace("-", "−"),
            **{"ha": "center", "va": "center", "size": 6.5, "color": "#333333", "zorder": 5},
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
    axes.set_yticklabels([])
    axes.set_thetagrids(range(0, 360, 45))
    axes.tick_params(pad=0)
    axes.grid(lw=0.4, color="#BBBBBB")
    axes.spines["polar"].set_linewidth(0.5)
    axes.set_title("azimuth and elevation of the cameras", pad=8)


def _legend_columns(labels: list[str]) -> int:
    """Columns of a legend as wide as the figure at most, its rows evenly filled."""
    most = min(len(labels), int(100 / (max(map(len, labels)) + 5)))
    rows = -(-len(labels) // most)
    return -(-len(labels) // rows)
