"""Dividing an object-centric scene by the cameras' azimuth (Sec. 3.2.1, Eq. 1; Sec. 4.3.2).

Notation: N cameras with centres c = (x, y, z), z up, around the origin; K sectors, numbered from 0
(the paper's l is one more). phi is the azimuth in [0, 2 pi), measured from +x towards +y.

The paper writes phi = arctan(x, y), which leaves the order of the arguments open; here it is the
mathematical azimuth atan2(y, x). (Swapping them mirrors the sectors on the diagonal x = y.) With
it, Eq. 1 puts the centres of K = 4 sectors at 45, 135, 225 and 315 degrees, as the authors' code
does when it routes views to experts.

An azimuth within `_SNAP` of a boundary counts as lying on it, so that the rounding of a pose file's
numbers does not decide about views that were placed exactly there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

_SNAP = 1e-9  # of a sector (or of a turn, for widths)


def azimuths(centres: Floats) -> Floats:
    """Azimuth phi of each camera centre.

    Args:
        centres: (N, 3) in the world frame.

    Returns:
        (N,) radians in [0, 2 pi); 0 for a camera at the pole (x = y = 0).
    """
    x, y = centres[:, 0], centres[:, 1]
    phi = np.arctan2(y, x)
    phi = np.where(phi < 0, phi + 2 * np.pi, phi)
    # A tiny negative angle rounds up to 2 pi, and atan2(0, -0) is pi: both are 0 by definition.
    return np.where((phi >= 2 * np.pi) | ((x == 0) & (y == 0)), 0.0, phi)


def sectors(phi: Floats, K: int) -> Labels:
    """Sector of each camera: 2 pi l / K <= phi < 2 pi (l + 1) / K (Eq. 1).

    Args:
        phi: (N,) azimuths in [0, 2 pi).
        K: number of sectors.

    Returns:
        (N,) sector indices in [0, K); a camera on a boundary belongs to the upper sector.
    """
    position = phi * K / (2 * np.pi)
    boundary = np.round(position)
    position = np.where(np.abs(position - boundary) < _SNAP, boundary, position)
    return np.floor(position).astype(np.int64) % K


def quantile_start(phi: Floats, K: int) -> float:
    """Azimuth that quantile sectors are counted from.

    It is 0, as in Eq. 1, unless the cameras leave a gap wider than an even sector: then it is the
    first camera after the widest gap, so that no group holds cameras from both of its sides.
    """
    ordered = np.sort(phi)
    gaps = np.diff(ordered, append=ordered[0] + 2 * np.pi)
    widest = int(np.argmax(gaps))
    if K == 1 or gaps[widest] <= 2 * np.pi / K:
        return 0.0
    return float(ordered[(widest + 1) % len(ordered)])


def quantile_sectors(phi: Floats, K: int) -> Labels:
    """Sectors of equally many cameras instead of equally wide ones, from `quantile_start` on.

    Args:
        phi: (N,) azimuths in [0, 2 pi).
        K: number of sectors, at most N.

    Returns:
        (N,) sector indices in [0, K); the sizes differ by at most 1. Of cameras at one azimuth
        those that come first go to the lower sector.
    """
    counted = (phi - quantile_start(phi, K)) % (2 * np.pi)
    rank = np.empty(len(phi), np.int64)
    rank[np.argsort(counted, kind="stable")] = np.arange(len(phi))
    return rank * K // len(phi)


def overlapping_sectors(phi: Floats, K: int, width: float) -> NDArray[np.bool_]:
    """Cameras of K sectors that keep the centres of Eq. 1's but are `width` wide (Sec. 4.3.2).

    The paper's experiment is K = 6, width = 120 degrees: each camera is in exactly two sectors.
    The sector whose centre is nearest is `sectors(phi, K)`; it holds the camera by construction.

    Args:
        phi: (N,) azimuths in [0, 2 pi).
        K: number of sectors.
        width: radians, from 2 pi / K (no overlap) to 2 pi (every sector holds all).

    Returns:
        (K, N) whether a sector, its lower end included and its upper end not, holds a camera.

    Raises:
        ValueError: the sectors would leave gaps, or are wider than a turn.
    """
    turns = width / (2 * np.pi)
    if not 1 / K - _SNAP <= turns <= 1 + _SNAP:
        raise ValueError(f"{K} sectors can't be {np.degrees(width):g} degrees wide")
    lower = (np.arange(K) + 0.5) / K - turns / 2
    offset = (phi[None, :] / (2 * np.pi) - lower[:, None]) % 1.0
    offset = np.where(offset > 1 - _SNAP, 0.0, offset)
    member = (offset < turns - _SNAP) | (turns > 1 - _SNAP)
    member[sectors(phi, K), np.arange(len(phi))] = True
    return member
