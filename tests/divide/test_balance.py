from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from dac.divide.azimuth import sectors
from dac.divide.balance import cap_by_azimuth, cap_by_links

SEEDS, COUNTS, GROUPS = st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 6)


@given(SEEDS, COUNTS, GROUPS)
def test_capped_sectors_fit_and_stay_intervals(seed: int, n: int, K: int) -> None:
    rng = np.random.default_rng(seed)
    phi = rng.random(n) ** 3 * 2 * np.pi
    labels = sectors(phi, K)
    cap = int(rng.integers(-(-n // K), n + 1))
    capped = cap_by_azimuth(phi, labels, K, cap)
    assert np.bincount(capped, minlength=K).max() <= cap
    if np.bincount(labels).max() <= cap:
        np.testing.assert_array_equal(capped, labels)
    around = capped[np.argsort(phi, kind="stable")]
    changes = int((around != np.roll(around, 1)).sum())
    assert changes <= len(set(capped.tolist()))


def test_a_crowded_sector_hands_its_border_views_to_the_nearest_room() -> None:
    phi = np.radians([1, 10, 20, 30, 40, 50, 100, 200, 300])
    labels = sectors(phi, 4)
    assert cap_by_azimuth(phi, labels, 4, 4).tolist() == [3, 0, 0, 0, 0, 1, 1, 2, 3]


@given(SEEDS, COUNTS, GROUPS)
def test_capped_communities_fit_and_move_no_more_than_the_excess(seed: int, n: int, K: int) -> None:
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.integers(0, 5, (n, n)), 1)
    A = sparse.csr_matrix(upper + upper.T)
    labels = rng.integers(0, K, n) * rng.integers(0, 2, n)
    cap = int(rng.integers(-(-n // K), n + 1))
    capped = cap_by_links(A, labels, K, cap)
    sizes = np.bincount(labels, minlength=K)
    assert np.bincount(capped, minlength=K).max() <= cap
    assert (capped != labels).sum() == np.maximum(sizes - cap, 0).sum()


def test_the_least_attached_view_moves() -> None:
    A = np.zeros((6, 6), np.int64)
    for i, j, weight in [(0, 1, 9), (0, 2, 9), (1, 2, 9), (2, 3, 3), (3, 4, 5), (4, 5, 9)]:
        A[i, j] = A[j, i] = weight
    labels = np.array([0, 0, 0, 0, 1, 1])
    assert cap_by_links(sparse.csr_matrix(A), labels, 2, 3).tolist() == [0, 0, 0, 1, 1, 1]
    assert labels.tolist() == [0, 0, 0, 0, 1, 1]
