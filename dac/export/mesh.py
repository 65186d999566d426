"""A mesh: the surface where the density passes a threshold, by marching cubes.

Notation: V vertices, F faces; h the side of a cube; coordinates are the scene's world.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from tqdm import tqdm

from dac import ops
from dac.conquer.routed import AnyModel
from dac.errors import UserError
from dac.export.extras import extra
from dac.process.signals import Stop
from dac.scenes.normalise import rotation_between
from dac.storage.artifacts import write_file

Array = NDArray[np.float64]
Box = tuple[tuple[float, float, float], tuple[float, float, float]]
DensityField = Callable[[Tensor], Tensor]
ColourField = Callable[[Tensor, Tensor], Tensor]

SUFFIXES = (".ply", ".glb")
_CHUNK_POINTS, _CHUNK_VERTICES = 2**18, 2**14
_RIM = 1e-3  # of h: how far outside of the box the density is taken for 0
_RAY, _RAY_BINS = (-0.5, 1.5), 12  # what of a ray gives a vertex its colour, in layers (`_layer`)
_GLTF_UP = np.array([0.0, 1.0, 0.0])


def default_threshold(box: Box) -> float:
    """The density of which 1 % of the box's diagonal lets half the light pass."""
    return math.log(2) / _layer(box)


def _layer(box: Box) -> float:
    return 0.01 * math.dist(*box)


def make_mesh(
    density: DensityField,
    colour: ColourField,
    box: Box,
    resolution: int,
    threshold: float,
    components: int,
    stop: Stop | None = None,
) -> Any:
    """The surface of a density inside a box, closed where the box cuts it.

    Args:
        density: points (N, 3) -> (N,).
        colour: points (N, 3) of the surface and its outward unit normals (N, 3) -> rgb (N, 3).
        box: lower and upper corner.
        resolution: cubes along its longest side.
        threshold: the density at the surface, in 1 / scene unit.
        components: how many connected pieces are kept, those with most faces.
        stop: told to go, it leaves between two slabs.

    Returns:
        A trimesh.Trimesh with vertex colours and outward normals.

    Raises:
        UserError: nothing in the box is so dense; scikit-image or trimesh is missing.
    """
    trimesh, measure = extra("trimesh"), extra("skimage.measure")
    axes, volume = _sampled(density, box, resolution, stop)
    if not volume.max() > threshold:
        what = f"the density passes {threshold:.3g} nowhere (the largest is {volume.max():.3g})"
        raise UserError("--threshold", what, "lower it")
    vertices, faces, *_ = measure.marching_cubes(volume, threshold, gradient_direction="ascent")
    mesh = trimesh.Trimesh(on_axes(vertices, axes), faces, process=False)
    mesh = largest(mesh, components)
    mesh.visual.vertex_colors = _colours(colour, mesh)
    return mesh


def on_axes(indices: NDArray[np.float32], axes: Sequence[Array]) -> Array:
    """Coordinates (V, 3) of fractional indices (V, 3) into the planes along each axis."""
    columns = [
        np.interp(index, np.arange(len(axis)), axis)
        for index, axis in zip(indices.T.astype(np.float64), axes, strict=True)
    ]
    return np.stack(columns, axis=1)


def _sampled(
    density: DensityField, box: Box, resolution: int, stop: Stop | None
) -> tuple[list[Array], NDArray[np.float32]]:
    """Coordinates of a grid's planes along each axis, and the density at its points.

    The outermost planes lie just outside of the box and hold 0, which closes surfaces there.
    """
    lower, upper = (np.array(corner) for corner in box)
    h = float((upper - lower).max()) / resolution
    axes = []
    for low, high in zip(lower, upper, strict=True):
        inside = np.linspace(low, high, math.ceil((high - low) / h - 1e-6) + 1)
        axes.append(np.array([low - _RIM * h, *inside, high + _RIM * h]))
    x, y, z = (torch.from_numpy(axis[1:-1]).float() for axis in axes)
    plane = torch.cartesian_prod(y, z)
    volume = np.zeros([len(axis) for axis in axes], np.float32)
    for i in tqdm(range(len(x)), desc="density", unit="slab", disable=None):
        if stop is not None and stop.received:
            stop.leave()
        points = torch.cat([x[i].expand(len(plane), 1), plane], dim=1)
        sigma = torch.cat([density(part).cpu() for part in torch.split(points, _CHUNK_POINTS)])
        volume[i + 1, 1:-1, 1:-1] = sigma.view(len(y), len(z)).numpy()
    return axes, np.nan_to_num(volume, nan=0.0)


