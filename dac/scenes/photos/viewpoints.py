"""Well spread viewpoints on the upper hemisphere, and the camera poses that go with them.

A divide and conquer split needs views that cover an object evenly.  Section 4.1.1 of the paper
takes candidate positions uniformly distributed over the upper hemisphere and thins them with
farthest point sampling: start anywhere, then repeatedly take the candidate that is farthest from
all those taken so far.  Only numpy is needed here, so that a Blender script can import it too.

Conventions: right-handed world, z up; camera-to-world matrices with OpenGL axes (x right, y up,
z backwards), as in the ``transforms_*.json`` files of Blender scenes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

__all__ = ["farthest_point_sampling", "hemisphere_candidates", "opengl_look_at"]


def hemisphere_candidates(
    count: int, radius: float, seed: int, minimum_elevation: float = 0.0
) -> Floats:
    """Draw points uniformly (by area) on the upper hemisphere around the origin.

    Args:
        count: how many points to draw.
        radius: radius of the hemisphere, in scene units.
        seed: seed of the draw.
        minimum_elevation: lowest elevation above the horizontal plane, in radians, in
            [0, pi / 2).

    Returns:
        Positions, shape (count, 3), all at distance ``radius`` from the origin with z >= 0.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, not {count}")
    if not radius > 0.0:
        raise ValueError(f"radius must be positive, not {radius}")
    if not 0.0 <= minimum_elevation < np.pi / 2:
        raise ValueError(f"minimum_elevation must be in [0, pi/2), not {minimum_elevation}")
    rng = np.random.default_rng(seed)
    # By Archimedes, equal heights cut equal areas from a sphere: a uniform height is uniform area.
    height = rng.uniform(np.sin(minimum_elevation), 1.0, count)
    azimuth = rng.uniform(0.0, 2.0 * np.pi, count)
    ring = np.sqrt(1.0 - height**2)
    return radius * np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), height], axis=1)


def farthest_point_sampling(candidates: ArrayLike, count: int, seed: int) -> NDArray[np.int64]:
    """Thin candidate points to a well spread subset.

    The first point is drawn at random; each further one is the candidate whose distance to its
    nearest chosen point is largest (the lowest index on ties).  The result for a smaller
    ``count`` is therefore a prefix of the result for a larger one.

    Args:
        candidates: points, shape (N, 3), in any unit of length.
        count: how many to choose, 1 <= count <= N.
        seed: seed of the random first choice.

    Returns:
        Indices into ``candidates`` in the order they were chosen, shape (count,), all different.
    """
    points = np.asarray(candidates, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"candidates must have shape (N, 3), not {points.shape}")
    if not 1 <= count <= len(points):
        raise ValueError(f"count must be in [1, {len(points)}], not {count}")
    chosen = np.empty(count, dtype=np.int64)
    chosen[0] = np.random.default_rng(seed).integers(len(points))
    nearest = np.full(len(points), np.inf)
    for step in range(1, count):
        latest = points[chosen[step - 1]]
        nearest = np.minimum(nearest, ((points - latest) ** 2).sum(axis=1))
        # A taken point must never come back, not even when all that is left are its duplicates.
        nearest[chosen[step - 1]] = -1.0
        chosen[step] = int(nearest.argmax())
    return chosen


def opengl_look_at(
    centre: ArrayLike, target: ArrayLike = (0.0, 0.0, 0.0), up: ArrayLike = (0.0, 0.0, 1.0)
) -> Floats:
    """Build the pose of a camera that looks from one point at another.

    Straight above or below the target ``up`` does not fix the roll; the world's y axis (or x, if
    ``up`` is y itself) then takes its place.

    Args:
        centre: position of the camera, shape (3,), scene units.
        target: point it looks at, shape (3,), scene units.
        up: direction that shall point upwards in the image, shape (3,), any length.

    Returns:
        Camera-to-world matrix, shape (4, 4), OpenGL axes (x right, y up, z backwards).
    """
    eye = np.asarray(centre, dtype=np.float64)
    upward = np.asarray(up, dtype=np.float64)
    backward = eye - np.asarray(target, dtype=np.float64)
    distance, length = np.linalg.norm(backward), np.linalg.norm(upward)
    if not distance > 0.0:
        raise ValueError("centre and target coincide")
    if not length > 0.0:
        raise ValueError("up has no direction")
    backward = backward / distance
    upward = upward / length
    if np.linalg.norm(np.cross(upward, backward)) < 1e-6:
        upward = np.array([0.0, 1.0, 0.0] if abs(upward[1]) < 0.9 else [1.0, 0.0, 0.0])
    right = np.cross(upward, backward)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, 0] = right
    pose[:3, 1] = np.cross(backward, right)
    pose[:3, 2] = backward
    pose[:3, 3] = eye
    return pose
