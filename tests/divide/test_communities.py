from __future__ import annotations

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from dac.divide.communities import bisect, louvain, modularity, spectral, well_connected


def ring_of_cliques(
    cliques: int, size: int, inside: int = 20, bridge: int = 1
) -> sparse.csr_matrix:
    n = cliques * size
    A = np.kron(np.eye(cliques, dtype=np.int64), np.full((size, size), 20))
    for clique in range(cliques):
        a, b = clique * size, (clique * size + size + size // 2) % n
        A[a, b] = A[b, a] = 1
    np.fill_diagonal(A, 0)
    return sparse.csr_matrix(A)


def random_graph(seed: int, n: int, density: float = 0.5) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.integers(1, 50, (n, n)) * (rng.random((n, n)) < density), 1)
    # A path keeps the graph connected.
    upper[np.arange(n - 1), np.arange(1, n)] += 1
    return sparse.csr_matrix(upper + upper.T)


def planted(seed: int, sizes: list[int]) -> tuple[sparse.csr_matrix, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    same = truth[:, None] == truth[None]
    upper = np.triu(np.where(same, rng.poisson(80, same.shape), rng.poisson(3, same.shape)), 1)
    return sparse.csr_matrix(upper + upper.T), truth


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.array_equal(a[:, None] == a[None], b[:, None] == b[None]))


def run_louvain(A: sparse.csr_matrix, K: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    return louvain(A, K, resolution=1.0, seed=seed, minimum=2)


@pytest.mark.parametrize("K", range(1, 9))
@pytest.mark.parametrize(
    "A",
    [ring_of_cliques(4, 6), ring_of_cliques(8, 4), random_graph(0, 40), random_graph(1, 60, 0.1)],
    ids=["4-cliques", "8-cliques", "dense", "loose"],
)
def test_louvain_gives_exactly_k_groups(A: sparse.csr_matrix, K: int) -> None:
    labels, notes = run_louvain(A, K)
    assert np.bincount(labels).min() >= 2
    assert len(np.bincount(labels)) == K
    assert notes[0].startswith("Louvain found")
    np.testing.assert_array_equal(labels, run_louvain(A, K)[0])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(8, 40), st.floats(0.02, 1.0), st.integers(1, 8))
def test_both_give_k_groups_on_random_graphs(seed: int, n: int, density: float, K: int) -> None:
    A = random_graph(seed, n, density)
    for labels in (run_louvain(A, K)[0], spectral(A, K, seed=0)[0]):
        assert labels.shape == (n,)
        assert sorted(set(labels.tolist())) == list(range(K))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sizes", [[12, 12], [10, 15, 20], [8, 8, 8, 8, 8], [16, 10, 8, 8]])
def test_both_recover_a_planted_partition(seed: int, sizes: list[int]) -> None:
    A, truth = planted(seed, sizes)
    labels, notes = run_louvain(A, len(sizes))
    assert same_partition(labels, truth)
    assert len(notes) == 1  # nothing to mend
    assert same_partition(spectral(A, len(sizes), seed=seed)[0], truth)


def test_merging_joins_neighbouring_cliques_and_says_so() -> None:
    labels, notes = run_louvain(ring_of_cliques(6, 5), 3)
    cliques = labels.reshape(6, 5)
    assert np.all(cliques == cliques[:, :1])
    assert np.bincount(labels).tolist() == [10, 10, 10]
    starts = cliques[:, 0]
    assert all(starts[i] in (starts[i - 1], starts[(i + 1) % 6]) for i in range(6))
    assert "found 6 communities (sizes 5, 5, 5, 5, 5, 5; modularity 0.8" in notes[0]
    assert notes[1].startswith("3 merged into a neighbour, giving 3 communities")


def test_splitting_bisects_the_largest_and_says_so() -> None:
    A, truth = planted(0, [12, 12, 12])
    heavy = A.toarray() + 60 * np.isin(truth[:, None] * 3 + truth[None], [1, 3])
    labels, notes = run_louvain(sparse.csr_matrix(heavy), 3)
    assert "found 2 communities" in notes[0]
    assert notes[1].startswith("the largest bisected once, giving 3 communities")
    assert same_partition(labels, truth)


def test_communities_under_the_minimum_join_a_neighbour_before_anything_else() -> None:
    A = ring_of_cliques(3, 6).toarray()
    n = len(A)
    A = np.pad(A, (0, 2))
    A[n, n + 1] = A[n + 1, n] = 50  # a pair of its own, tied to the last clique
    A[n, n - 1] = A[n - 1, n] = 1
    labels, notes = louvain(sparse.csr_matrix(A), 4, resolution=1.0, seed=0, minimum=3)
    assert "found 4" in notes[0]
    assert np.bincount(labels).min() >= 3
    assert labels[n] == labels[n - 1]


def test_bisection_finds_the_bridge_of_a_dumb_bell() -> None:
    A = ring_of_cliques(2, 5)
    side = bisect(A, 2)
    assert side.tolist() == [False] * 5 + [True] * 5


@pytest.mark.parametrize("minimum", [1, 2, 3, 4])
def test_bisection_honours_the_minimum_and_separate_parts(minimum: int) -> None:
    parts = sparse.block_diag([ring_of_cliques(1, 4), ring_of_cliques(1, 4)]).tocsr()
    assert bisect(parts, minimum).tolist() == [False] * 4 + [True] * 4
    star = np.zeros((9, 9), np.int64)
    star[0, 1:] = star[1:, 0] = 1
    size = bisect(sparse.csr_matrix(star), minimum).sum()
    assert minimum <= size <= 9 - minimum
    assert bisect(sparse.csr_matrix((2, 2), dtype=np.int64), 5).tolist() == [False, True]


def test_spectral_clustering_takes_separate_parts_and_says_so() -> None:
    parts = sparse.block_diag([ring_of_cliques(1, 6), ring_of_cliques(1, 7)]).tocsr()
    labels, notes = spectral(parts, 2, seed=0)
    assert same_partition(labels, np.repeat([0, 1], [6, 7]))
    assert "2 separate parts" in notes[0]
    labels, _ = spectral(parts, 3, seed=0)
    assert len(set(labels.tolist())) == 3


def test_spectral_clustering_with_as_many_groups_as_views() -> None:
    labels, _ = spectral(random_graph(0, 5), 5, seed=0)
    assert labels.tolist() == [0, 1, 2, 3, 4]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(1, 6), st.floats(0.5, 2))
def test_modularity_is_networkx(seed: int, n: int, K: int, resolution: float) -> None:
    A = random_graph(seed, n)
    labels = np.random.default_rng(seed).integers(0, K, n)
    expected = networkx.community.modularity(
        networkx.from_scipy_sparse_array(A),
        [set(np.flatnonzero(labels == label)) for label in range(K)],
        resolution=resolution,
    )
    assert modularity(A, labels, resolution) == pytest.approx(expected, abs=1e-12)


def test_modularity_of_a_graph_without_edges_is_undefined() -> None:
    assert np.isnan(modularity(sparse.csr_matrix((3, 3), dtype=np.int64), np.array([0, 1, 1])))


def test_well_connected_views_are_in_large_enough_parts() -> None:
    blocks = [ring_of_cliques(1, 5), ring_of_cliques(1, 3), sparse.csr_matrix((2, 2))]
    A = sparse.block_diag(blocks).tocsr()
    assert well_connected(A, 4).tolist() == [True] * 5 + [False] * 5
    assert well_connected(A, 3).tolist() == [True] * 8 + [False] * 2
    assert well_connected(A, 1).tolist() == [True] * 8 + [False] * 2
