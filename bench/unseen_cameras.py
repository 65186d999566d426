"""Cameras that no data set has: films over the borders of a routed model, and views away from all.

Notation: K groups, n training views, F frames of a film. Poses are world_from_camera (3, 4), OpenCV
axes, in the scene's frame.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from dac.divide.azimuth import azimuths
from dac.divide.poses import pose_distances
from dac.divide.router import Router
from dac.errors import UserError
from dac.export.camera import look_at

Array = NDArray[np.float64]

FRAMES = 60
AWAY = 24
NEAR_POLE = 4  # of the away views of an object
NEIGHBOURS = 3.0  # times the views' median distance from the next: as near, groups are neighbours
SEED = 5
_PROBES = 40


def similarity(points: Array, others: Array) -> Array:
    """The similarity that brings points nearest to others, in the least squares' sense.

    S. Umeyama, *Least-squares estimation of transformation parameters between two point patterns*,
    PAMI 13 (4), 1991.

    Args:
        points, others: (N, 3), N at least 3 and not on a line.

    Returns:
        (4, 4) others_from_points.
    """
    mean, other_mean = points.mean(axis=0), others.mean(axis=0)
    centred = points - mean
    u, scales, vt = np.linalg.svd((others - other_mean).T @ centred / len(points))
    proper = np.diag([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ proper @ vt
    scale = float((scales * proper.diagonal()).sum() / centred.var(axis=0).sum())
    made = np.eye(4)
    made[:3, :3] = scale * rotation
    made[:3, 3] = other_mean - scale * rotation @ mean
    return made


def films(router: Router, training: Array) -> dict[str, Array]:
    """A film over every border between neighbouring groups.

    Args:
        router: of the routed model.
        training: (n, 3, 4) of the training views.

    Returns:
        By name, `border-0-1` from group 0 to group 1; (F, 3, 4) each.
    """
    if router.by == "sectors":
        return films_by_sectors(training, router.count)
    return films_by_views(router)


def films_by_sectors(training: Array, K: int) -> dict[str, Array]:
    """From the middle of each sector to that of the next, always looking at the origin.

    They go along the circle of the training cameras' median height and median distance from the
    axis, in equal steps of the azimuth.
    """
    centres = training[:, :, 3]
    height = float(np.median(centres[:, 2]))
    radius = float(np.median(np.hypot(centres[:, 0], centres[:, 1])))
    made = {}
    for sector in range(K if K > 1 else 0):
        phi = 2 * np.pi / K * (sector + 0.5 + np.linspace(0, 1, FRAMES))
        eyes = np.stack([radius * np.cos(phi), radius * np.sin(phi), np.full(FRAMES, height)], 1)
        made[f"border-{sector}-{(sector + 1) % K}"] = np.stack(
            [look_at(eye, np.zeros(3)) for eye in eyes]
        )
    return made


def films_by_views(router: Router) -> dict[str, Array]:
    """Over the nearest two views of each pair of groups that are neighbours.

    Each film begins a view before these two and ends a view after them, so that it crosses one
    border, in its middle. Groups are neighbours if that pair is nearer than `NEIGHBOURS` times the
    median distance of a training view from the next.

    Raises:
        UserError: no way over a border leaves the first group once and for all.
    """
    distances = pose_distances(router.poses, router.poses)
    np.fill_diagonal(distances, np.inf)
    most = NEIGHBOURS * float(np.median(distances.min(axis=1)))
    made = {}
    for first, second in combinations(range(router.count), 2):
        ours, theirs = (np.flatnonzero(router.owner == group) for group in (first, second))
        if not len(ours) or not len(theirs):
            continue
        pairs = distances[np.ix_(ours, theirs)]
        i, j = np.unravel_index(np.argmin(pairs), pairs.shape)
        if pairs[i, j] < most:
            near = [int(ours[i]), int(theirs[j])]
            before, after = (
                _inland(router, distances, near[side], near[1 - side]) for side in (0, 1)
            )
            made[f"border-{first}-{second}"] = along(router.poses[[before, *near, after]], FRAMES)
    return made


def _inland(router: Router, distances: Array, view: int, beyond: int) -> int:
    """The training view next to one at a border, from which the way there stays in its group."""
    group = int(router.owner[view])
    own = np.flatnonzero((router.owner == group) & (distances[:, beyond] > distances[view, beyond]))
    for other in own[np.argsort(distances[own, view], kind="stable")]:
        way = along(router.poses[[other, view]], _PROBES)
        if all(router.owner_of(pose) == group for pose in way):
            return int(other)
    what = f"no way leads inside group {group} to the border at view {view}"
    raise UserError("films", what, "look at the partition")


def along(poses: Array, frames: int) -> Array:
    """A camera through poses: straight from one to the next, turning by slerp, at even speed.

    The speed is that of `pose_distances`, in which moves and turns both count.

    Args:
        poses: (M, 3, 4), no two after each other the same.

    Returns:
        (frames, 3, 4), the first and last of which are those of `poses`.
    """
    steps = pose_distances(poses, poses).diagonal(1)
    knots = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.linspace(0.0, knots[-1], frames)
    turned = Slerp(knots, Rotation.from_matrix(poses[:, :, :3]))(at).as_matrix()
    centres = np.stack([np.interp(at, knots, poses[:, axis, 3]) for axis in range(3)], axis=1)
    return np.concatenate([turned, centres[:, :, None]], axis=2)


def away_of_object(training: Array) -> Array:
    """Views of an object from between and above its training views, at other distances.

    Azimuths halve evenly chosen gaps between the training views' azimuths; heights are uniform on
    the sphere up to 65 degrees, but `NEAR_POLE` views stand at 78 to 88; distances from the origin
    are 0.85 to 1.2 of the training views' median. All look at the origin.

    Args:
        training: (n, 3, 4), n at least `AWAY`.

    Returns:
        (`AWAY`, 3, 4).
    """
    rng = np.random.default_rng(SEED)
    centres = training[:, :, 3]
    phi = np.sort(azimuths(centres))
    middles = phi + np.diff(phi, append=phi[0] + 2 * np.pi) / 2
    azimuth = middles[(2 * np.arange(AWAY) + 1) * len(phi) // (2 * AWAY)]
    elevation = np.arcsin(rng.uniform(np.sin(np.radians(5)), np.sin(np.radians(65)), AWAY))
    pole = np.arange(NEAR_POLE) * (AWAY // NEAR_POLE)
    elevation[pole] = np.radians(rng.uniform(78, 88, NEAR_POLE))
    distance = np.median(np.linalg.norm(centres, axis=1)) * rng.uniform(0.85, 1.2, AWAY)
    flat = np.cos(elevation)
    around = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], axis=1)
    return np.stack([look_at(eye, np.zeros(3)) for eye in distance[:, None] * around])


def away_of_place(photos: Array) -> Array:
    """Views of a place from between and above the photos of a walk, turned aside.

    Each stands half-way between two photos in a row, 0.3 to 1 m higher, turned by up to 15 degrees
    about the vertical.

    Args:
        photos: (N, 3, 4) in the order of the walk, in metres, z up; N above `AWAY`.

    Returns:
        (`AWAY`, 3, 4), in metres too.
    """
    rng = np.random.default_rng(SEED)
    made = []
    for first in (2 * np.arange(AWAY) + 1) * (len(photos) - 1) // (2 * AWAY):
        pose = along(photos[first : first + 2], 3)[1]
        turn = Rotation.from_euler("z", rng.uniform(-15, 15), degrees=True).as_matrix()
        rise = np.array([0.0, 0.0, rng.uniform(0.3, 1.0)])
        made.append(np.column_stack([turn @ pose[:, :3], pose[:, 3] + rise]))
    return np.stack(made)
