"""Paths of a camera: around the scene, or swaying before it.

Notation: N training cameras, F frames; poses are world_from_camera (3, 4) with OpenCV axes; fields
of view are vertical, in degrees.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dac.cameras import Cameras
from dac.errors import UserError
from dac.export.camera import look_at
from dac.export.keyframes import NARROWEST, WIDEST, CameraPath
from dac.scenes.normalise import scene_centre, up_direction

Array = NDArray[np.float64]

SWAY = 0.25  # of the distance to the focus: no spiral goes further aside
_SAME = 1e-6
_WIDEST_OF_FISHEYES = 120.0  # degrees, of what their pictures become


def median_fov(cameras: Cameras) -> float:
    """Median field of view of some cameras, cut to what a path may have; a fisheye's further."""
    half = float(np.median(cameras.height / (2 * cameras.intrinsics[:, 1].numpy())))
    if cameras.model == "fisheye":
        return min(max(math.degrees(2 * half), NARROWEST), _WIDEST_OF_FISHEYES)
    return min(max(math.degrees(2 * math.atan(half)), NARROWEST), WIDEST)


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
