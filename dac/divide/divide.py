"""Dividing a scene's training views into K groups: every division behind one function.

Notation: n training views, K groups. Inside this file views are numbered 0 to n - 1 in the order of
`scene.train`; the partition that leaves it speaks of names.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from dac.divide.azimuth import azimuths, overlapping_sectors, quantile_sectors, sectors
from dac.divide.balance import cap_by_azimuth, cap_by_links
from dac.divide.communities import Labels, louvain, spectral, well_connected
from dac.divide.partition import Partition
from dac.errors import UserError
from dac.scenes.scene import Scene
from dac.settings import GRAPH_DIVISIONS, DivideSettings, Division


def partition_scene(
    scene: Scene,
    division: Division,
    K: int,
    settings: DivideSettings,
    covisibility: sparse.csr_matrix | None,
) -> Partition:
    """Divide the training views of a scene (Algorithm 1, lines 1 to 5).

    Groups are numbered by azimuth for the azimuth divisions and by their first view otherwise, so
    that equal groups have equal numbers in every run.

    Args:
        scene: only its cameras, names and training split are used.
        division: how to divide.
        K: number of groups.
        settings: limits on the groups' sizes, overlap, seed.
        covisibility: (N, N) for all N views of the scene; needed by `louvain` and `spectral`.

    Returns:
        The partition; each view has one owner, and overlapping sectors may hold it as well.

    Raises:
        UserError: K does not fit the views, a group stays under `minimum_views` or can't be held
            to `maximum_share`, or the division lacks the covisibility that it needs.
    """
    where = f"scene {scene.name}, {division} division into {K}"
    n = len(scene.train)
    _check_count(where, n, division, K, settings)
    centres = scene.cameras.centres.cpu().numpy()[list(scene.train)]
    notes: list[str] = []
    if division == "azimuth-overlap":
        owner, member = _overlap(where, centres, K, settings)
    else:
        A = _training_covisibility(where, scene, covisibility) if _by_graph(division) else None
        owner, notes = _disjoint(where, centres, A, division, K, settings)
        member = np.arange(K)[:, None] == owner[None, :]
    _check_sizes(where, member.sum(axis=1), settings)
    names = [scene.names[view] for view in scene.train]
    return Partition(
        division=division,
        groups=tuple(tuple(names[view] for view in np.flatnonzero(row)) for row in member),
        owner={name: int(group) for name, group in zip(names, owner, strict=True)},
        notes=tuple(notes),
    )


def _by_graph(division: Division) -> bool:
    return division in GRAPH_DIVISIONS


def _cap(n: int, settings: DivideSettings) -> int:
    return math.floor(settings.maximum_share * n + 1e-9)


def _check_count(where: str, n: int, division: Division, K: int, settings: DivideSettings) -> None:
    if n == 0:
        raise UserError(where, "the scene has no training views", "check its split")
    if division == "single" and K != 1:
        raise UserError(where, "'single' makes one group", "write K: 1")
    if n < K:
        raise UserError(where, f"the scene has {n} training views", f"choose K of at most {n}")
    if division == "azimuth-overlap":
        return
    if settings.minimum_views * K > n:
        most = n // settings.minimum_views
        raise UserError(
            where,
            f"{n} training views can't make {K} groups of at least {settings.minimum_views}",
            (f"choose K of at most {most} or " if most else "") + "lower divide.minimum_views",
        )
    if _cap(n, settings) * K < n:
        least = math.ceil(1000 * math.ceil(n / K) / n) / 1000
        raise UserError(
            where,
            f"{K} groups of at most {settings.maximum_share:g} of {n} views can't hold them all",
            f"raise divide.maximum_share to {least:g} or more",
        )


def _check_sizes(where: str, sizes: NDArray[np.int64], settings: DivideSettings) -> None:
    smallest = int(np.argmin(sizes))
    if sizes[smallest] < settings.minimum_views:
        raise UserError(
            where,
            f"group {smallest} has {sizes[smallest]} views, under the minimum of "
            f"{settings.minimum_views} (sizes: {', '.join(map(str, sizes))})",
            "choose a smaller K or another division (azimuth-quantile makes even groups), or lower "
            "divide.minimum_views",
        )


def _overlap(
    where: str, centres: NDArray[np.float64], K: int, settings: DivideSettings
) -> tuple[Labels, NDArray[np.bool_]]:
    phi = azimuths(centres)
    try:
        member = overlapping_sectors(phi, K, math.radians(settings.overlap_degrees))
    except ValueError as error:
        raise UserError(
            where, str(error), f"set divide.overlap_degrees to between {360 / K:g} and 360"
        ) from None
    sizes = member.sum(axis=1)
    largest = int(np.argmax(sizes))
    if sizes[largest] > _cap(len(phi), settings):
        raise UserError(
            where,
            f"group {largest} has {sizes[largest]} of {len(phi)} views, over the largest share of "
            f"{settings.maximum_share:g}",
            "lower divide.overlap_degrees or raise divide.maximum_share",
        )
    return sectors(phi, K), member


def _disjoint(
    where: str,
    centres: NDArray[np.float64],
    A: sparse.csr_matrix | None,
    division: Division,
    K: int,
    settings: DivideSettings,
) -> tuple[Labels, list[str]]:
    """Labels of a division without overlap, held to the largest share, and notes."""
    n = len(centres)
    if K == 1:
        return np.zeros(n, np.int64), []
    cap = _cap(n, settings)
    notes: list[str] = []
    phi = azimuths(centres)
    if A is not None:
        labels, notes = _by_links(where, centres, A, division, K, settings)
        capped = cap_by_links(A, labels, K, cap)
    elif division == "random":
        shuffled = np.random.default_rng(settings.seed).permutation(n)
        labels = np.empty(n, np.int64)
        labels[shuffled] = np.arange(n) * K // n
        capped = labels
    else:
        labels = quantile_sectors(phi, K) if division == "azimuth-quantile" else sectors(phi, K)
        capped = cap_by_azimuth(phi, labels, K, cap)
    moved = int((capped != labels).sum())
    if moved:
        notes.append(f"{moved} views changed groups so that none holds more than {cap}")
    if division in ("azimuth", "azimuth-quantile"):
        return capped, notes
    return _numbered_by_first_view(capped), notes


def _by_links(
    where: str,
    centres: NDArray[np.float64],
    A: sparse.csr_matrix,
    division: Division,
    K: int,
    settings: DivideSettings,
) -> tuple[Labels, list[str]]:
    """Community detection on the connected views; the stray ones join the nearest camera's."""
    core = np.flatnonzero(well_connected(A, settings.minimum_views))
    if len(core) < K:
        raise UserError(
            where,
            f"only {len(core)} of {len(centres)} training views share points with enough others",
            "choose an azimuth division, or check the sparse model",
        )
    links = sparse.csr_matrix(A[core][:, core])
    if division == "louvain":
        found, notes = louvain(
            links,
            K,
            resolution=settings.louvain_resolution,
            seed=settings.seed,
            minimum=settings.minimum_views,
        )
    else:
        found, notes = spectral(links, K, seed=settings.seed)
    _, nearest = cKDTree(centres[core]).query(centres)
    labels = found[nearest]
    labels[core] = found
    stray = len(centres) - len(core)
    if stray:
        notes.append(
            f"{stray} views that share too few points with the rest joined the group of the "
            "nearest camera"
        )
    return labels, notes


def _training_covisibility(
    where: str, scene: Scene, covisibility: sparse.csr_matrix | None
) -> sparse.csr_matrix:
    if covisibility is None:
        raise UserError(
            where,
            "needs to know which views see the same points",
            "give the scene a sparse model, or choose an azimuth division",
        )
    if covisibility.shape[0] != len(scene.names):
        raise UserError(
            where,
            f"the covisibility matrix has {covisibility.shape[0]} views, the scene "
            f"{len(scene.names)}",
            "delete covisibility.npz, run again",
        )
    train = list(scene.train)
    shared = sparse.csr_matrix(covisibility[train][:, train])
    if shared.nnz == 0:
        raise UserError(
            where,
            "no two training views share a sparse point (a model without tracks, as SLAM systems "
            "export it, or no points at all)",
            "choose an azimuth division, or use a model from structure from motion",
        )
    return shared


def _numbered_by_first_view(labels: Labels) -> Labels:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)
