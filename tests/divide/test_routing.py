"""Which expert answers for a ray: owners, sectors, nearest views, novel rays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import toy
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from dac.cameras import Cameras
from dac.conquer.novel_rays import NovelRays, _neighbours, rotate
from dac.divide.divide import partition_scene
from dac.divide.partition import Partition
from dac.divide.routing import UNOWNED, owner_of_camera, owners_of_views, pose_distances
from dac.scenes.scene import Scene
from dac.settings import DivideSettings

ANY = DivideSettings(minimum_views=1)


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


@given(st.integers(0, 10**6))
def test_rotating_by_parts_is_slerp(seed: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = Rotation.random(2, random_state=generator)
    u, vector = generator.random(), generator.normal(size=3)
    turn = (a.inv() * b).as_rotvec()
    expected = Slerp([0, 1], Rotation.concatenate([a, b]))(u).as_matrix() @ vector
    turned = rotate(u * turn[None], vector[None])[0]
    assert np.abs(a.as_matrix() @ turned - expected).max() < 1e-9


def test_novel_rays_lie_between_neighbours_of_one_group() -> None:
    scene = toy.scene()
    partition = toy.halves(scene)
    novel = NovelRays(scene, partition, rays=400, seed=1)
    origins, directions, group = (torch.from_numpy(value) for value in novel(3))
    assert directions.norm(dim=1).sub(1).abs().max() < 1e-5
    assert group.unique().tolist() == [0, 1]
    centres = scene.cameras.centres.float()
    for origin, owner in zip(origins, group.tolist(), strict=True):
        views = scene.indices(partition.groups[owner])
        between = []
        for a in views:
            for b in _neighbours(scene, a, views):
                assert b in views and b != a
                step = centres[b] - centres[a]
                u = ((origin - centres[a]) @ step / (step @ step)).clamp(0, 1)
                between.append((centres[a] + u * step - origin).norm())
        assert min(between) < 1e-4
    # Interpolated cameras keep looking at the object: about as many hits as the training views.
    hit = toy.sphere(origins, directions)[:, 3].mean()
    assert abs(hit - scene.images[list(scene.train), ..., 3].mean() / 255) < 0.08


def test_novel_rays_are_a_function_of_seed_and_step() -> None:
    scene = toy.scene(size=4)
    first, again, other = (
        NovelRays(scene, toy.halves(scene), rays=9, seed=seed) for seed in (1, 1, 2)
    )
    again(0)
    for a, b in zip(first(5), again(5), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(first(5)[0], other(5)[0])
    assert not np.array_equal(first(5)[0], first(6)[0])


def test_a_view_alone_in_its_group_is_its_own_neighbour() -> None:
    scene = toy.scene(size=4)
    names = [scene.names[view] for view in scene.train]
    owner = {name: int(place > 0) for place, name in enumerate(names)}
    partition = Partition("random", ((names[0],), tuple(names[1:])), owner)
    novel = NovelRays(scene, partition, rays=200, seed=0)
    origins, _, group = novel(0)
    alone = scene.cameras.centres[scene.train[0]].numpy()
    assert np.abs(origins[group == 0] - alone).max() < 1e-6
