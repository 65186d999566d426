"""Margins against counting by hand."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import toy
from hypothesis import given
from hypothesis import strategies as st

from dac.divide.azimuth import azimuths
from dac.divide.divide import partition_scene
from dac.divide.margins import margins
from dac.divide.poses import pose_distances
from dac.settings import DivideSettings, Division

SCENE = toy.scene(size=2)
TRAIN = list(SCENE.train)
POSES = SCENE.cameras.world_from_camera.numpy()[TRAIN]


@given(st.integers(1, 6), st.floats(0, 1), st.sampled_from(get_args(Division)))
def test_a_margin_is_of_others_and_grows_with_its_share(
    K: int, share: float, division: Division
) -> None:
    owner = np.arange(len(TRAIN)) * K // len(TRAIN)
    member = margins(SCENE, division, owner, K, share)
    assert member.shape == (K, len(TRAIN))
    assert not member[owner, np.arange(len(TRAIN))].any()
    assert (member <= margins(SCENE, division, owner, K, 1.0)).all()
    if K == 1 or share == 0 or division in ("random", "single", "azimuth-overlap"):
        assert not member.any()


def test_sectors_reach_so_far_beyond_both_ends() -> None:
    K, share = 3, 0.25
    degrees = np.degrees(azimuths(POSES[:, :, 3]))
    owner = (degrees // 120).astype(np.int64)
    member = margins(SCENE, "azimuth", owner, K, share)
    for group in range(K):
        first, last = 120 * group - 30, 120 * (group + 1) + 30
        within = [any(first <= d + turn <= last for turn in (-360, 0, 360)) for d in degrees]
        assert member[group].tolist() == (np.array(within) & (owner != group)).tolist()
    assert member.any()


@pytest.mark.parametrize("division", ["louvain", "spectral", "azimuth-quantile"])
def test_others_take_the_nearest_views(division: Division) -> None:
    owner = np.repeat([0, 1, 2], len(TRAIN) // 3)
    member = margins(SCENE, division, owner, 3, 0.25)
    distances = pose_distances(POSES, POSES)
    for group in range(3):
        own = owner == group
        assert member[group].sum() == round(2 * 0.25 * own.sum())
        nearest = distances[:, own].min(axis=1)
        left_out = ~own & ~member[group]
        assert nearest[member[group]].max() <= nearest[left_out].min()


def test_the_partition_holds_them_in_the_scene_s_order() -> None:
    settings = DivideSettings(minimum_views=1, margin=0.5)
    partition = partition_scene(SCENE, "azimuth", 2, settings, None)
    assert len(partition.margins) == 2 and all(partition.margins)
    for group in (0, 1):
        seen = partition.seen_by(group)
        assert seen == (*partition.groups[group], *partition.margins[group])
        assert len(set(seen)) == len(seen)
    none = partition_scene(SCENE, "azimuth", 2, DivideSettings(minimum_views=1, margin=0), None)
    assert none.seen_by(1) == none.groups[1]
