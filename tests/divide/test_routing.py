"""Which group owns a view or a point, against counting by hand; which expert a camera gets."""

from __future__ import annotations

import typing
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import toy
from scipy import sparse

from dac.cameras import Cameras
from dac.divide.divide import partition_scene
from dac.divide.partition import Partition
from dac.divide.poses import pose_distances
from dac.divide.router import Router
from dac.divide.routing import UNOWNED, owners_of_points, owners_of_views
from dac.scenes.scene import Scene
from dac.settings import DivideSettings, Division

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


def owner_of_camera(scene: Scene, partition: Partition, view: int) -> int:
    """The expert that a view gets as if it were any camera."""
    pose = scene.cameras.world_from_camera[view].numpy()
    return Router.of(scene, partition).owner_of(pose)


def test_owners_of_views_are_the_partitions() -> None:
    scene = toy.scene(size=2)
    partition = toy.halves(scene)
    owners = owners_of_views(scene, partition)
    for view, name in enumerate(scene.names):
        assert owners[view] == partition.owner.get(name, UNOWNED)
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


def covisible(scene: Scene) -> sparse.csr_matrix:
    """Views on a circle share the more points, the nearer they are; those far apart none."""
    phi = np.arctan2(*scene.cameras.centres.numpy()[:, :2].T)
    apart = np.abs((phi[:, None] - phi + np.pi) % (2 * np.pi) - np.pi)
    shared = np.maximum(0, 100 * (1 - apart)).round().astype(np.int64)
    np.fill_diagonal(shared, 0)
    return sparse.csr_matrix(shared)


DIVISIONS = typing.get_args(Division)


def divided(division: Division, angles: list[float], trained: int) -> tuple[Scene, Partition]:
    scene = on_circle(angles, trained)
    settings = DivideSettings(minimum_views=1, maximum_share=1.0, overlap_degrees=150)
    K = 1 if division == "single" else 3
    return scene, partition_scene(scene, division, K, settings, covisible(scene))


@pytest.mark.parametrize("division", ["azimuth", "azimuth-overlap"])
@pytest.mark.parametrize("K", range(2, 9))
def test_a_camera_on_a_border_belongs_to_the_upper_sector(division: Division, K: int) -> None:
    """For training as for testing; a millionth of a degree below, to the lower one."""
    borders = [360 * i / K for i in range(K)]
    below = [border - 1e-6 for border in borders]
    training = [*borders, *below, *(360 * (i + 0.5) / K for i in range(K))]
    scene = on_circle([*training, *borders, *below], len(training))
    settings = DivideSettings(minimum_views=1, maximum_share=1.0, overlap_degrees=540 / K)
    partition = partition_scene(scene, division, K, settings, None)
    sides = [*range(K), K - 1, *range(K - 1)]
    assert owners_of_views(scene, partition).tolist()[: 2 * K] == sides
    assert [owner_of_camera(scene, partition, view) for view in scene.test] == sides


@pytest.mark.parametrize("division", DIVISIONS)
@pytest.mark.parametrize("seed", range(3))
def test_a_camera_where_a_training_view_stands_has_its_expert(
    division: Division, seed: int
) -> None:
    angles = np.random.default_rng(seed).uniform(0, 360, 20).tolist()
    scene, partition = divided(division, angles * 2, 20)
    owners = owners_of_views(scene, partition)
    assert [owner_of_camera(scene, partition, view) for view in scene.test] == owners[:20].tolist()


@pytest.mark.parametrize("division", ["azimuth-quantile", "louvain", "spectral", "random"])
@pytest.mark.parametrize("seed", range(3))
def test_between_two_groups_the_nearer_training_view_decides(division: Division, seed: int) -> None:
    """Just on either side of the middle between neighbours, also across azimuth 0."""
    angles = np.sort(np.random.default_rng(seed).uniform(0, 360, 20))
    middles = (angles + np.roll(angles, -1)) / 2 + [*[0] * 19, 180]
    asked = [middle + side for middle in middles for side in (-1e-3, 1e-3)]
    scene, partition = divided(division, [*angles.tolist(), *asked], 20)
    owners = owners_of_views(scene, partition)[:20].tolist()
    expected = [owners[(i + side) % 20] for i in range(20) for side in (0, 1)]
    assert [owner_of_camera(scene, partition, view) for view in scene.test] == expected
    assert len(set(owners)) == 3


@pytest.mark.parametrize("division", ["azimuth-quantile", "louvain", "random"])
def test_of_training_views_equally_near_the_first_decides(division: Division) -> None:
    scene = on_circle([40.0, 10, 40, 10, 40], 4)
    groups, owner = (("v0", "v1"), ("v2", "v3")), {"v0": 0, "v1": 0, "v2": 1, "v3": 1}
    assert owner_of_camera(scene, Partition(division, groups, owner), 4) == 0
    swapped = {name: 1 - group for name, group in owner.items()}
    assert owner_of_camera(scene, Partition(division, groups[::-1], swapped), 4) == 1


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
    poses = scene.cameras.world_from_camera.numpy()
    distance = pose_distances(poses, poses)
    assert np.abs(np.diag(distance)).max() == 0
    assert np.allclose(distance, distance.T)
    off = distance[~np.eye(len(poses), dtype=bool)]
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
