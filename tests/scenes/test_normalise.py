"""Normalisation: a similarity that finds up, centre and scale, and keeps all geometry."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dac.cameras import Cameras
from dac.errors import UserError
from dac.scenes.normalise import (
    normalise,
    rotation_between,
    scene_centre,
    transformed,
    up_direction,
)
from dac.scenes.views import Sparse, Views
from dac.settings import SceneSettings

Array = NDArray[np.float64]
SETTINGS = SceneSettings()


def random_rotation(rng: np.random.Generator) -> Array:
    q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return q * np.linalg.det(q)


def random_similarity(rng: np.random.Generator) -> Array:
    result = np.eye(4)
    result[:3, :3] = rng.uniform(0.1, 10.0) * random_rotation(rng)
    result[:3, 3] = rng.normal(size=3) * 5
    return result


def ring(
    count: int = 24,
    radius: float = 4.0,
    height: float = 1.5,
    inward: bool = True,
    jitter: float = 0.0,
) -> Array:
    """(N, 3, 4) level cameras on a circle that look at the origin, or away from it."""
    rng = np.random.default_rng(count)
    poses = np.zeros((count, 3, 4))
    for i, angle in enumerate(np.linspace(0, 2 * math.pi, count, endpoint=False)):
        centre = np.array([radius * math.cos(angle), radius * math.sin(angle), height])
        centre += jitter * rng.normal(size=3)
        forward = -centre / np.linalg.norm(centre)
        if not inward:
            forward = forward * [-1, -1, 0]
            forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        poses[i] = np.column_stack([right, np.cross(forward, right), forward, centre])
    return poses


def views_of(poses: Array, points: Array | None = None) -> Views:
    count = len(poses)
    sparse = None
    if points is not None:
        pairs = np.array([(p, v) for p in range(len(points)) for v in range(count)])
        sparse = Sparse(points, pairs[:, 0], pairs[:, 1])
    return Views(
        root=Path("data"),
        model="perspective",
        names=tuple(f"{i}.png" for i in range(count)),
        files=tuple(Path(f"data/{i}.png") for i in range(count)),
        sizes=np.tile(np.array([[40, 30]]), (count, 1)),
        intrinsics=np.tile([[35.0, 36.0, 21.0, 14.0]], (count, 1)),
        distortion=np.tile([[0.04, -0.02, 0.001, 0.002, 0.0, 0.0]], (count, 1)),
        poses=poses,
        sparse=sparse,
    )


def cameras_of(views: Views) -> Cameras:
    arrays = (torch.tensor(a) for a in (views.intrinsics, views.distortion, views.poses))
    return Cameras(views.model, 40, 30, *arrays)


@pytest.mark.parametrize("seed", range(6))
def test_normalised_rays_hit_normalised_points(seed: int) -> None:
    """A point and its pixel belong together before and after; the cameras stay rigid."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (30, 3))
    data = transformed(views_of(ring(jitter=0.2), points), random_similarity(rng))
    result = normalise(data, SETTINGS, blender=False)
    before, after = cameras_of(data), cameras_of(result.views)
    assert data.sparse is not None and result.views.sparse is not None
    expected = data.sparse.xyz @ result.world_from_data[:3, :3].T + result.world_from_data[:3, 3]
    np.testing.assert_allclose(result.views.sparse.xyz, expected, rtol=0, atol=1e-12)
    for view in range(0, len(data), 5):
        rotation = result.views.poses[view, :, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), rtol=0, atol=1e-12)
        a, _ = before.project(view, torch.from_numpy(data.sparse.xyz))
        b, depth = after.project(view, torch.from_numpy(expected))
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
        origin, direction = after.rays(torch.full((30,), view), b[:, 0], b[:, 1])
        along = torch.from_numpy(expected) - origin
        distance = along.norm(dim=1, keepdim=True)
        torch.testing.assert_close((along / distance).float(), direction, rtol=0, atol=1e-5)
        assert (depth > 0).all()


@pytest.mark.parametrize("seed", range(6))
def test_any_similar_copy_gives_the_same_world_but_for_a_turn_about_z(seed: int) -> None:
    rng = np.random.default_rng(seed)
    views = views_of(ring(jitter=0.3))
    copy = transformed(views, random_similarity(rng))
    first, second = (normalise(v, SETTINGS, blender=False).views.poses for v in (views, copy))
    for channel in (2, 3):  # forward, centre
        np.testing.assert_allclose(first[:, 2, channel], second[:, 2, channel], atol=1e-9)
    a, b = (p[:, 0, 3] + 1j * p[:, 1, 3] for p in (first, second))
    np.testing.assert_allclose(np.abs(a), np.abs(b), atol=1e-9)
    np.testing.assert_allclose(b / a, np.full(len(a), (b / a)[0]), atol=1e-8)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("inward", [True, False])
def test_up_is_found(seed: int, inward: bool) -> None:
    rotation = random_rotation(np.random.default_rng(seed))
    poses = rotation @ ring(inward=inward, jitter=0.3)
    up, how = up_direction(poses)
    np.testing.assert_allclose(up, rotation[:, 2], rtol=0, atol=1e-9)
    assert "level" in how


