from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from dac.divide.divide import partition_scene
from dac.divide.partition import Partition
from dac.errors import UserError
from dac.scenes.scene import Scene
from dac.settings import DivideSettings

MakeScene = Callable[..., Scene]
LOOSE = DivideSettings(minimum_views=1)
DISJOINT = ["azimuth", "azimuth-quantile", "louvain", "spectral", "random"]


def ring(n: int, radius: float = 3.0) -> np.ndarray:
    phi = 2 * np.pi * (np.arange(n) + 0.5) / n
    return np.stack([radius * np.cos(phi), radius * np.sin(phi), np.ones(n)], axis=1)


def near_neighbours(centres: np.ndarray) -> sparse.csr_matrix:
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    A = np.floor(1000 * np.exp(-(distance**2) / 2)).astype(np.int64)
    np.fill_diagonal(A, 0)
    return sparse.csr_matrix(A)


def sizes(partition: Partition) -> list[int]:
    return [len(group) for group in partition.groups]


def refused(*arguments: object) -> str:
    with pytest.raises(UserError) as error:
        partition_scene(*arguments)  # type: ignore[arg-type]
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("division", DISJOINT)
@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 10**6), st.integers(8, 40), st.integers(1, 8))
def test_every_training_view_is_in_one_group(
    make_scene: MakeScene, division: str, seed: int, n: int, K: int
) -> None:
    rng = np.random.default_rng(seed)
    centres = ring(n) + rng.normal(0, 0.1, (n, 3))
    train = tuple(sorted(rng.choice(n, max(K, n - n // 4), replace=False).tolist()))
    scene = make_scene(centres, train)
    A = near_neighbours(centres) + sparse.csr_matrix(1 - np.eye(n, dtype=np.int64))
    try:
        partition = partition_scene(scene, division, K, LOOSE, A)  # type: ignore[arg-type]
    except UserError as error:
        assert division == "azimuth" and "has 0 views" in str(error)
        return
    held = [name for group in partition.groups for name in group]
    assert sorted(held) == sorted(scene.names[view] for view in train)
    assert partition.count == K and partition.division == division
    for index, group in enumerate(partition.groups):
        assert list(group) == sorted(group)
        assert all(partition.owner[name] == index for name in group)
    assert partition_scene(scene, division, K, LOOSE, A) == partition  # type: ignore[arg-type]


@pytest.mark.parametrize("division", ["azimuth-quantile", "random"])
@pytest.mark.parametrize("n", [4, 17, 30])
def test_even_divisions_differ_by_one_view(make_scene: MakeScene, division: str, n: int) -> None:
    found = sizes(partition_scene(make_scene(ring(n)), division, 4, LOOSE, None))
    assert max(found) - min(found) <= 1


def test_azimuth_groups_are_numbered_by_sector(make_scene: MakeScene) -> None:
    scene = make_scene(ring(12)[::-1])
    partition = partition_scene(scene, "azimuth", 4, LOOSE, None)
    assert [group[0] for group in partition.groups] == [f"images/{i:04d}.png" for i in (9, 6, 3, 0)]


@pytest.mark.parametrize("division", ["louvain", "spectral"])
def test_graph_groups_are_arcs_numbered_by_their_first_view(
    make_scene: MakeScene, division: str
) -> None:
    centres = np.concatenate([ring(24)[i : i + 5] for i in (0, 6, 12, 18)])
    scene = make_scene(centres)
    partition = partition_scene(scene, division, 4, DivideSettings(), near_neighbours(centres))
    assert [scene.indices(group) for group in partition.groups] == [
        list(range(start, start + 5)) for start in (0, 5, 10, 15)
    ]


def test_random_depends_on_its_seed_alone(make_scene: MakeScene) -> None:
    scene = make_scene(ring(20))
    groups = [
        partition_scene(scene, "random", 4, DivideSettings(seed=seed), None).groups
        for seed in (0, 0, 1)
    ]
    assert groups[0] == groups[1] != groups[2]


def test_single_is_one_group(make_scene: MakeScene) -> None:
    scene = make_scene(ring(5))
    partition = partition_scene(scene, "single", 1, DivideSettings(), None)
    assert partition.groups == (scene.names,)
    assert "K: 1" in refused(scene, "single", 2, DivideSettings(), None)


def test_six_overlapping_sectors_hold_each_view_twice(make_scene: MakeScene) -> None:
    scene = make_scene(ring(36))
    partition = partition_scene(scene, "azimuth-overlap", 6, DivideSettings(), None)
    assert sizes(partition) == [12] * 6
    for i, name in enumerate(scene.names):
        assert sum(name in group for group in partition.groups) == 2
        assert partition.owner[name] == i // 6
        assert name in partition.groups[partition.owner[name]]
    narrow = DivideSettings(overlap_degrees=50.0)
    assert "between 60 and 360" in refused(scene, "azimuth-overlap", 6, narrow, None)
    capped = DivideSettings(maximum_share=0.2)
    assert "lower divide.overlap_degrees" in refused(scene, "azimuth-overlap", 6, capped, None)


def test_more_groups_than_views(make_scene: MakeScene) -> None:
    for division in [*DISJOINT, "azimuth-overlap"]:
        text = refused(make_scene(ring(5)), division, 6, LOOSE, None)
        assert "5 training views" in text and "K of at most 5" in text


def test_no_training_views(make_scene: MakeScene) -> None:
    assert "no training views" in refused(make_scene(ring(3), ()), "azimuth", 1, LOOSE, None)


def test_a_group_under_the_minimum_is_named(make_scene: MakeScene) -> None:
    centres = np.concatenate([ring(20)[:15], ring(20)[18:]])
    text = refused(make_scene(centres), "azimuth", 4, DivideSettings(), None)
    assert "group 3 has 2 views, under the minimum of 4 (sizes: 5, 5, 5, 2)" in text
    assert "azimuth-quantile" in text
    text = refused(make_scene(ring(10)), "azimuth", 4, DivideSettings(), None)
    assert "K of at most 2" in text


@pytest.mark.parametrize("division", ["louvain", "spectral"])
def test_graph_divisions_need_covisibility(make_scene: MakeScene, division: str) -> None:
    scene = make_scene(ring(20))
    assert "see the same points" in refused(scene, division, 4, DivideSettings(), None)
    other = sparse.csr_matrix((7, 7), dtype=np.int64)
    assert "has 7 views, the scene 20" in refused(scene, division, 4, DivideSettings(), other)
    empty = sparse.csr_matrix((20, 20), dtype=np.int64)
    text = refused(scene, division, 4, DivideSettings(), empty)
    assert "no two training views share a sparse point (a model without tracks" in text
    assert "choose an azimuth division" in text and "\n" not in text


@pytest.mark.parametrize("division", ["louvain", "spectral"])
def test_views_without_points_join_the_nearest_camera(make_scene: MakeScene, division: str) -> None:
    centres = np.concatenate([ring(24)[i : i + 5] for i in (0, 6, 12, 18)])
    A = near_neighbours(centres).toarray()
    A[[2, 17]] = A[:, [2, 17]] = 0
    partition = partition_scene(
        make_scene(centres), division, 4, DivideSettings(), sparse.csr_matrix(A)
    )
    assert sizes(partition) == [5] * 4
    assert partition.owner["images/0002.png"] == 0
    assert partition.owner["images/0017.png"] == 3
    assert any(note.startswith("2 views that share too few points") for note in partition.notes)


@pytest.mark.parametrize("division", ["azimuth", "louvain", "spectral"])
def test_the_largest_share_is_held(make_scene: MakeScene, division: str) -> None:
    phi = np.radians(np.concatenate([np.linspace(5, 85, 20), [100, 130, 190, 220, 280, 320]]))
    centres = np.stack([np.cos(phi), np.sin(phi), np.full(26, 0.4)], axis=1)
    limited = DivideSettings(minimum_views=2, maximum_share=0.4)
    A = near_neighbours(2 * centres)
    partition = partition_scene(make_scene(centres), division, 4, limited, A)
    assert max(sizes(partition)) <= 10
    if division == "azimuth":
        assert partition.notes == ("10 views changed groups so that none holds more than 10",)
    small = DivideSettings(minimum_views=1, maximum_share=0.2)
    assert "raise divide.maximum_share to 0.27" in refused(
        make_scene(centres), division, 4, small, A
    )
    allowed = DivideSettings(minimum_views=1, maximum_share=0.27)
    assert max(sizes(partition_scene(make_scene(centres), division, 4, allowed, A))) == 7


def test_a_partition_is_the_same_after_a_file(make_scene: MakeScene, tmp_path: Path) -> None:
    partition = partition_scene(make_scene(ring(36)), "azimuth-overlap", 6, LOOSE, None)
    partition.save(tmp_path / "partition.json")
    assert Partition.load(tmp_path / "partition.json") == partition


def test_importing_needs_no_graph_library() -> None:
    code = (
        "import sys, dac.divide.divide, dac.divide.diagnostics; "
        "print([m for m in ('networkx', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
