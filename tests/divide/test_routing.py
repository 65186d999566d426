"""Which group owns a view or a point, against counting by hand; which expert a camera gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import toy

from dac.cameras import Cameras
from dac.divide.divide import partition_scene
from dac.divide.partition import Partition
from dac.divide.routing import (
    UNOWNED,
    owner_of_camera,
    owners_of_points,
    owners_of_views,
    pose_distances,
)
from dac.scenes.scene import Scene
from dac.settings import DivideSettings

ANY = DivideSettings(minimum_views=1)
Make = Callable[..., Scene]


def on_circle(degrees: list[float], trained: int) -> Scene:
    """A scene whose first views are training views, all at height 1 and looking at the z axis."""
    scene = toy.scene(size=2)
    poses = []
    for angle in np.radians(degrees):
        forward = -np.array([np.cos(angle), np.sin(angle), 0.0])
        right = np.cross(forward, [0.0, 0.0, 1.0])
        down = np.cross(forward, right)
        centre = -3 * forward + [0, 0, 1]
        poses.append(np.column_stack([right, down, forward, centre]))
    first = scene.cameras
    count = len(poses)
    return replace(
        scene,
        names=tuple(f"v{i}" for i in range(count)),
        cameras=Cameras(
            "perspective",
            2,
            2,
            first.intrinsics[:1].repeat(count, 1),
            first.distortion[:1].repeat(count, 1),
            torch.from_numpy(np.stack(poses)),
        ),
        images=np.zeros((count, 2, 2, 4), np.uint8),
        train=tuple(range(trained)),
        test=tuple(range(trained, count)),
    )


def test_owners_of_views_are_the_partitions() -> None:
    scene = toy.scene(size=2)
    partition = toy.halves(scene)
    owners = owners_of_views(scene, partition)
    for view, name in enumerate(scene.names):
        assert owners[view] == partition.owner.get(name, UNOWNED)
        if view in scene.train:
            assert owner_of_camera(scene, partition, view) == owners[view]
    assert (owners[list(scene.test)] == UNOWNED).all()


@pytest.mark.parametrize(
    ("degrees", "sector"), [(45, 0), (135, 1), (225, 2), (315, 3), (1, 0), (89, 0), (90, 1)]
)
def test_azimuth_sectors(degrees: float, sector: int) -> None:
    training = [10.0, 80, 100, 170, 190, 260, 280, 350]
    scene = on_circle([*training, degrees], len(training))
    partition = partition_scene(scene, "azimuth", 4, ANY, None)
    assert owner_of_camera(scene, partition, len(training)) == sector


def test_overlapping_sectors_route_to_the_nearest_centre() -> None:
    training = [10.0 * i + 1 for i in range(36)]
    scene = on_circle([*training, 5, 59, 61, 300], len(training))
    partition = partition_scene(scene, "azimuth-overlap", 6, ANY, None)
    routed = [owner_of_camera(scene, partition, view) for view in scene.test]
    assert routed == [0, 0, 1, 5]


def test_quantile_sectors_route_to_the_nearest_azimuth() -> None:
    training = [0.0, 5, 10, 15, 200, 350]
    scene = on_circle([*training, 12, 150, 354, 356], len(training))
    names = [f"v{i}" for i in range(6)]
    owner = {name: int(i >= 3) for i, name in enumerate(names)}
    partition = Partition("azimuth-quantile", (tuple(names[:3]), tuple(names[3:])), owner)
    assert [owner_of_camera(scene, partition, view) for view in scene.test] == [0, 1, 1, 0]


def test_other_divisions_route_to_the_nearest_view_by_centre_and_direction() -> None:
    scene = on_circle([0.0, 90, 180, 270, 20, 100, 190], 4)
    owner = {f"v{i}": i for i in range(4)}
    partition = Partition("louvain", tuple((f"v{i}",) for i in range(4)), owner)
    assert [owner_of_camera(scene, partition, view) for view in scene.test] == [0, 1, 2]
    # A camera that turns around where it stands looks like the views that look its way.
    poses = scene.cameras.world_from_camera.clone()
    poses[4, :, :3] = poses[2, :, :3]
    poses[4, :, 3] = torch.tensor([0.1, 0.0, 1.0])
    turned = replace(scene, cameras=replace_poses(scene.cameras, poses))
    assert owner_of_camera(turned, partition, 4) == 2


def replace_poses(cameras: Cameras, poses: torch.Tensor) -> Cameras:
    return Cameras(
        cameras.model,
        cameras.width,
        cameras.height,
        cameras.intrinsics,
        cameras.distortion,
        poses,
    )


def test_pose_distance_is_zero_for_oneself_and_symmetric_up_to_scale() -> None:
    scene = toy.scene(size=2)
    every = list(range(len(scene.names)))
    distance = pose_distances(scene, every, every)
    assert np.abs(np.diag(distance)).max() == 0
    assert np.allclose(distance, distance.T)
    off = distance[~np.eye(len(every), dtype=bool)]
    assert off.min() > 0


def overlapping(rng: np.random.Generator, names: list[str], K: int) -> Partition:
    """A partition of these views, of which groups also hold some that others own."""
    owner = {name: int(rng.integers(K)) for name in names}
    groups = tuple(
        tuple(name for name in names if owner[name] == group or rng.random() < 0.3)
        for group in range(K)
    )
    return Partition("random-overlap", groups, owner)


def by_hand(scene: Scene, partition: Partition, track: list[int]) -> int:
    """The group that owns most of the training views in a track."""
    seen = {scene.names[view] for view in track if view in scene.train}
    votes = Counter(partition.owner[name] for name in seen if name in partition.owner)
    most = max(votes.values(), default=0)
    return min((group for group in votes if votes[group] == most), default=UNOWNED)


@pytest.mark.parametrize("seed", range(40))
def test_a_point_goes_by_the_owners_of_the_views_that_see_it(make_scene: Make, seed: int) -> None:
    rng = np.random.default_rng(seed)
    N, P, K = int(rng.integers(1, 12)), int(rng.integers(0, 60)), int(rng.integers(1, 5))
    train = np.sort(rng.choice(N, rng.integers(1, N + 1), replace=False)).tolist()
    scene = make_scene(rng.normal(size=(N, 3)), tuple(train))
    known = [scene.names[view] for view in train if rng.random() < 0.9]
    partition = overlapping(rng, known, K)
    owner = owners_of_views(scene, partition)[train]
    assert owner.tolist() == [partition.owner.get(scene.names[view], UNOWNED) for view in train]
    tracks = [rng.integers(0, N, rng.integers(0, 7)).tolist() for _ in range(P)]
    found = owners_of_points(scene, toy.points_with(tracks), owner, K)
    assert found.tolist() == [by_hand(scene, partition, track) for track in tracks]


def test_a_view_that_two_groups_hold_counts_for_its_owner(make_scene: Make) -> None:
    """Group 1 holds all three views that see the point, and owns one of them."""
    scene = make_scene(np.eye(3))
    names = scene.names
    partition = Partition(
        "azimuth-overlap", (names[:2], names), dict(zip(names, (0, 0, 1), strict=True))
    )
    owner = owners_of_views(scene, partition)
    assert owners_of_points(scene, toy.points_with([[0, 1, 2], [2]]), owner, 2).tolist() == [0, 1]
