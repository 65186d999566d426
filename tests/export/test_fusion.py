"""Depths of the toy's sphere, fused: its mesh has a closed form."""

from __future__ import annotations

import numpy as np
import pytest
import toy
from toy_views import BOX, CAMERAS, view_of

from dac.cameras import Cameras
from dac.errors import UserError
from dac.export.fusion import fused_mesh
from dac.ops.rays import Rendered
from dac.scenes.scene import Space

UNBOUNDED = Space("contraction", ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)), 0.1, 1e3)


def larger(scale: float) -> Cameras:
    """As many times farther from the middle."""
    pose = CAMERAS.world_from_camera.clone()
    pose[:, :, 3] *= scale
    size = (CAMERAS.width, CAMERAS.height)
    return Cameras("perspective", *size, CAMERAS.intrinsics, CAMERAS.distortion, pose)


def view(index: int, scale: float = 1.0) -> Rendered:
    seen = view_of(CAMERAS, index, 1.0)
    return Rendered(seen.rgb, seen.depth * scale, seen.accumulation)


@pytest.mark.parametrize(("space", "scale"), [(BOX, 1.0), (UNBOUNDED, 1.0), (UNBOUNDED, 3.0)])
def test_a_sphere_is_one_where_it_is_seen(space: Space, scale: float) -> None:
    mesh = fused_mesh(lambda index: view(index, scale), larger(scale), range(12), space, 64, 0.9, 1)
    outwards = np.array(mesh.vertices)
    radii = np.linalg.norm(outwards, axis=1)
    farthest = np.abs(outwards).max(axis=1).clip(1)
    spacing = 2 / 64
    if space.kind == "contraction":
        spacing = 3.75 / 64 * farthest / (2 - 1 / farthest)
    error = np.abs(radii - toy.RADIUS * scale) / spacing
    assert error.mean() < 0.7 and np.percentile(error, 95) < 3  # at silhouettes, depths jump
    directions = outwards / radii[:, None]
    assert ((mesh.vertex_normals * directions).sum(axis=1) > 0.7).mean() > 0.92
    off = np.abs(mesh.visual.vertex_colors[:, :3] - 255 * (1 + directions) / 2)
    assert np.median(off) < 8
    # All but the cap around the lower pole, where no view looks.
    assert mesh.area > 0.6 * 4 * np.pi * (toy.RADIUS * scale) ** 2
    assert outwards[:, 2].max() > 0.77 * scale


def test_transparent_pixels_carve_what_a_view_imagines() -> None:
    """One view says that there is a wall before the sphere; the others look through it."""

    def walled(index: int) -> Rendered:
        seen = view(index)
        if index == 4:
            seen.depth[:] = 2.5
            seen.accumulation[:] = 1.0
        return seen

    mesh = fused_mesh(walled, CAMERAS, range(12), BOX, 64, 0.9, 1)
    radii = np.linalg.norm(np.array(mesh.vertices), axis=1)
    assert np.percentile(np.abs(radii - toy.RADIUS), 95) < 0.08


def test_fog_has_no_surface() -> None:
    def fog(index: int) -> Rendered:
        seen = view(index)
        return Rendered(seen.rgb, seen.depth, 0.5 * seen.accumulation)

    with pytest.raises(UserError, match="agree on no surface; lower it, or add --views"):
        fused_mesh(fog, CAMERAS, range(12), BOX, 32, 0.9, 1)
