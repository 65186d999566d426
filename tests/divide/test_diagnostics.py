from __future__ import annotations

import json
from collections.abc import Callable

import networkx
import numpy as np
import pytest
import toy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from dac.divide.covisibility import covisibility
from dac.divide.diagnostics import conductance, coverage, diagnose, mean_covisibility
from dac.divide.divide import partition_scene
from dac.divide.partition import Partition
from dac.scenes.scene import Scene
from dac.settings import DivideSettings

MakeScene = Callable[..., Scene]


def random_graph(rng: np.random.Generator, n: int) -> sparse.csr_matrix:
    upper = np.triu(rng.integers(0, 9, (n, n)), 1)
    return sparse.csr_matrix(upper + upper.T)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(3, 25))
def test_conductance_is_networkx(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    A = random_graph(rng, n)
    inside = rng.random(n) < 0.4
    graph = networkx.from_scipy_sparse_array(A)
    try:
        expected = networkx.conductance(
            graph, set(np.flatnonzero(inside)), set(np.flatnonzero(~inside)), weight="weight"
        )
    except ZeroDivisionError:
        assert conductance(A, inside) is None
        return
    assert conductance(A, inside) == pytest.approx(expected, abs=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 4))
def test_means_and_coverage_like_slow_loops(seed: int, n: int, K: int) -> None:
    rng = np.random.default_rng(seed)
    A, member = random_graph(rng, n), rng.random((K, n)) < 0.5
    dense, means = A.toarray(), mean_covisibility(A, member)
    for a in range(K):
        for b in range(K):
            pairs = [
                dense[i, j]
                for i in np.flatnonzero(member[a])
                for j in np.flatnonzero(member[b])
                if i != j
            ]
            assert means[a][b] == (pytest.approx(np.mean(pairs)) if pairs else None)
    seen = rng.random((20, n)) < 0.3
    result = coverage(sparse.csr_matrix(seen.astype(np.int64)), member)
    counted = [row for row in seen if row.sum() >= 2]
    if not counted:
        assert result["coverage"] is None
        return
    covered = np.array([[(row & group).sum() >= 2 for group in member] for row in counted])
    assert result["coverage"] == pytest.approx(covered.mean(axis=0))
    alone = [[bool(row[a]) and row.sum() == 1 for a in range(K)] for row in covered]
    assert result["exclusive_coverage"] == pytest.approx(np.mean(alone, axis=0))
    assert result["uncovered"] == pytest.approx(np.mean([not row.any() for row in covered]))


def scene_of_four_views(make_scene: MakeScene) -> Scene:
    # The last view is a test view.
    return make_scene(
        np.array([[1.0, -0.2, 0], [1, 0.2, 0], [-1, -0.2, 0], [-1, 0.2, 0], [0, 1, 0]]),
        (0, 1, 2, 3),
    )


def test_the_whole_record_of_a_small_scene(make_scene: MakeScene) -> None:
    scene = scene_of_four_views(make_scene)
    names = scene.names
    partition = Partition(
        "louvain", (names[:2], names[2:4]), {n: i // 2 for i, n in enumerate(names[:4])}, ("note",)
    )
    points = toy.points_with([[0, 1], [0, 1], [2, 3], [1, 2], [0, 1, 2, 3], [0, 4], [4]])
    result = diagnose(scene, partition, points, covisibility(points.offsets, points.views, 5))
    json.dumps(result, allow_nan=False)
    assert result["sizes"] == result["owned"] == [2, 2]
    assert (result["division"], result["K"], result["views"]) == ("louvain", 2, 4)
    # Shared points: 0-1: 3, 2-3: 2, 1-2: 2, and 1 for each other pair (the fifth point's).
    assert result["mean_covisibility"] == [[3.0, 1.25], [1.25, 2.0]]
    assert result["conductance"] == pytest.approx([5 / 9, 5 / 9])
    assert result["modularity"] == pytest.approx(10 / 20 - (11 / 20) ** 2 - (9 / 20) ** 2)
    assert result["coverage"] == [3 / 5, 2 / 5]
    assert result["exclusive_coverage"] == [2 / 5, 1 / 5]
    assert result["uncovered"] == 1 / 5
    spread = 2 * np.degrees(np.arctan(0.2))
    centres = [arc["centre"] % 360 for arc in result["azimuth"]]
    assert min(centres[0], 360 - centres[0]) == pytest.approx(0, abs=1e-9)
    assert centres[1] == pytest.approx(180)
    assert [arc["arc"] for arc in result["azimuth"]] == pytest.approx([spread, spread])


def test_what_is_undefined_is_none(make_scene: MakeScene) -> None:
    scene = scene_of_four_views(make_scene)
    partition = partition_scene(scene, "single", 1, DivideSettings(), None)
    bare = diagnose(scene, partition, None, None)
    assert all(bare[key] is None for key in ("modularity", "conductance", "coverage", "uncovered"))
    empty = diagnose(scene, partition, None, sparse.csr_matrix((5, 5), dtype=np.int64))
    assert (empty["modularity"], empty["conductance"]) == (None, [None])
    assert empty["mean_covisibility"] == [[0.0]]
    assert diagnose(scene, partition, toy.points_with([[], [], []]), None)["coverage"] is None


def test_overlapping_groups_count_their_views_and_their_owners(make_scene: MakeScene) -> None:
    phi = 2 * np.pi * (np.arange(36) + 0.5) / 36
    scene = make_scene(np.stack([np.cos(phi), np.sin(phi), 0.2 + 0 * phi], axis=1))
    partition = partition_scene(scene, "azimuth-overlap", 6, DivideSettings(), None)
    result = diagnose(scene, partition, None, None)
    assert (result["sizes"], result["owned"]) == ([12] * 6, [6] * 6)
    assert [arc["centre"] for arc in result["azimuth"]] == pytest.approx(
        [30, 90, 150, 210, 270, 330]
    )
    assert [arc["arc"] for arc in result["azimuth"]] == pytest.approx([110] * 6)
