"""Covisibility of views: how many points of a sparse model each pair of views shares (Sec. 3.2.1).

Notation: N views, P points; the track of a point is the set of views that it was triangulated
from. B is the (P, N) incidence of points and views, 1 where the track holds the view. Then
A = B^T B, without its diagonal, is the paper's adjacency matrix: A_ij counts the points whose track
holds both i and j.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from dac.errors import UserError
from dac.storage.artifacts import write_file


def incidence(
    offsets: NDArray[np.integer], views: NDArray[np.integer], count: int
) -> sparse.csr_matrix:
    """Which view sees which point.

    Args:
        offsets: (P + 1,) where each point's track begins in `views`.
        views: (T,) view indices in [0, count); a track may name a view twice.
        count: N.

    Returns:
        (P, N) sparse int64, 1 where the track holds the view.

    Raises:
        ValueError: offsets that do not fit the tracks, a view index out of range.
    """
    offsets = np.asarray(offsets, np.int64)
    views = np.asarray(views, np.int64)
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(views):
        raise ValueError("track offsets do not span the tracks")
    if np.any(np.diff(offsets) < 0):
        raise ValueError("track offsets descend")
    if len(views) and (views.min() < 0 or views.max() >= count):
        raise ValueError(f"a track names a view outside 0 to {count - 1}")
    ones = np.ones(len(views), np.int64)
    matrix = sparse.csr_matrix((ones, views, offsets), shape=(len(offsets) - 1, count), copy=True)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def covisibility(
    offsets: NDArray[np.integer], views: NDArray[np.integer], count: int
) -> sparse.csr_matrix:
    """The adjacency matrix A of the views.

    Args:
        offsets: (P + 1,) where each point's track begins in `views`.
        views: (T,) view indices in [0, count); a track may name a view twice.
        count: N.

    Returns:
        (N, N) symmetric sparse int64, zero on the diagonal; all zero where no point has a track,
        as in models that a SLAM system exported.

    Raises:
        ValueError: offsets that do not fit the tracks, a view index out of range.
    """
    seen = incidence(offsets, views, count)
    shared = sparse.csr_matrix(seen.T @ seen)
    shared.setdiag(0)
    shared.eliminate_zeros()
    shared.sort_indices()
    return shared


def save_covisibility(path: Path, matrix: sparse.csr_matrix) -> None:
    """Write the matrix as .npz without pickle, whole or not at all."""
    write_file(path, lambda temporary: sparse.save_npz(temporary, matrix))


def load_covisibility(path: Path) -> sparse.csr_matrix:
    """Read what `save_covisibility` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        matrix = sparse.csr_matrix(sparse.load_npz(path))
    except FileNotFoundError:
        raise UserError(path, "no such file", "run the covisibility stage") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            path, f"is no covisibility matrix ({error})", "delete it, run again"
        ) from None
    if matrix.shape[0] != matrix.shape[1]:
        raise UserError(path, f"is no square matrix: {matrix.shape}", "delete it, run again")
    return matrix
