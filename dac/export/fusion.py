"""A mesh of what the views show: rendered depths fused into a truncated signed distance.

The density of a place is a fog of guesses where no view looked, and its surface is no house. What
views see is sure: each node of a grid asks every view whether it lies before the surface that is
shown there, or behind it (Curless and Levoy 1996), and the mesh is where the mean answer turns.

Notation: N nodes, V vertices, H x W pixels; a node's spacing is how far the next one is, in scene
units. The grid lies in the space of the field, so that in an unbounded scene its spacing grows with
the distance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from tqdm import tqdm

from dac.cameras import Cameras
from dac.errors import UserError
from dac.export.cloud import grid_box, spacing_at
from dac.export.extras import extra
from dac.export.mesh import largest, on_axes
from dac.export.pictures import surface, view_normals
from dac.fields.space import uncontract
from dac.ops.rays import Rendered
from dac.process.signals import Stop
from dac.scenes.scene import Space

Array = NDArray[np.float64]

_TRUNCATED = 4.0  # spacings behind a surface that a view still knows to be matter
_EMPTY = 0.1  # accumulation up to which a pixel shows that nothing is there
_FEWEST_VIEWS = 2  # that know a node
_GRAZING = 0.1  # the least cosine: depths say little of a surface that is seen from its side
_COARSE = 4  # spacings of a grid that says where surfaces are
_NEAR = 0.9  # of its truncation; a ray that grazes a surface is long before it
_CHUNK = 2**18  # nodes


@dataclass(frozen=True, eq=False)
class _View:
    """A rendered view: its camera, and of each pixel (H, W) where the ray ends, how opaque it is,
    its colour (H, W, 3), and the cosine at which it meets the surface."""

    camera: Cameras
    depth: NDArray[np.float32]
    accumulation: NDArray[np.float32]
    rgb: NDArray[np.float32]
    cosine: NDArray[np.float32]

    @classmethod
    def of(cls, camera: Cameras, rendered: Rendered, opacity: float) -> _View:
        points, directions = surface(camera, rendered.depth)
        normals = view_normals(points, directions, rendered.accumulation >= opacity)
        cosine = -(normals * directions).sum(dim=-1)
        return cls(
            camera,
            rendered.depth.numpy(),
            rendered.accumulation.numpy(),
            rendered.rgb.numpy(),
            cosine.clamp(_GRAZING, 1).numpy(),
        )


def fused_mesh(
    render: Callable[[int], Rendered],
    cameras: Cameras,
    views: Sequence[int],
    space: Space,
    resolution: int,
    opacity: float,
    components: int,
    stop: Stop | None = None,
) -> Any:
    """The surface that some views agree on.

    Args:
        render: gives a view as rendered, on the CPU.
        cameras: of the scene.
        views: indices of cameras.
        space: where the grid lies: its box; of an unbounded scene, all up to eight times the
            cameras' reach.
        resolution: cubes along its longest side.
        opacity: least accumulation of a pixel that shows a surface, in (0, 1].
        components: how many connected pieces are kept, those with most faces.
        stop: told to go, it leaves between two parts.

    Returns:
        A trimesh.Trimesh with vertex colours and outward normals; open where no view looked.

    Raises:
        UserError: the views agree on no surface; scikit-image or trimesh is missing.
    """
    trimesh, measure = extra("trimesh"), extra("skimage.measure")
    shown = [_View.of(cameras.select([view]), render(view), opacity) for view in views]
    axes, h = _grid(space, resolution)

    def fused(
        axes: Sequence[Array], h: float, wanted: NDArray[np.intp]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Distance and whether it is known, at some nodes of a grid."""
        distance, known = np.ones(len(wanted), np.float32), np.zeros(len(wanted), np.bool_)
        shape = tuple(len(axis) for axis in axes)
        for first in tqdm(range(0, len(wanted), _CHUNK), desc="fusion", unit="part", disable=None):
            if stop is not None and stop.received:
                stop.leave()
            part = slice(first, first + _CHUNK)
            places = np.unravel_index(wanted[part], shape)
            nodes = np.stack([axis[at] for axis, at in zip(axes, places, strict=True)], axis=1)
            points, spacing = _in_world(nodes, space, h)
            distance[part], known[part] = _fused(points, spacing, shown, opacity)
        return distance, known

    # Surfaces are near nodes of a coarser grid that are near a surface: the others need no look.
    coarse = [axis[::_COARSE] for axis in axes]
    size = [len(axis) for axis in coarse]
    distance, known = fused(coarse, _COARSE * h, np.arange(math.prod(size)))
    near = ndimage.binary_dilation((known & (np.abs(distance) < _NEAR)).reshape(size), iterations=2)
    shape = [len(axis) for axis in axes]
    for dimension, count in enumerate(shape):
        near = near.repeat(_COARSE, axis=dimension).take(np.arange(count), axis=dimension)
    wanted = np.flatnonzero(near)
    volume, mask = np.ones(shape, np.float32), np.zeros(shape, np.bool_)
    volume.reshape(-1)[wanted], mask.reshape(-1)[wanted] = fused(axes, h, wanted)
    if not (mask.any() and volume[mask].min() < 0 < volume[mask].max()):
        raise UserError("--opacity", "the views agree on no surface", "lower it, or add --views")
    vertices, faces, *_ = measure.marching_cubes(
        volume, 0.0, mask=mask, gradient_direction="descent"
    )
    points, spacing = _in_world(on_axes(vertices, axes), space, h)
    mesh = trimesh.Trimesh(points, faces, process=False)
    mesh.vertex_attributes["spacing"] = spacing
    mesh = largest(mesh, components)
    mesh.visual.vertex_colors = _colours(mesh, shown, opacity)
    return mesh