def largest(mesh: Any, components: int) -> Any:
    """The mesh with its largest connected pieces alone."""
    links = sparse.coo_array(
        (np.ones(len(mesh.face_adjacency)), mesh.face_adjacency.T), shape=2 * (len(mesh.faces),)
    )
    labels = connected_components(links, directed=False)[1]
    kept = np.argsort(-np.bincount(labels), kind="stable")[:components]
    mesh.update_faces(np.isin(labels, kept))
    mesh.remove_unreferenced_vertices()
    return mesh


def _colours(colour: ColourField, mesh: Any) -> NDArray[np.uint8]:
    """(V, 4) uint8 RGBA, opaque."""
    points = torch.from_numpy(np.array(mesh.vertices)).float()
    normals = torch.from_numpy(np.array(mesh.vertex_normals)).float()
    parts = (torch.split(vectors, _CHUNK_VERTICES) for vectors in (points, normals))
    rgb = torch.cat([colour(*part).cpu() for part in zip(*parts, strict=True)])
    rgba = torch.cat([rgb, torch.ones(len(rgb), 1)], dim=1)
    colours: NDArray[np.uint8] = (255 * rgba.clamp(0, 1)).round().byte().numpy()
    return colours


def field_density(model: AnyModel) -> DensityField:
    """A model's density in the scene's world, points on any device."""
    device = model.device
    return lambda points: model.query_points(points.to(device))[0]


def field_colour(model: AnyModel) -> ColourField:
    """A model's colour at points of a surface, looking along the inward normal.

    Just where the density passes the threshold, the field may never have learnt a colour, since
    hardly any light comes from there. So a short piece of the ray is rendered, from before the
    surface to behind it.
    """
    device = model.device
    before, behind = (reach * _layer(model.space.box) for reach in _RAY)

    @torch.no_grad()
    def colour(points: Tensor, normals: Tensor) -> Tensor:
        origins, directions = points.to(device), -normals.to(device)
        t = torch.linspace(before, behind, _RAY_BINS + 1, device=device)
        middle = (t[1:] + t[:-1])[:, None] / 2
        along = origins[:, None] + middle * directions[:, None]
        sigma, colours = model.query_points(along.view(-1, 3), directions)
        assert colours is not None
        shape = (len(origins), _RAY_BINS)
        _, weights = ops.volume_weights(sigma.view(shape), t.diff().expand(shape))
        shares = weights / weights.sum(dim=-1, keepdim=True).clamp_min(1e-6)
        return ops.composite(shares, colours.view(*shape, 3))

    return colour


def save_mesh(mesh: Any, path: Path, similarity: Array) -> None:
    """Write a mesh as binary PLY or GLB, whole or not at all.

    glTF has y upwards and the scene z: a GLB's one node holds the turn, its vertices stay.

    Args:
        similarity: (4, 4) from the scene's world to the coordinates that are written.

    Raises:
        UserError: another suffix, a full disk.
    """
    require_mesh(path)
    trimesh = extra("trimesh")
    mesh = mesh.copy()
    mesh.apply_transform(similarity)
    if path.suffix == ".ply":
        data = trimesh.exchange.ply.export_ply(mesh, vertex_normal=True)
    else:
        up = similarity[:3, 2] / np.linalg.norm(similarity[:3, 2])
        turn = np.eye(4)
        turn[:3, :3] = rotation_between(up, _GLTF_UP)
        scene = trimesh.Scene()
        scene.add_geometry(mesh, transform=turn)
        data = scene.export(file_type="glb")
    write_file(path, lambda temporary: temporary.write_bytes(data))


def require_mesh(path: Path) -> None:
    """Refuse what can't be written, before anything is computed.

    Raises:
        UserError: another suffix; scikit-image or trimesh is missing.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(path, f"the name of a mesh ends in {' or '.join(SUFFIXES)}", "change --out")
    extra("trimesh"), extra("skimage.measure")
