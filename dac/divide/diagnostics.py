"""Numbers that tell whether a partition is a good one.

Notation: n training views in K groups (which may overlap, or not), A (n, n) their covisibility, P
points with their tracks. A point is *covered* by a group when at least two views of the group see
it, so that the group alone could triangulate it. Values that are undefined are None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from dac.divide.azimuth import azimuths
from dac.divide.communities import modularity
from dac.divide.covisibility import incidence
from dac.divide.partition import Partition
from dac.scenes.scene import Scene
from dac.storage.artifacts import finite_or_none

if TYPE_CHECKING:
    from dac.scenes.points import Points


def diagnose(
    scene: Scene,
    partition: Partition,
    points: Points | None,
    covisibility: sparse.csr_matrix | None,
) -> dict[str, Any]:
    """Diagnostics of a partition, as JSON.

    Args:
        scene: the scene that was divided.
        partition: its groups.
        points: the sparse model, for coverage; None: coverage is None.
        covisibility: (N, N) for all views of the scene; None: what it gives is None.

    Returns:
        `division`, `K`, `views`, `notes`; `sizes` and `owned` (views that a group's expert
        teaches) per group; `modularity` (of the owners, at resolution 1); `conductance` per group;
        `mean_covisibility` (K, K): shared points of a view of one group with another view of the
        other, on average; `coverage` per group: fraction of the points that it covers, of those
        that two training views see; `exclusive_coverage`: those that no other group covers;
        `uncovered`: fraction that no group covers; `azimuth` per group: `centre` and `arc` (the
        smallest that holds all views), degrees.
    """
    member = membership(scene, partition)
    owner = np.array([partition.owner[scene.names[view]] for view in scene.train], np.int64)
    phi = azimuths(scene.cameras.centres.cpu().numpy()[list(scene.train)])
    result: dict[str, Any] = {
        "division": partition.division,
        "K": partition.count,
        "views": len(scene.train),
        "notes": list(partition.notes),
        "sizes": member.sum(axis=1).tolist(),
        "owned": np.bincount(owner, minlength=partition.count).tolist(),
        "azimuth": [_arc(phi[row]) for row in member],
        "modularity": None,
        "conductance": None,
        "mean_covisibility": None,
        "coverage": None,
        "exclusive_coverage": None,
        "uncovered": None,
    }
    train = list(scene.train)
    if covisibility is not None:
        A = sparse.csr_matrix(covisibility[train][:, train])
        result["modularity"] = finite_or_none(modularity(A, owner))
        result["conductance"] = [conductance(A, row) for row in member]
        result["mean_covisibility"] = mean_covisibility(A, member)
    if points is not None and len(points.views):
        seen = incidence(points.offsets, points.views, len(scene.names))[:, train]
        result |= coverage(sparse.csr_matrix(seen), member)
    return result


def membership(scene: Scene, partition: Partition) -> NDArray[np.bool_]:
    """(K, n) whether a group holds a training view."""
    groups = [set(group) for group in partition.groups]
    names = [scene.names[view] for view in scene.train]
    return np.array([[name in group for name in names] for group in groups], np.bool_)


def conductance(A: sparse.csr_matrix, inside: NDArray[np.bool_]) -> float | None:
    """Conductance of a group: the weight of the edges that leave it over the smaller side's volume.

    Args:
        A: (n, n) covisibility.
        inside: (n,) the group's views.

    Returns:
        In [0, 1]; 0 is a part of its own. None where a side has no edges (e.g. K = 1).
    """
    degree = np.asarray(A.sum(axis=1), np.float64).ravel()
    volume = min(degree[inside].sum(), degree[~inside].sum())
    if volume == 0:
        return None
    return float(A[inside][:, ~inside].sum() / volume)


def mean_covisibility(A: sparse.csr_matrix, member: NDArray[np.bool_]) -> list[list[float | None]]:
    """(K, K) mean of A_ij over pairs i of one group and j of the other, i not j."""
    m = member.astype(np.int64)
    total = m @ (A @ m.T)
    pairs = np.outer(m.sum(axis=1), m.sum(axis=1)) - m @ m.T
    return [
        [float(t / p) if p else None for t, p in zip(row, row_pairs, strict=True)]
        for row, row_pairs in zip(total, pairs, strict=True)
    ]


def coverage(seen: sparse.csr_matrix, member: NDArray[np.bool_]) -> dict[str, Any]:
    """Coverage of the points by the groups.

    Args:
        seen: (P, n) 1 where a view sees a point.
        member: (K, n) groups.

    Returns:
        `coverage` and `exclusive_coverage`, lists of K fractions, and `uncovered`; None where no
        point is seen by two views.
    """
    counted = np.asarray(seen.sum(axis=1)).ravel() >= 2
    total = int(counted.sum())
    if total == 0:
        return {"coverage": None, "exclusive_coverage": None, "uncovered": None}
    covered = np.asarray(seen[counted] @ member.T.astype(np.int64)) >= 2
    alone = covered & (covered.sum(axis=1, keepdims=True) == 1)
    return {
        "coverage": (covered.sum(axis=0) / total).tolist(),
        "exclusive_coverage": (alone.sum(axis=0) / total).tolist(),
        "uncovered": float((~covered.any(axis=1)).sum() / total),
    }


def _arc(phi: NDArray[np.float64]) -> dict[str, float | None]:
    """Centre and width, in degrees, of the smallest arc that holds all azimuths."""
    if len(phi) == 0:
        return {"centre": None, "arc": None}
    ordered = np.sort(phi)
    gaps = np.diff(ordered, append=ordered[0] + 2 * np.pi)
    widest = int(np.argmax(gaps))
    arc = 2 * np.pi - gaps[widest]
    start = ordered[(widest + 1) % len(ordered)]
    centre = (start + arc / 2) % (2 * np.pi)
    return {"centre": float(np.degrees(centre)), "arc": float(np.degrees(arc))}