def _grid(space: Space, resolution: int) -> tuple[list[Array], float]:
    """Coordinates of the nodes along each axis, in the field's space, and their spacing there."""
    lower, upper = grid_box(space)
    h = float((upper - lower).max()) / resolution
    counts = np.ceil((upper - lower) / h - 1e-6).astype(int) + 1
    axes = [np.linspace(*ends) for ends in zip(lower, upper, counts, strict=True)]
    return axes, h


def _in_world(nodes: Array, space: Space, h: float) -> tuple[Array, Array]:
    """(N, 3) points of the scene's world, and (N,) how far apart they are, across the way out."""
    unbounded = space.kind == "contraction"
    points = uncontract(torch.from_numpy(nodes)).numpy() if unbounded else nodes
    return points, spacing_at(points, space, h)


def _fused(
    points: Array, spacing: Array, shown: Sequence[_View], opacity: float
) -> tuple[Array, NDArray[np.bool_]]:
    """(N,) mean signed distance in truncations, positive before a surface; and what is known."""
    reach = _TRUNCATED * spacing
    sums, counts = np.zeros(len(points)), np.zeros(len(points))
    for view in shown:
        seen, before, pixel = _before(points, view)
        accumulation = view.accumulation[pixel]
        signed = before / reach[seen]
        empty = accumulation <= _EMPTY
        told = empty | ((accumulation >= opacity) & (signed > -1))
        sums[seen[told]] += np.where(empty, 1.0, signed.clip(-1, 1))[told]
        counts[seen[told]] += 1
    return sums / np.maximum(counts, 1), counts >= min(_FEWEST_VIEWS, len(shown))


def _before(
    points: Array, view: _View
) -> tuple[NDArray[np.intp], Array, tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Of the points in a picture: which, how far before the surface, in which row and column."""
    camera = view.camera
    centre, axis = camera.centres[0].numpy(), camera.world_from_camera[0, :, 2].numpy()
    offsets = points - centre
    away = np.sqrt(np.einsum("ni,ni->n", offsets, offsets))
    # A cone around the picture holds a part of all points; the lens is asked for these alone.
    near = np.flatnonzero(offsets @ axis >= (_cone(camera) - 1e-3) * away)
    pixels, _ = camera.project(0, torch.from_numpy(points[near]))
    columns, rows = pixels.numpy().T
    with np.errstate(invalid="ignore"):
        inside = (columns >= 0) & (columns < camera.width) & (rows >= 0) & (rows < camera.height)
    seen = near[inside]
    pixel = (rows[inside].astype(np.intp), columns[inside].astype(np.intp))
    # Along the ray to the surface, times the cosine: how far it is from the surface's plane.
    return seen, (view.depth[pixel] - away[seen]) * view.cosine[pixel], pixel


def _cone(camera: Cameras) -> float:
    """The cosine of the widest angle that a pixel looks from the optical axis."""
    x = torch.linspace(0, camera.width, 17).double()
    y = torch.linspace(0, camera.height, 17).double()
    rim = [(x, 0 * x), (x, 0 * x + camera.height), (0 * y, y), (0 * y + camera.width, y)]
    columns, rows = (torch.cat(parts) for parts in zip(*rim, strict=True))
    _, directions = camera.rays(torch.zeros(len(rows), dtype=torch.int64), columns, rows)
    return float((directions.double() @ camera.world_from_camera[0, :, 2]).min())


def _colours(mesh: Any, shown: Sequence[_View], opacity: float) -> NDArray[np.uint8]:
    """(V, 4) uint8 RGBA: the mean over the views that show a vertex; grey where none does."""
    points, normals = np.array(mesh.vertices), np.array(mesh.vertex_normals)
    reach = _TRUNCATED * np.asarray(mesh.vertex_attributes["spacing"])
    sums, weights = np.zeros((len(points), 3)), np.zeros(len(points))
    for view in shown:
        seen, before, pixel = _before(points, view)
        towards = view.camera.centres[0].numpy() - points[seen]
        facing = (normals[seen] * towards).sum(axis=1) / np.linalg.norm(towards, axis=1)
        shows = (np.abs(before) < reach[seen]) & (view.accumulation[pixel] >= opacity)
        weight = np.where(shows, facing.clip(0), 0.0)
        sums[seen] += weight[:, None] * view.rgb[pixel]
        weights[seen] += weight
    rgb = np.where(weights[:, None] > 0, sums / np.maximum(weights, 1e-9)[:, None], 0.5)
    rgba = np.column_stack([rgb.clip(0, 1), np.ones(len(rgb))])
    return (255 * rgba).round().astype(np.uint8)
