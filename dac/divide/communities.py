"""Dividing views by community detection on their covisibility graph (Sec. 3.2.1).

Notation: n views, A (n, n) their covisibility, d_i = sum_j A_ij, W = sum_i d_i (twice the weight of
all edges). Communities are given as labels (n,). The modularity at resolution g is

    Q = sum over communities C of  A(C, C) / W - g (d(C) / W)^2 .

networkx and scikit-learn are imported where they are used.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import eigh
from scipy.sparse.csgraph import connected_components

Labels = NDArray[np.int64]


def well_connected(A: sparse.csr_matrix, minimum: int) -> NDArray[np.bool_]:
    """Views whose connected component holds at least `minimum` (and at least two) views.

    The others can't be placed by their links: a component too small to be a group of its own has
    none to any other group.
    """
    _, component = connected_components(A, directed=False)
    size = np.bincount(component)[component]
    return np.asarray(size >= max(2, minimum), np.bool_)


def links_between(A: sparse.csr_matrix, labels: Labels, count: int) -> NDArray[np.float64]:
    """(count, count) A summed over the views of each pair of groups; within a group, twice."""
    n = len(labels)
    member = sparse.csr_matrix((np.ones(n), (np.arange(n), labels)), shape=(n, count))
    return np.asarray((member.T @ A @ member).toarray(), np.float64)


def modularity(A: sparse.csr_matrix, labels: Labels, resolution: float = 1.0) -> float:
    """Weighted modularity Q of a partition into disjoint communities; NaN without any edge."""
    links = links_between(A, labels, int(labels.max()) + 1)
    total = links.sum()
    if total == 0:
        return float("nan")
    return float(links.trace() / total - resolution * ((links.sum(axis=1) / total) ** 2).sum())


def louvain(
    A: sparse.csr_matrix, K: int, *, resolution: float, seed: int, minimum: int
) -> tuple[Labels, list[str]]:
    """Exactly K communities from Louvain's.

    Louvain [Blondel et al. 2008] chooses their number itself. Communities under the minimum are
    merged first; then pairs are merged, or the largest community is bisected, until there are K.

    Args:
        A: (n, n) covisibility of views that have links, n >= K.
        K: number of groups.
        resolution: Louvain's; above 1 it finds more communities.
        seed: of Louvain's node order.
        minimum: smallest group to be made, where possible.

    Returns:
        (n,) labels in [0, K), and notes on what Louvain found and what was done to it.
    """
    import networkx

    graph = networkx.from_scipy_sparse_array(A)
    found = networkx.community.louvain_communities(
        graph, weight="weight", resolution=resolution, seed=seed
    )
    labels = np.empty(A.shape[0], np.int64)
    for label, community in enumerate(sorted(found, key=min)):
        labels[list(community)] = label
    notes = [f"Louvain found {_described(A, labels)}"]
    labels, merged = _merge(A, labels, K, resolution, minimum)
    splits = K - (int(labels.max()) + 1)
    for _ in range(splits):
        largest = int(np.argmax(np.bincount(labels)))
        views = np.flatnonzero(labels == largest)
        upper = bisect(sparse.csr_matrix(A[views][:, views]), minimum)
        labels[views[upper]] = labels.max() + 1
    if merged or splits:
        done = [f"{merged} merged into a neighbour"] if merged else []
        done += [f"the largest bisected {_times(splits)}"] if splits else []
        notes.append(f"{' and '.join(done)}, giving {_described(A, labels)}")
    return labels, notes


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _described(A: sparse.csr_matrix, labels: Labels) -> str:
    sizes = np.bincount(labels)
    noun = "community" if len(sizes) == 1 else "communities"
    text = ", ".join(str(size) for size in sorted(sizes, reverse=True))
    return f"{len(sizes)} {noun} (sizes {text}; modularity {modularity(A, labels):.3f})"


def _merge(
    A: sparse.csr_matrix, labels: Labels, K: int, resolution: float, minimum: int
) -> tuple[Labels, int]:
    """Merge communities under the minimum, then any, down to K; also returns how many merges.

    The pair is the one whose merge changes modularity best, by
    2 A(C, D) / W - 2 g d(C) d(D) / W^2: little for small communities, so these go first.
    """
    merged = 0
    while (count := int(labels.max()) + 1) > 1:
        small = np.bincount(labels) < minimum
        if count <= K and not small.any():
            break
        links = links_between(A, labels, count)
        degree = links.sum(axis=1)
        gain = links / degree.sum() - resolution * np.outer(degree, degree) / degree.sum() ** 2
        gain[np.tril_indices(count)] = -np.inf
        if small.any():
            gain[~(small[:, None] | small[None, :])] = -np.inf
        kept, absorbed = np.unravel_index(int(np.argmax(gain)), gain.shape)
        labels = np.where(labels == absorbed, kept, labels)
        labels -= labels > absorbed
        merged += 1
    return labels, merged


def bisect(A: sparse.csr_matrix, minimum: int) -> NDArray[np.bool_]:
    """Split a graph in two by the best sweep cut along its Fiedler vector.

    Args:
        A: (n, n) symmetric, n >= 2; may be disconnected.
        minimum: smallest side of the cut, where n allows it.

    Returns:
        (n,) True for the views of one side. Of all cuts of the order that the second eigenvector
        of the normalised Laplacian gives, it is the one of least normalised cut
        cut / d(S) + cut / d(rest).
    """
    weights = A.toarray().astype(np.float64)
    n = len(weights)
    # A trace of a link between all pairs makes the graph connected and every degree positive.
    weights += max(weights.mean(), 1.0) * 1e-6
    np.fill_diagonal(weights, 0.0)
    root = np.sqrt(weights.sum(axis=1))
    laplacian = np.eye(n) - weights / np.outer(root, root)
    _, vectors = eigh(laplacian, subset_by_index=[1, 1])
    order = np.argsort(vectors[:, 0] / root, kind="stable")
    ordered = weights[order][:, order]
    below = np.cumsum(ordered.sum(axis=1))[:-1]
    inside = np.diagonal(ordered.cumsum(axis=0).cumsum(axis=1))[:-1]
    cost = (below - inside) * (1 / below + 1 / (weights.sum() - below))
    least = max(1, min(minimum, n // 2))
    size = least + int(np.argmin(cost[least - 1 : n - least]))
    side = np.zeros(n, np.bool_)
    side[order[:size]] = True
    return side if not side[0] else ~side


def spectral(A: sparse.csr_matrix, K: int, *, seed: int) -> tuple[Labels, list[str]]:
    """Exactly K communities by spectral clustering of the covisibility graph.

    Args:
        A: (n, n) covisibility of views that have links, n >= K.
        K: number of groups.
        seed: of the eigensolver's start vector.

    Returns:
        (n,) labels in [0, K), and notes.
    """
    from sklearn.cluster import SpectralClustering

    n = A.shape[0]
    if n <= K:
        return np.arange(n), []
    notes = []
    affinity = A.toarray().astype(np.float64)
    parts, _ = connected_components(A, directed=False)
    if parts > 1:
        # Below any real link, but the eigenvectors of one connected graph are well defined.
        affinity += affinity.sum() / n**2 * 1e-6
        notes.append(f"the covisibility graph has {parts} separate parts, weakly joined")
    method = SpectralClustering(
        n_clusters=K, affinity="precomputed", assign_labels="cluster_qr", random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        labels = np.asarray(method.fit_predict(affinity), np.int64)
    _, labels = np.unique(labels, return_inverse=True)
    return labels.astype(np.int64), notes
