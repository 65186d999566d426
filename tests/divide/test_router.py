"""Shares of experts in a camera's picture: properties over random cameras, and cases by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import toy
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dac.divide.azimuth import azimuths, sectors
from dac.divide.divide import partition_scene
from dac.divide.partition import Partition
from dac.divide.poses import pose_distances
from dac.divide.router import By, Router
from dac.settings import DivideSettings, Division

Pose = NDArray[np.float64]


def pose(azimuth: float, elevation: float = 0.0, radius: float = 4.0) -> Pose:
    """A camera on the sphere that looks at the origin; degrees."""
    a, e = np.radians((azimuth, elevation))
    forward = -np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([np.sin(a), -np.cos(a), 0.0])
    return np.column_stack([right, np.cross(forward, right), forward, -radius * forward])


def sector_router(K: int, blend: float) -> Router:
    return Router("sectors", K, blend, np.zeros((0, 3, 4)), np.zeros(0, np.int64))


def ring_router(by: By, K: int, blend: float, views: int = 24) -> Router:
    """Views evenly around, group after group."""
    poses = np.stack([pose(360 * (i + 0.5) / views, 20.0) for i in range(views)])
    return Router(by, K, blend, poses, np.arange(views) * K // views)


routers = st.one_of(
    st.builds(sector_router, st.integers(1, 9), st.floats(0, 1)),
    st.builds(
        ring_router, st.sampled_from(["azimuths", "poses"]), st.integers(1, 6), st.floats(0, 1)
    ),
)
angles, heights = st.floats(0, 360), st.floats(-89, 90)


@given(routers, angles, heights, st.floats(0.01, 100))
def test_shares_are_a_partition_of_one(
    router: Router, azimuth: float, height: float, radius: float
) -> None:
    shares = router.weights(pose(azimuth, height, radius))
    assert shares.shape == (router.count,)
    assert shares.min() >= 0 and abs(shares.sum() - 1) < 1e-12
    assert router.owner_of(pose(azimuth, height, radius)) == int(shares.argmax())
    if router.blend == 0:
        assert np.count_nonzero(shares) == 1


@given(routers, angles, heights)
def test_a_step_of_the_camera_is_a_small_step_of_the_shares(
    router: Router, azimuth: float, height: float
) -> None:
    """So that a film has no jump: over a millionth of a turn, less than a thousandth."""
    assume(router.blend > 0.02)
    before, after = (router.weights(pose(azimuth + d, height)) for d in (0.0, 360e-6))
    assert np.abs(after - before).max() < 1e-3


@given(st.integers(2, 12), st.floats(0.01, 0.5), st.floats(0.0, 1.0), st.integers(0, 11))
def test_sectors_blend_as_far_from_a_border_as_they_are_told(
    K: int, blend: float, place: float, sector: int
) -> None:
    """On the equator, where a sector is as wide as its angle."""
    sector %= K
    shares = sector_router(K, blend).weights(pose(360 * (sector + place) / K))
    from_border = min(place, 1 - place)
    assume(abs(from_border - blend) > 1e-6 and from_border > 1e-6)
    assert int(shares.argmax()) == sector
    assert (np.count_nonzero(shares) == 1) == (from_border > blend)
    x = 0.5 + from_border / (2 * blend)
    if from_border < blend and K > 2 and blend + from_border < 1 - 1e-6:
        assert np.isclose(shares[sector], x * x * (3 - 2 * x))


def test_both_sides_of_a_border_have_half() -> None:
    assert np.allclose(sector_router(4, 0.2).weights(pose(90.0)), [0.5, 0.5, 0, 0])
    for by in ("azimuths", "poses"):
        shares = ring_router(by, 4, 0.2).weights(pose(90.0, 20.0))
        assert np.allclose(shares, [0.5, 0.5, 0, 0])


def test_all_blend_at_the_pole() -> None:
    assert np.allclose(sector_router(5, 0.3).weights(pose(17.0, 90.0)), 0.2)


@given(st.integers(1, 12), angles, heights)
def test_without_blending_sectors_are_those_of_the_division(
    K: int, azimuth: float, height: float
) -> None:
    at = pose(azimuth, height)
    assert sector_router(K, 0.0).owner_of(at) == sectors(azimuths(at[None, :, 3]), K)[0]


@pytest.mark.parametrize(
    ("division", "by"),
    [
        ("azimuth", "sectors"),
        ("azimuth-overlap", "sectors"),
        ("azimuth-quantile", "azimuths"),
        ("random", "poses"),
    ],
)
def test_what_a_division_routes_by(division: Division, by: By) -> None:
    scene = toy.scene(size=2)
    settings: dict[str, Any] = {"minimum_views": 1, "overlap_degrees": 270}
    partition = partition_scene(scene, division, 2, DivideSettings(**settings), None)
    router = Router.of(scene, partition, 0.25)
    assert (router.by, router.count, router.blend) == (by, 2, 0.25)
    assert len(router.poses) == len(router.owner) == (0 if by == "sectors" else len(scene.train))
    shares = router.shares(scene.cameras)
    assert shares.shape == (len(scene.names), 2)
    if by == "poses":  # a training view is its owner's
        for view in scene.train:
            assert shares[view][partition.owner[scene.names[view]]] == 1


def with_generalist(shares: list[float], blend: float = 0.2) -> Router:
    return replace(ring_router("poses", len(shares), blend), generalist=np.array(shares))


generalists = st.lists(st.floats(0, 1), min_size=1, max_size=6)


@given(generalists, st.floats(0, 1), angles, heights, st.floats(0.01, 100))
def test_the_generalist_takes_a_share_of_all(
    its: list[float], blend: float, azimuth: float, height: float, radius: float
) -> None:
    router, at = with_generalist(its, blend), pose(azimuth, height, radius)
    shares, alone = router.weights(at), replace(router, generalist=None).weights(at)
    assert len(shares) == router.models == len(its) + 1 == len(alone) + 1
    assert shares.min() >= 0 and abs(shares.sum() - 1) < 1e-12
    assert (shares[:-1] <= alone).all()
    assert router.owner_of(at) == int(alone.argmax())


@given(generalists, st.integers(0, 23))
def test_at_a_training_view_the_generalist_has_its_groups_share(
    its: list[float], view: int
) -> None:
    router = with_generalist(its, 0.0)
    shares = router.weights(router.poses[view])
    assert np.isclose(shares[-1], its[router.owner[view]], rtol=1e-12)
    if its[router.owner[view]] == 0:  # one model's time, and not a bit of another
        assert np.count_nonzero(shares) == 1


@given(st.floats(1.001, 50))
def test_away_from_all_views_the_generalist_takes_over(times: float) -> None:
    """A camera that looks as the nearest view does, `times` a view's distance from the next."""
    router = with_generalist([0.0, 0.0], 0.0)
    distances = pose_distances(router.poses, router.poses)
    spacing = np.median(np.sort(distances, axis=1)[:, 1])
    up = router.poses[3].copy()
    radius = np.linalg.norm(router.poses[:, :, 3] - router.poses[:, :, 3].mean(axis=0), axis=1)
    up[2, 3] += times * spacing * radius.mean()
    nearest = pose_distances(up[None], router.poses).min() / spacing
    shares = router.weights(up)
    assert np.isclose(shares[-1], np.clip((nearest - 1) / 2, 0, 1))
    if nearest >= 3:  # one model's time
        assert np.count_nonzero(shares) == 1
    assert nearest <= times * (1 + 1e-9)
    assert np.isclose(nearest, times) or times > 2  # another may be nearer from far above


def test_a_group_without_views_never_shows() -> None:
    scene = toy.scene(size=2)
    names = tuple(scene.names[view] for view in scene.train)
    partition = Partition("louvain", (names, ()), dict.fromkeys(names, 0))
    router = Router.of(scene, partition, 1.0)
    assert (router.shares(scene.cameras)[:, 1] == 0).all()
