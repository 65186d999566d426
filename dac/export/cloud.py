"""A coloured point cloud: where the rays of the training views end.

Notation: P points; H x W pixels. A voxel holds one point, the mean of all that fell into it, if
several views have points near by. Voxels are cubes of the space that the field lives in: of an
unbounded scene the contracted one, so that they grow with the distance, as a pixel's footprint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dac.cameras import Cameras
from dac.errors import UserError
from dac.export.extras import extra
from dac.export.pictures import surface, view_normals
from dac.fields.space import contract
from dac.ops.rays import Rendered
from dac.process.progress import with_progress
from dac.scenes.scene import Space
from dac.storage.artifacts import write_file

Array = NDArray[np.float64]

_GRAZING = 0.15  # cosine of a ray with the normal: less is an edge, whose depth lies in between
_LEAST_VIEWS = 3  # that have a point near by: specks and blurred edges stand in one or two
_NEAR = 4  # voxels
_FARTHEST = 8.0  # of an unbounded scene, whose cameras lie within 1: beyond it is the sky
_XYZ, _RGB, _NORMAL, _COUNT = slice(0, 3), slice(3, 6), slice(6, 9), 9


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points (P, 3) in the scene's world, rgb (P, 3) uint8, unit normals (P, 3), and how far apart
    points are there (P,), in scene units."""

    points: Array
    colours: NDArray[np.uint8]
    normals: Array
    spacing: Array


def make_cloud(
    render: Callable[[int], Rendered],
    cameras: Cameras,
    views: Sequence[int],
    background: Tensor,
    space: Space,
    voxel: float,
    opacity: float,
) -> Cloud:
    """Gather the points of some views.

    Args:
        render: gives a view as rendered, on the CPU.
        cameras: of the scene.
        views: indices of cameras.
        background: (3,) that was rendered behind; it is taken out of the colours again.
        space: points outside of its box are left out; of an unbounded one, what is farther than
            eight times the cameras' reach.
        voxel: its side, in scene units, in an unbounded scene those at its middle; one point at
            most is kept in each.
        opacity: least accumulation of a pixel that gives a point, in (0, 1].

    Raises:
        UserError: not one point is left.
    """
    unbounded = space.kind == "contraction"
    lower, upper = grid_box(space)
    shape = np.ceil((upper - lower) / voxel).astype(np.int64) + 1
    keys, sums = np.empty(0, np.int64), np.empty((0, 10))
    regions, seen = np.empty(0, np.int64), np.empty((0, 1))
    for view in with_progress(views, "views"):
        rows = _rows(render(view), cameras.select([view]), background, opacity)
        places = _contracted(rows[:, _XYZ]) if unbounded else rows[:, _XYZ]
        inside = ((places >= lower) & (places <= upper)).all(axis=1)
        rows, cells = rows[inside], ((places[inside] - lower) / voxel).astype(np.int64)
        keys, sums = _merged(np.append(keys, _key(cells, shape)), np.concatenate([sums, rows]))
        new = np.unique(_key(cells // _NEAR, shape))
        regions, seen = _merged(
            np.append(regions, new), np.concatenate([seen, np.ones((len(new), 1))])
        )
    cells = np.stack(np.unravel_index(keys, tuple(shape)), axis=1)
    near = np.searchsorted(regions, _key(cells // _NEAR, shape))
    sums = sums[seen[near, 0] >= min(_LEAST_VIEWS, len(views))]
    if not len(sums):
        what = f"the views agree on no point with an accumulation of {opacity:g}"
        raise UserError("--opacity", what, "lower it, or look at the model first")
    mean = sums / sums[:, _COUNT:]
    length = np.linalg.norm(mean[:, _NORMAL], axis=1, keepdims=True)
    colours = (255 * mean[:, _RGB].clip(0, 1)).round().astype(np.uint8)
    points, normals = mean[:, _XYZ], mean[:, _NORMAL] / np.maximum(length, 1e-12)
    return Cloud(points, colours, normals, spacing_at(points, space, voxel))


def grid_box(space: Space) -> tuple[Array, Array]:
    """Corners of a grid in the field's space: its box; of an unbounded scene, all but its sky."""
    lower, upper = (np.array(corner) for corner in space.box)
    if space.kind == "contraction":
        upper = np.full(3, 2 - 1 / _FARTHEST)
        lower = -upper
    return lower, upper


def spacing_at(points: Array, space: Space, h: float) -> Array:
    """(P,) how far apart, in scene units, nodes of a grid with spacing h are at points (P, 3)."""
    if space.kind != "contraction":
        return np.full(len(points), h)
    # Across the way outwards, contraction shrinks by (2 - 1 / m) / m, m the largest coordinate.
    farthest = np.abs(points).max(axis=1).clip(1)
    spacing: Array = h * farthest / (2 - 1 / farthest)
    return spacing


def _contracted(points: Array) -> Array:
    contracted: Array = contract(torch.from_numpy(points)).numpy()
    return contracted


def _rows(rendered: Rendered, camera: Cameras, background: Tensor, opacity: float) -> Array:
    """(P, 10) point, colour, normal and 1 of each pixel that shows a surface."""
    opaque = rendered.accumulation >= opacity
    points, directions = surface(camera, rendered.depth)
    normals = view_normals(points, directions, opaque)
    kept = opaque & (-(normals * directions).sum(dim=-1) > _GRAZING)
    share = rendered.accumulation[..., None].clamp_min(1e-6)
    colours = (rendered.rgb - (1 - share) * background) / share
    columns = [points, colours.clamp(0, 1), normals, torch.ones_like(share)]
    rows: Array = torch.cat(columns, dim=-1)[kept].double().numpy()
    return rows


def _key(cells: NDArray[np.int64], shape: NDArray[np.int64]) -> NDArray[np.int64]:
    """(P,) the number of each cell (P, 3) of a grid."""
    return np.asarray(np.ravel_multi_index(tuple(cells.T), tuple(shape)), np.int64)


def _merged(keys: NDArray[np.int64], rows: Array) -> tuple[NDArray[np.int64], Array]:
    """Sums of the rows of each key, in the order of the keys."""
    order = np.argsort(keys, kind="stable")
    found, first = np.unique(keys[order], return_index=True)
    if not len(found):
        return found, rows
    return found, np.add.reduceat(rows[order], first, axis=0)


def save_cloud(cloud: Cloud, path: Path, with_normals: bool, similarity: Array) -> None:
    """Write a cloud as binary PLY, whole or not at all.

    Args:
        similarity: (4, 4) from the scene's world to the coordinates that are written.

    Raises:
        UserError: another suffix, no trimesh, a full disk.
    """
    require_cloud(path)
    trimesh = extra("trimesh")
    points = cloud.points @ similarity[:3, :3].T + similarity[:3, 3]
    made = trimesh.PointCloud(points, colors=cloud.colours)
    if with_normals:
        normals = cloud.normals @ similarity[:3, :3].T
        made.vertex_normals = normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
    data = trimesh.exchange.ply.export_ply(made, vertex_normal=with_normals)
    write_file(path, lambda temporary: temporary.write_bytes(data))


def require_cloud(path: Path) -> None:
    """Refuse what can't be written, before anything is rendered.

    Raises:
        UserError: another suffix, no trimesh.
    """
    if path.suffix != ".ply":
        raise UserError(path, "the name of a point cloud ends in .ply", "change --out")
    extra("trimesh")
