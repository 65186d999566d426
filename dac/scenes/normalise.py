"""From the data set's frame to the scene's world: up, centre, scale; then near, far and the space.

Notation: N poses, world_from_camera with OpenCV axes; the result is a similarity `world_from_data`.
In the world +z is up; the cameras lie inside the cube [-1, 1]^3 that contraction leaves alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from dac.errors import UserError
from dac.scenes.scene import Space
from dac.scenes.views import Array, Sparse, Views
from dac.settings import SceneSettings

# NeRF++: cameras at most 1 / 1.1 from the centre.
CAMERA_MARGIN = 1.1
BLENDER_BOX = 1.3
BLENDER_NEAR, BLENDER_FAR = 2.0, 6.0
NEAR, FAR = 0.05, 1000.0
Corner = tuple[float, float, float]


@dataclass(frozen=True)
class Normalised:
    """Views in the world frame, how they came there, the space, and what was decided."""

    views: Views
    world_from_data: Array
    space: Space
    log: tuple[str, ...]


def normalise(views: Views, settings: SceneSettings, blender: bool) -> Normalised:
    """Turn, centre and scale the views; find the space.

    Args:
        views: N >= 2 views in the data set's frame.
        settings: what of it is given.
        blender: a Blender data set, whose coordinates are kept unless the settings ask otherwise.

    Raises:
        UserError: all cameras stand in one place; near is not below far.
    """
    log: list[str] = []
    rotation = np.eye(3)
    if not blender and settings.orientation == "auto":
        up, how = up_direction(views.poses)
        rotation = rotation_between(up, np.array([0.0, 0.0, 1.0]))
        angle = math.degrees(math.acos(min(1.0, max(-1.0, up[2]))))
        log.append(f"Up: {how}; the scene was turned by {angle:.1f} degrees so that +z is up.")
    else:
        log.append("Up: +z, as the data set has it.")
    centre, scale = np.zeros(3), 1.0
    recentre = not blender if settings.recentre is None else settings.recentre
    if recentre:
        centre, how = scene_centre(views.poses)
        furthest = float(np.linalg.norm(views.poses[:, :, 3] - centre, axis=1).max())
        if not furthest > 1e-9:
            raise UserError(views.root, "all cameras stand in one place", "check the poses")
        scale = 1.0 / (CAMERA_MARGIN * furthest)
        log.append(f"Centre: {how}, at {_text(centre)} in the data set's frame.")
        log.append(
            f"Scale: {scale:.4g}, which puts the furthest camera at {1 / CAMERA_MARGIN:.2f}."
        )
    else:
        log.append("Centre and scale: as the data set has them.")
    world_from_data = np.eye(4)
    world_from_data[:3, :3] = scale * rotation
    world_from_data[:3, 3] = -scale * rotation @ centre
    moved = transformed(views, world_from_data)
    space, sentences = _space(moved, settings, blender, world_from_data)
    return Normalised(moved, world_from_data, space, (*log, *sentences))


def transformed(views: Views, similarity: Array) -> Views:
    """Views and sparse points under a (4, 4) similarity; camera axes stay orthonormal."""
    sparse = views.sparse
    if sparse is not None:
        sparse = replace(sparse, xyz=sparse.xyz @ similarity[:3, :3].T + similarity[:3, 3])
    return replace(views, poses=transformed_poses(views.poses, similarity), sparse=sparse)


def transformed_poses(poses: Array, similarity: Array) -> Array:
    """Poses (N, 3, 4) under a (4, 4) similarity; camera axes stay orthonormal."""
    linear, shift = similarity[:3, :3], similarity[:3, 3]
    scale = float(np.cbrt(np.linalg.det(linear)))
    turned, centres = linear @ poses[:, :, :3] / scale, poses[:, :, 3] @ linear.T + shift
    return np.concatenate([turned, centres[:, :, None]], axis=2)


def up_direction(poses: Array) -> tuple[Array, str]:
    """Unit up direction of the data set's frame, and how it was found.

    Photographers hold the horizon level, so the cameras' x axes all lie in the horizontal plane: up
    is the direction that they have least of. That fails where all x axes agree (a row of parallel
    views) or cameras are rolled; then the mean of the cameras' own up directions stands in.
    """
    right, own_up = poses[:, :, 0], -poses[:, :, 1]
    mean_up = own_up.mean(axis=0)
    values, vectors = np.linalg.eigh(right.T @ right / len(right))
    level = vectors[:, 0] * (1.0 if vectors[:, 0] @ mean_up >= 0 else -1.0)
    length = float(np.linalg.norm(mean_up))
    if length < 1e-3:
        return level, "across the cameras' x axes"
    mean_up = mean_up / length
    spread = values[1] > 10.0 * values[0] and values[1] > 0.01
    if spread and level @ mean_up > math.cos(math.radians(30.0)):
        return level, "across the cameras' level x axes"
    return mean_up, "the mean of the cameras' up directions"


def rotation_between(a: Array, b: Array) -> Array:
    """The smallest rotation (3, 3) that turns unit vector `a` to unit vector `b`."""
    axis, cosine = np.cross(a, b), float(a @ b)
    if cosine < -1.0 + 1e-12:
        # Half a turn about any axis across a: the one nearest to a coordinate axis.
        across = np.eye(3)[np.argmin(np.abs(a))]
        across = across - (across @ a) * a
        across /= np.linalg.norm(across)
        return 2.0 * np.outer(across, across) - np.eye(3)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn: Array = np.eye(3) + cross + cross @ cross / (1.0 + cosine)
    return turn


def scene_centre(poses: Array) -> tuple[Array, str]:
    """Centre of the scene (3,), and how it was found.

    The point nearest to all optical axes, if the cameras look at it from around: it lies before
    almost all of them, and not far beyond their spread. Else the mean of the camera centres.
    """
    centres, forward = poses[:, :, 3], poses[:, :, 2]
    mean = centres.mean(axis=0)
    across = np.eye(3) - forward[:, :, None] * forward[:, None, :]
    total = across.mean(axis=0)
    if np.linalg.eigvalsh(total)[0] > 0.01:
        point = np.linalg.solve(total, (across @ centres[:, :, None]).mean(axis=0)[:, 0])
        in_front = ((point - centres) * forward).sum(axis=1) > 0
        spread = np.linalg.norm(centres - mean, axis=1).max()
        if in_front.mean() >= 0.9 and np.linalg.norm(point - mean) < 3.0 * spread:
            return point, "the point that the cameras look at"
    return mean, "the mean of the camera centres"


def _space(
    views: Views, settings: SceneSettings, blender: bool, world_from_data: Array
) -> tuple[Space, list[str]]:
    automatic = "box" if blender or settings.box is not None else "contraction"
    kind: Literal["box", "contraction"] = (
        automatic if settings.space == "auto" else settings.space  # type: ignore[assignment]
    )
    scale = float(np.cbrt(np.linalg.det(world_from_data[:3, :3])))
    centres = views.poses[:, :, 3]
    log = []
    if kind == "contraction":
        if settings.box is not None:
            raise UserError("scene.box", "has no use with scene.space contraction", "drop one")
        lower, upper = np.full(3, -1.0), np.full(3, 1.0)
        log.append("Space: unbounded, contracted outside of the cube from -1 to 1.")
        outside = int((np.abs(centres) > 1).any(axis=1).sum())
        if outside:
            log.append(f"{outside} cameras lie outside of the cube that contraction leaves alone.")
    else:
        lower, upper, how = _box(views, settings, blender, world_from_data)
        log.append(f"Space: a box from {_text(lower)} to {_text(upper)}, {how}.")
    if blender:
        near, near_how = BLENDER_NEAR * scale, "as Blender data sets have it"
        far = BLENDER_FAR * scale
    else:
        near, near_how = nearest(views)
        corners = np.stack(np.meshgrid(*zip(lower, upper, strict=True)), axis=-1).reshape(-1, 3)
        reach = np.linalg.norm(corners[None] - centres[:, None], axis=2).max()
        far = FAR if kind == "contraction" else float(reach)
    if settings.near is not None:
        near, near_how = settings.near, "as set"
    far = far if settings.far is None else settings.far
    if not near < far:
        raise UserError("scene.near", f"{near:g} is not below far, {far:g}", "set both")
    log.append(f"Near {near:.3g} ({near_how}), far {far:.4g}.")
    return Space(kind, (_corner(lower), _corner(upper)), near, far), log


def _box(
    views: Views, settings: SceneSettings, blender: bool, world_from_data: Array
) -> tuple[Array, Array, str]:
    if settings.box is not None:
        return np.array(settings.box[0]), np.array(settings.box[1]), "as set"
    if blender:
        half = BLENDER_BOX * float(world_from_data[0, 0])
        centre = world_from_data[:3, 3]
        return centre - half, centre + half, "as Blender data sets have it"
    if views.sparse is None:
        return np.full(3, -1.0), np.full(3, 1.0), "around the cameras"
    low, high = np.quantile(views.sparse.xyz, [0.01, 0.99], axis=0)
    margin = 0.05 * (high - low)
    return low - margin, high + margin, "around 98 % of the points along each axis"


def nearest(views: Views) -> tuple[float, str]:
    """Where sampling begins: half the distance below which 1 % of the observed points lie."""
    sparse: Sparse | None = views.sparse
    if sparse is None or not len(sparse.views):
        return NEAR, "the default, for want of points"
    offset = sparse.xyz[sparse.points] - views.poses[sparse.views, :, 3]
    close = float(np.quantile(np.linalg.norm(offset, axis=1), 0.01))
    return max(0.5 * close, 0.2 * NEAR), "from the nearest points"


def _corner(vector: Array) -> Corner:
    x, y, z = (float(value) for value in vector)
    return x, y, z


def _text(vector: Array) -> str:
    return "(" + ", ".join(f"{value:.3g}" for value in vector) + ")"
