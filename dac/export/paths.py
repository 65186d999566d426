"""Paths of a camera: around the scene, swaying before it, or through keyframes.

Notation: N training cameras, F frames; poses are world_from_camera (3, 4) with OpenCV axes; fields
of view are vertical, in degrees. A path file is JSON:

    {"version": 1, "fps": 30, "keyframes": [
        {"world_from_camera": [[...], [...], [...]], "fov_degrees": 45, "seconds": 0.0}, ...]}

with `seconds` ascending. One keyframe is a single camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.interpolate import CubicHermiteSpline
from scipy.spatial.transform import Rotation, RotationSpline

from dac.artifacts import read_json
from dac.cameras import Cameras
from dac.errors import UserError
from dac.export.camera import look_at
from dac.scenes.normalize import scene_centre, up_direction
from dac.scenes.views import rigid
from dac.settings import Stage, validate

Array = NDArray[np.float64]

SWAY = 0.25  # of the distance to the focus: no spiral goes further aside
_SAME = 1e-6
_WIDEST = 120.0  # degrees, of what a fisheye's pictures become


@dataclass(frozen=True, eq=False)
class CameraPath:
    """Poses (F, 3, 4) and fields of view (F,), at equal steps of time."""

    poses: Array
    fov_degrees: Array


@dataclass(frozen=True, eq=False)
class Keyframes:
    """Poses (N, 3, 4), fields of view (N,) and times (N,), ascending seconds; frames a second."""

    poses: Array
    fov_degrees: Array
    seconds: Array
    fps: float

    @property
    def duration(self) -> float:
        """Seconds from the first to the last."""
        return float(self.seconds[-1] - self.seconds[0])

    @property
    def closed(self) -> bool:
        """Whether the last keyframe is the first again, so that the path is a loop."""
        same = np.abs(self.poses[0] - self.poses[-1]).max() < _SAME
        return len(self.seconds) > 2 and bool(same)


class _Keyframe(Stage):
    world_from_camera: list[list[float]]
    fov_degrees: Annotated[float, Field(ge=0.1, le=179)]
    seconds: Annotated[float, Field(ge=0, le=1e6)] = 0.0


class _PathFile(Stage):
    version: Literal[1]
    fps: Annotated[float, Field(ge=0.1, le=1000)] = 30.0
    keyframes: Annotated[list[_Keyframe], Field(min_length=1)]


def vertical_fov(cameras: Cameras) -> float:
    """Median field of view of some cameras; a fisheye's is cut to what a pinhole can show."""
    half = cameras.height / (2 * cameras.intrinsics[:, 1].numpy())
    if cameras.model == "fisheye":
        return min(math.degrees(2 * float(np.median(half))), _WIDEST)
    return math.degrees(2 * math.atan(float(np.median(half))))


def orbit(poses: Array, fov_degrees: float, frames: int) -> CameraPath:
    """A closed circle about the point that the training cameras look at, whatever way is up.

    Its height over that point and its radius are the cameras' medians; it begins where the first of
    them stands, and goes counterclockwise as seen from above, at constant speed.

    Args:
        poses: (N, 3, 4) of the training cameras.
        frames: F; the frame after the last would be the first.

    Raises:
        UserError: the cameras look at no common point.
    """
    centre, _ = scene_centre(poses)
    offsets = poses[:, :, 3] - centre
    if (-(offsets * poses[:, :, 2]).sum(axis=1) > 0).mean() < 0.9:
        raise UserError(
            "--path orbit", "the training cameras look at no common point", "take --path spiral"
        )
    up, _ = up_direction(poses)
    heights = offsets @ up
    beside = offsets - heights[:, None] * up
    radius = float(np.median(np.linalg.norm(beside, axis=1)))
    ahead = beside[0] if np.linalg.norm(beside[0]) > _SAME else np.cross(up, poses[0, :, 0])
    ahead = ahead / np.linalg.norm(ahead)
    phi = 2 * np.pi * np.arange(frames)[:, None] / frames
    ring = np.cos(phi) * ahead + np.sin(phi) * np.cross(up, ahead)
    eyes = centre + radius * ring + float(np.median(heights)) * up
    return CameraPath(
        np.stack([look_at(eye, centre, up) for eye in eyes]), np.full(frames, fov_degrees)
    )