def test_up_of_parallel_and_of_slightly_rolled_cameras() -> None:
    parallel = np.repeat(ring(2)[:1], 5, axis=0)
    parallel[:, 0, 3] = np.arange(5)
    up, how = up_direction(parallel)
    assert "mean" in how
    np.testing.assert_allclose(up, -parallel[0, :, 1], atol=1e-12)
    rolled = ring(20)
    for i, angle in enumerate(np.random.default_rng(0).normal(0, 0.05, 20)):
        turn = [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0]]
        rolled[i, :, :3] = rolled[i, :, :3] @ np.array([*turn, [0, 0, 1]])
    up, _ = up_direction(rolled)
    assert up[2] > math.cos(math.radians(3))


@pytest.mark.parametrize("seed", range(10))
def test_rotation_between_directions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    for start, end in ((a, b), (a, a), (a, -a), (b, np.array([0.0, 0.0, 1.0]))):
        turn = rotation_between(start, end)
        np.testing.assert_allclose(turn @ start, end, rtol=0, atol=1e-9)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), rtol=0, atol=1e-9)
        assert np.linalg.det(turn) == pytest.approx(1.0)
        assert np.trace(turn) == pytest.approx(1 + 2 * start @ end)  # no turn about the end


def test_cameras_that_look_inward_are_centred_on_what_they_see() -> None:
    half = ring(40, height=2.0)[:14]  # a sector: the mean of the cameras is far from the object
    centre, how = scene_centre(half)
    np.testing.assert_allclose(centre, 0, atol=1e-9)
    assert "look at" in how
    for poses in (ring(inward=False), np.repeat(ring(2)[:1], 3, axis=0)):
        centre, how = scene_centre(poses)
        np.testing.assert_allclose(centre, poses[:, :, 3].mean(0))
        assert "mean" in how


def test_cameras_lie_in_the_uncontracted_cube() -> None:
    data = transformed(views_of(ring(jitter=0.5)), random_similarity(np.random.default_rng(0)))
    result = normalise(data, SETTINGS, blender=False)
    radius = np.linalg.norm(result.views.poses[:, :, 3], axis=1)
    assert radius.max() == pytest.approx(1 / 1.1)
    assert result.space.kind == "contraction"
    assert (result.space.near, result.space.far) == (0.05, 1000.0)
    assert [line.split(":")[0] for line in result.log[:4]] == ["Up", "Centre", "Scale", "Space"]


def test_near_follows_the_nearest_points() -> None:
    points = np.concatenate([np.random.default_rng(0).uniform(-0.5, 0.5, (40, 3)), [[0, 0, 50]]])
    result = normalise(views_of(ring(), points), SETTINGS, blender=False)
    sparse = result.views.sparse
    assert sparse is not None
    gaps = np.linalg.norm(sparse.xyz[:, None] - result.views.poses[None, :, :, 3], axis=2)
    assert result.space.near == pytest.approx(0.5 * np.quantile(gaps, 0.01))
    assert 0.05 < result.space.near < 0.5 * 0.91


def test_blender_data_are_kept() -> None:
    views = views_of(ring())
    result = normalise(views, SETTINGS, blender=True)
    np.testing.assert_array_equal(result.world_from_data, np.eye(4))
    np.testing.assert_allclose(result.views.poses, views.poses, atol=1e-15)
    space = result.space
    assert (space.kind, space.near, space.far) == ("box", 2.0, 6.0)
    assert space.box == ((-1.3, -1.3, -1.3), (1.3, 1.3, 1.3))


def test_recentred_blender_data_take_their_box_along() -> None:
    result = normalise(views_of(ring()), SceneSettings(recentre=True), blender=True)
    scale = 1 / (1.1 * math.hypot(4.0, 1.5))
    np.testing.assert_allclose(result.space.box, np.array([[-1.3] * 3, [1.3] * 3]) * scale)
    assert (result.space.near, result.space.far) == pytest.approx((2 * scale, 6 * scale))


def test_settings_win() -> None:
    box = ((-1.0, -2.0, -3.0), (1.0, 2.0, 3.0))
    settings = SceneSettings(box=box, near=0.2, far=9.0, orientation="keep", recentre=False)
    result = normalise(views_of(ring()), settings, blender=False)
    assert (result.space.kind, result.space.box) == ("box", box)
    assert (result.space.near, result.space.far) == (0.2, 9.0)
    np.testing.assert_array_equal(result.world_from_data, np.eye(4))


def test_a_box_holds_the_points() -> None:
    points = np.random.default_rng(0).normal(size=(500, 3)) * [0.3, 0.5, 0.1]
    settings = SceneSettings(space="box", recentre=False)
    lower, upper = normalise(views_of(ring(), points), settings, blender=False).space.box
    inside = ((points >= lower) & (points <= upper)).all(axis=1)
    assert inside.mean() > 0.94
    assert np.less(upper, points.max(0) + 0.1).all()


def test_impossible_spaces_are_one_line() -> None:
    views = views_of(ring())
    together = replace(views, poses=views.poses * [1, 1, 1, 0])
    with pytest.raises(UserError, match="all cameras stand in one place"):
        normalise(together, SETTINGS, blender=False)
    with pytest.raises(UserError, match=r"scene\.near: 7 is not below far, 6"):
        normalise(views, SceneSettings(near=7.0), blender=True)
    box = ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0))
    with pytest.raises(UserError, match=r"scene\.box: has no use"):
        normalise(views, SceneSettings(box=box, space="contraction"), blender=False)


def test_cameras_outside_of_the_cube_are_mentioned() -> None:
    result = normalise(views_of(ring()), SceneSettings(recentre=False), blender=False)
    assert any("lie outside of the cube" in line for line in result.log)
