"""Prepared rays equal those that the cameras make."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
import toy

from dac.cameras import Cameras
from dac.training import pixel_rays
from dac.training.pixel_rays import PixelRays

Lens = Literal["perspective", "fisheye"]


def cameras(model: Lens, lenses: int) -> Cameras:
    """Five cameras of 40 x 30 pixels with lenses of their own, or fewer in turn."""
    plain = toy.cameras(5)
    own = torch.arange(5).remainder(lenses)[:, None].double()
    intrinsics = torch.tensor([[35.0, 34.0, 19.0, 16.0]]).double() + own
    distortion = torch.tensor([[-0.2, 0.05, 1e-3, -2e-3, 0.01, 0.0]]).double() * (0.2 + 0.2 * own)
    return Cameras(model, 40, 30, intrinsics, distortion, plain.world_from_camera)


@pytest.mark.parametrize("table", [True, False], ids=["table", "computed"])
@pytest.mark.parametrize("lenses", [1, 3, 5])
@pytest.mark.parametrize("model", ["perspective", "fisheye"])
def test_every_pixels_ray_is_the_cameras(
    model: Lens, lenses: int, table: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = cameras(model, lenses)
    monkeypatch.setattr(pixel_rays, "_LITTLE", 40 * 30 * 12 * lenses if table else 0)
    monkeypatch.setattr(pixel_rays, "_CHUNK", 999)
    prepared = PixelRays(of)
    assert (prepared._table is not None) == table
    view, pixel = (values.flatten() for values in np.meshgrid(np.arange(5), np.arange(40 * 30)))
    row, column = np.divmod(pixel, 40)
    x, y = torch.from_numpy(column + 0.5), torch.from_numpy(row + 0.5)
    origins, directions = of.rays(torch.from_numpy(view), x, y)
    made_origins, made_directions = prepared(view, pixel)
    assert made_origins.dtype == made_directions.dtype == np.float32
    assert np.array_equal(made_origins, origins.numpy())
    assert np.abs(made_directions - directions.numpy()).max() < 1e-6
    local = np.einsum("rij,rj->ri", prepared.rotations[view], prepared.local(view, pixel))
    assert np.abs(local - made_directions).max() < 1e-6


def test_a_table_is_little_beside_the_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_rays, "_LITTLE", 0)
    assert PixelRays(toy.cameras(39))._table is None
    assert PixelRays(toy.cameras(40))._table is not None  # 12 bytes, and 40 times 3


def test_all_that_draw_from_a_scene_share_its_table() -> None:
    of, other = toy.cameras(3), toy.cameras(3)
    assert pixel_rays.pixel_rays(of) is pixel_rays.pixel_rays(of)
    assert pixel_rays.pixel_rays(of) is not pixel_rays.pixel_rays(other)


def test_no_rays() -> None:
    nothing = np.empty(0, np.int64)
    origins, directions = PixelRays(toy.cameras(3))(nothing, nothing)
    assert origins.shape == directions.shape == (0, 3)