def central_view(poses: Array) -> int:
    """The training camera (of N) that is nearest to the middle of them all."""
    centres = poses[:, :, 3]
    return int(np.argmin(np.linalg.norm(centres - centres.mean(axis=0), axis=1)))


def spiral(poses: Array, fov_degrees: float, frames: int, focus: float) -> CameraPath:
    """A closed sway before the scene, for views that all face one way (as LLFF shows them).

    Two turns about the central view, aside as far as 90 % of the cameras stand, forth and back
    once, always looking at one point. At most `SWAY` of the distance to that point.

    Args:
        poses: (N, 3, 4) of the training cameras.
        frames: F; the frame after the last would be the first.
        focus: distance from the central view to the point that stays in the picture's middle.
    """
    base = poses[central_view(poses)]
    axes, middle = base[:, :3], base[:, 3]
    spread = np.quantile(np.abs((poses[:, :, 3] - middle) @ axes), 0.9, axis=0)
    sway = np.minimum(spread, SWAY * focus)
    theta = 4 * np.pi * np.arange(frames) / frames
    local = sway * np.stack([np.cos(theta), np.sin(theta), np.sin(theta / 2)], axis=1)
    target = middle + focus * axes[:, 2]
    eyes = middle + local @ axes.T
    return CameraPath(
        np.stack([look_at(eye, target, -axes[:, 1]) for eye in eyes]),
        np.full(frames, fov_degrees),
    )


def read_keyframes(path: Path) -> Keyframes:
    """Read a path file.

    Raises:
        UserError: it is missing or of another form, a pose is no rigid one, the times don't ascend.
    """
    data = validate(_PathFile, read_json(path), str(path))
    poses = [
        rigid(keyframe.world_from_camera, f"{path}: keyframes.{i}")
        for i, keyframe in enumerate(data.keyframes)
    ]
    seconds = np.array([keyframe.seconds for keyframe in data.keyframes])
    if (np.diff(seconds) <= 0).any():
        i = int(np.argmax(np.diff(seconds) <= 0)) + 1
        where = f"{path}: keyframes.{i}.seconds"
        raise UserError(where, "is not later than the keyframe before", "put them in order")
    fov = np.array([keyframe.fov_degrees for keyframe in data.keyframes])
    return Keyframes(np.stack(poses), fov, seconds, data.fps)


def interpolate(keyframes: Keyframes, frames: int) -> CameraPath:
    """F cameras at equal steps of time along keyframes.

    An open path begins at the first keyframe and ends at the last; a closed one ends a frame before
    it comes back.
    """
    start, end = keyframes.seconds[[0, -1]]
    return at_times(keyframes, np.linspace(start, end, frames, endpoint=not keyframes.closed))


def at_times(keyframes: Keyframes, seconds: Array) -> CameraPath:
    """Cameras at some times, through every keyframe.

    Positions and fields of view follow Catmull-Rom splines (cubics whose slope at a keyframe is
    that of the parabola through it and its neighbours), rotations scipy's cubic spline, whose
    angular velocity and acceleration are continuous. A closed path is as smooth where it closes.

    Args:
        seconds: (F,) between the first keyframe's and the last's.
    """
    poses, fov, knots = keyframes.poses, keyframes.fov_degrees, keyframes.seconds
    if len(knots) == 1:
        return CameraPath(np.repeat(poses, len(seconds), 0), np.repeat(fov, len(seconds)))
    if keyframes.closed:  # three rounds, of which the middle one knows both its neighbours
        turn = keyframes.duration
        poses = np.concatenate([poses[:-1], poses[:-1], poses])
        fov = np.concatenate([fov[:-1], fov[:-1], fov])
        knots = np.concatenate([knots[:-1] - turn, knots[:-1], knots + turn])
    values = np.column_stack([poses[:, :, 3], fov])
    values = CubicHermiteSpline(knots, values, np.gradient(values, knots, axis=0))(seconds)
    turned = RotationSpline(knots, Rotation.from_matrix(poses[:, :, :3]))(seconds)
    made = np.concatenate([turned.as_matrix(), values[:, :3, None]], axis=2)
    return CameraPath(made, values[:, 3].clip(0.1, 179.0))
