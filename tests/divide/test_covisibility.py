from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from dac.divide.covisibility import covisibility, incidence, load_covisibility, save_covisibility
from dac.errors import UserError

COUNT = 9
TRACKS = st.lists(st.lists(st.integers(0, COUNT - 1), max_size=12), max_size=30).filter(any)


def flat(tracks: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *map(len, tracks)])
    return offsets, np.array([view for track in tracks for view in track], np.int32)


def brute_force(tracks: list[list[int]], count: int) -> np.ndarray:
    shared = np.zeros((count, count), np.int64)
    for track in tracks:
        for i, j in combinations(sorted(set(track)), 2):
            shared[i, j] += 1
            shared[j, i] += 1
    return shared


@given(TRACKS)
def test_counts_shared_points_like_a_slow_loop(tracks: list[list[int]]) -> None:
    offsets, views = flat(tracks)
    before = views.copy()
    matrix = covisibility(offsets, views, COUNT)
    np.testing.assert_array_equal(matrix.toarray(), brute_force(tracks, COUNT))
    np.testing.assert_array_equal(views, before)
    assert matrix.dtype.kind == "i"
    assert np.all(matrix.data > 0)


@given(TRACKS, st.randoms(use_true_random=False))
def test_ids_may_have_gaps_and_any_order(tracks: list[list[int]], random: object) -> None:
    # As in a COLMAP model: image ids are neither contiguous nor ordered, and are mapped to views.
    ids = random.sample(range(1000), COUNT)  # type: ignore[attr-defined]
    view_of = {image: view for view, image in enumerate(sorted(ids))}
    with_ids = [[ids[view] for view in track] for track in tracks]
    mapped = [[view_of[image] for image in track] for track in with_ids]
    matrix = covisibility(*flat(mapped), COUNT).toarray()
    for a, b in combinations(range(COUNT), 2):
        expected = sum(ids[a] in track and ids[b] in track for track in with_ids)
        assert matrix[view_of[ids[a]], view_of[ids[b]]] == expected


def test_a_view_twice_in_a_track_counts_once() -> None:
    matrix = covisibility(*flat([[0, 1, 1, 0], [1, 0], [2, 2]]), 3)
    assert matrix.toarray().tolist() == [[0, 2, 0], [2, 0, 0], [0, 0, 0]]


def test_saves_and_loads_the_same_matrix_and_bytes(tmp_path: Path) -> None:
    matrix = covisibility(*flat([[0, 1, 2], [1, 3], [0, 1]]), 5)
    first, second = tmp_path / "a" / "covisibility.npz", tmp_path / "b.npz"
    save_covisibility(first, matrix)
    save_covisibility(second, matrix)
    assert first.read_bytes() == second.read_bytes()
    loaded = load_covisibility(first)
    assert isinstance(loaded, sparse.csr_matrix)
    np.testing.assert_array_equal(loaded.toarray(), matrix.toarray())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b.npz"]


@pytest.mark.parametrize("tracks", [[], [[], [], []]])
def test_points_without_tracks_link_no_views(tracks: list[list[int]]) -> None:
    assert covisibility(*flat(tracks), 4).nnz == 0


def test_refuses_indices_and_offsets_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="outside 0 to 2"):
        incidence(np.array([0, 1]), np.array([3]), 3)
    with pytest.raises(ValueError, match="span"):
        incidence(np.array([0, 1]), np.array([0, 1]), 3)
    with pytest.raises(ValueError, match="descend"):
        incidence(np.array([0, 2, 1, 2]), np.array([0, 1]), 3)


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "covisibility.npz"
    with pytest.raises(UserError, match="no such file"):
        load_covisibility(path)
    path.write_bytes(b"PK nonsense")
    with pytest.raises(UserError, match="is no covisibility matrix"):
        load_covisibility(path)
    save_covisibility(path, covisibility(*flat([[0, 1, 2]]), 3))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="is no covisibility matrix"):
        load_covisibility(path)
