"""Normals against a sphere and a plane, whose depths have closed forms; depth's colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import toy

from dac.cameras import Cameras
from dac.evaluation.pictures import depth_picture, disparity_limits
from dac.export.camera import Camera, look_at
from dac.export.pictures import picture, surface, view_normals
from dac.ops.rays import Rendered

SIZE = 96


def seen(depth: torch.Tensor, opaque: torch.Tensor) -> Rendered:
    return Rendered(torch.zeros(*depth.shape, 3), depth, opaque.float())


def sphere(camera: Cameras) -> tuple[torch.Tensor, torch.Tensor]:
    """Depth (H, W) of the toy's sphere, and where it is hit."""
    _, directions = surface(camera, torch.ones(camera.height, camera.width))
    eye = camera.centres[0].float()
    along = -(directions @ eye)
    inside = toy.RADIUS**2 - (eye @ eye - along**2)
    return along - inside.clamp_min(0).sqrt(), inside > 0


def test_points_lie_on_the_sphere() -> None:
    camera = toy.cameras(5, SIZE).select([3])
    depth, hit = sphere(camera)
    points, directions = surface(camera, depth)
    assert torch.allclose(points[hit].norm(dim=-1), torch.tensor(toy.RADIUS), atol=1e-4)
    assert torch.allclose(directions.norm(dim=-1), torch.ones(SIZE, SIZE), atol=1e-6)


@pytest.mark.parametrize("view", [0, 1, 2])
def test_normals_of_a_sphere(view: int) -> None:
    camera = toy.cameras(5, SIZE).select([view])
    depth, hit = sphere(camera)
    points, directions = surface(camera, depth)
    normals = view_normals(points, directions, hit)
    assert torch.equal((normals != 0).any(dim=-1), hit)
    assert torch.allclose(normals[hit].norm(dim=-1), torch.ones(int(hit.sum())), atol=1e-5)
    assert ((normals * directions).sum(dim=-1)[hit] < 0).all()  # towards the camera
    cosine = (normals * points / toy.RADIUS).sum(dim=-1)
    facing = hit & (-(directions * points).sum(dim=-1) / toy.RADIUS > 0.5)
    assert cosine[facing].min() > 0.995
    assert cosine[hit].median() > 0.999


def test_normals_of_a_plane_stop_at_its_edge() -> None:
    camera = Camera(look_at((1.0, -2.0, 3.0), (0.0, 0.0, 0.0)), 100.0, SIZE, SIZE).cameras()
    _, directions = surface(camera, torch.ones(SIZE, SIZE))
    depth = -3.0 / directions[..., 2]  # of the plane z = 0
    depth[:, SIZE // 2 :] -= 0.5  # and half of it raised
    opaque = torch.ones(SIZE, SIZE, dtype=torch.bool)
    opaque[:10] = False
    depth[:10] = torch.nan
    points, _ = surface(camera, depth)
    left = view_normals(points, directions, opaque)[10:, : SIZE // 2]
    assert torch.allclose(left, torch.tensor([0.0, 0.0, 1.0]).expand_as(left), atol=1e-3)
    shown = picture("normals", seen(depth, opaque), camera)
    assert (shown[:10] == 255).all()
    assert (np.abs(shown[10:, : SIZE // 2].astype(int) - (128, 128, 255)) <= 1).all()


def test_depth_has_the_evaluations_colours() -> None:
    generator = torch.Generator().manual_seed(0)
    depth = 2 + 4 * torch.rand(40, 50, generator=generator)
    opaque = torch.rand(40, 50, generator=generator) > 0.3
    camera = Camera(np.eye(4)[:3], 50.0, 50, 40).cameras()
    ours = picture("depth", seen(depth, opaque), camera).astype(int)
    theirs = depth_picture(depth, opaque.float()).astype(int)
    assert (ours == theirs).all()


def test_depth_of_several_views_has_one_scale() -> None:
    opaque = torch.ones(10, 10)
    views = [seen(torch.full((10, 10), depth), opaque) for depth in (2.0, 4.0)]
    limits = disparity_limits((view.depth, view.accumulation) for view in views)
    assert limits == (0.25, 0.5)
    camera = Camera(np.eye(4)[:3], 10.0, 10, 10).cameras()
    near, far = (picture("depth", view, camera, limits)[0, 0].sum() for view in views)
    assert near > 600 > 200 > far
    assert disparity_limits([(torch.ones(2, 2), torch.zeros(2, 2))]) == (0, 1)


def test_colours_and_accumulation() -> None:
    rendered = Rendered(torch.full((3, 4, 3), 0.2), torch.ones(3, 4), torch.full((3, 4), 0.6))
    camera = Camera(np.eye(4)[:3], 5.0, 4, 3).cameras()
    assert (picture("rgb", rendered, camera) == 51).all()
    shown = picture("accumulation", rendered, camera)
    assert shown.shape == (3, 4, 3) and (shown == 153).all()
