"""Poses of the viewer's camera and of the scene's.

Both are OpenCV's (x right, y down, z forward) in the scene's world frame. viser writes a pose as a
quaternion wxyz and a position, the scene as world_from_camera (3, 4).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dac.cameras import Cameras

Floats = NDArray[np.float64]

_WIDEST = math.radians(120)


def pose_of(wxyz: Floats, position: Floats) -> Floats:
    """(3, 4) world_from_camera of viser's pose."""
    rotation = Rotation.from_quat(np.roll(np.asarray(wxyz, np.float64), -1)).as_matrix()
    return np.column_stack([rotation, np.asarray(position, np.float64)])


def wxyz_of(world_from_camera: Floats) -> Floats:
    """(4,) the unit quaternion of a pose's rotation, w not negative."""
    xyzw = Rotation.from_matrix(world_from_camera[:, :3]).as_quat(canonical=True)
    return np.asarray(np.roll(xyzw, 1), np.float64)


def window_camera(
    world_from_camera: Floats, fov: float, window: tuple[int, int], size: tuple[int, int]
) -> Cameras:
    """The one camera of a picture that fills a window.

    Args:
        world_from_camera: (3, 4).
        fov: vertical, in radians.
        window: width and height, of square pixels.
        size: of the picture, in pixels; where its shape isn't quite the window's, it is stretched.
    """
    focal = window[1] / 2 / math.tan(fov / 2)
    fx, fy = focal * size[0] / window[0], focal * size[1] / window[1]
    intrinsics = torch.tensor([[fx, fy, size[0] / 2, size[1] / 2]], dtype=torch.float64)
    pose = torch.from_numpy(np.asarray(world_from_camera, np.float64))[None]
    return Cameras("perspective", *size, intrinsics, torch.zeros(1, 6), pose)


def vertical_fov(cameras: Cameras, view: int) -> float:
    """A view's vertical field of view in radians, 120 degrees at most (fisheye lenses see more)."""
    fy = float(cameras.intrinsics[view, 1])
    angle = cameras.height / fy if cameras.model == "fisheye" else 0.0
    return min(max(2 * math.atan(cameras.height / 2 / fy), angle), _WIDEST)


def focus_distance(cameras: Cameras, view: int) -> float:
    """How far in front of a view lies what the cameras look at: what the view should turn around.

    That is the point nearest to all optical axes, in least squares. Where it isn't in front of the
    view, half of the cameras' extent takes its place.
    """
    poses = cameras.world_from_camera.numpy()
    forward, centres = poses[:, :, 2], poses[:, :, 3]
    across = np.eye(3) - forward[:, :, None] * forward[:, None, :]
    target = (across @ centres[:, :, None]).sum(axis=0)[:, 0]
    point = np.linalg.lstsq(across.sum(axis=0), target, rcond=None)[0]
    along = float((point - centres[view]) @ forward[view])
    half = float(np.linalg.norm(np.ptp(centres, axis=0))) / 2 or 1.0
    return along if along > 0.05 * half else half
