"""Owners of views and points, against counting by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import toy

from dac.divide.ownership import owners, owners_of_points
from dac.divide.partition import Partition
from dac.scenes.scene import Scene

Make = Callable[..., Scene]


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
    return min((group for group in votes if votes[group] == most), default=partition.count)


@pytest.mark.parametrize("seed", range(40))
def test_a_point_goes_by_the_owners_of_the_views_that_see_it(make_scene: Make, seed: int) -> None:
    rng = np.random.default_rng(seed)
    N, P, K = int(rng.integers(1, 12)), int(rng.integers(0, 60)), int(rng.integers(1, 5))
    train = np.sort(rng.choice(N, rng.integers(1, N + 1), replace=False)).tolist()
    scene = make_scene(rng.normal(size=(N, 3)), tuple(train))
    known = [scene.names[view] for view in train if rng.random() < 0.9]
    partition = overlapping(rng, known, K)
    owner = owners(scene, partition)
    assert owner.tolist() == [partition.owner.get(scene.names[view], K) for view in train]
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
    owner = owners(scene, partition)
    assert owners_of_points(scene, toy.points_with([[0, 1, 2], [2]]), owner, 2).tolist() == [0, 1]
