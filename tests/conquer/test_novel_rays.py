"""Rays between neighbouring views of one group."""

from __future__ import annotations

import numpy as np
import torch
import toy
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from dac.conquer.novel_rays import NovelRays, _neighbours, rotate
from dac.divide.partition import Partition


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
    owner = {name: int(i > 0) for i, name in enumerate(names)}
    partition = Partition("random", ((names[0],), tuple(names[1:])), owner)
    novel = NovelRays(scene, partition, rays=200, seed=0)
    origins, _, group = novel(0)
    alone = scene.cameras.centres[scene.train[0]].numpy()
    assert np.abs(origins[group == 0] - alone).max() < 1e-6
