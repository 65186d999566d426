"""A camera for new pictures: a pinhole with square pixels and nothing to undo.

Its frame is OpenCV's (x right, y down, z forward); the optical axis goes through the picture's
middle. Lengths are in scene units, the focal length and the size in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from dac.cameras import Cameras

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Camera:
    """One pinhole camera.

    Attributes:
        world_from_camera: (3, 4) rotation and centre, in the scene's coordinates.
        focal: pixels.
        width, height: pixels.

    Raises:
        ValueError: another shape, a number that is not finite or not positive.
    """

    world_from_camera: ArrayLike
    focal: float
    width: int
    height: int

    def __post_init__(self) -> None:
        self.cameras()  # checks all numbers

    @classmethod
    def from_fov(
        cls, world_from_camera: ArrayLike, fov_degrees: float, width: int, height: int
    ) -> Camera:
        """A camera by its vertical field of view, in degrees between 0 and 180."""
        return cls(world_from_camera, focal_of(fov_degrees, height), width, height)

    @property
    def fov_degrees(self) -> float:
        """The vertical field of view."""
        return math.degrees(2 * math.atan2(self.height, 2 * self.focal))

    def resized(self, width: int | None = None, height: int | None = None) -> Camera:
        """The same view in another size: the vertical field of view stays.

        Args:
            width, height: pixels; one alone keeps the aspect ratio, none the size.
        """
        if height is None:
            height = self.height if width is None else round(self.height * width / self.width)
        if width is None:
            width = round(self.width * height / self.height)
        width, height = max(width, 1), max(height, 1)
        return Camera(self.world_from_camera, self.focal * height / self.height, width, height)

    def cameras(self) -> Cameras:
        """The same as a set of one camera, which the renderer takes."""
        pose = np.array(self.world_from_camera, np.float64)
        return _pinholes(pose[None], [self.focal], (self.width, self.height))


def focal_of(fov_degrees: float, height: int) -> float:
    """Focal length in pixels of a vertical field of view.

    Raises:
        ValueError: the angle is not between 0 and 180 degrees.
    """
    if not 0 < fov_degrees < 180:
        raise ValueError(f"a field of view of {fov_degrees:g} degrees")
    return height / (2 * math.tan(math.radians(fov_degrees) / 2))


def look_at(eye: ArrayLike, target: ArrayLike, up: ArrayLike = (0.0, 0.0, 1.0)) -> Array:
    """The pose of a camera that looks at a point.

    Args:
        eye: (3,) where it stands.
        target: (3,) what its optical axis meets.
        up: (3,) shown upwards in the picture. Looking along it, another direction stands in.

    Returns:
        (3, 4) world_from_camera.

    Raises:
        ValueError: `eye` and `target` are one point.
    """
    eye, target, up = (np.asarray(vector, np.float64) for vector in (eye, target, up))
    forward = target - eye
    distance = float(np.linalg.norm(forward))
    if not distance > 0:
        raise ValueError("the camera stands where it looks")
    forward = forward / distance
    right = np.cross(forward, up)
    if np.linalg.norm(right) < 1e-9 * np.linalg.norm(up):
        right = np.cross(forward, np.eye(3)[np.argmin(np.abs(forward))])
    right /= np.linalg.norm(right)
    return np.column_stack([right, np.cross(forward, right), forward, eye])


def resized_view(cameras: Cameras, view: int, size: tuple[int, int] | None) -> Cameras:
    """One view of a scene in another size: its lens and its vertical extent stay.

    Args:
        size: width and height; None keeps the view as it is.

    Returns:
        A set of one camera.
    """
    one = cameras.select([view])
    if size is None:
        return one
    width, height = size
    scale = height / one.height
    old = one.intrinsics
    middle = torch.tensor([one.width, one.height], dtype=torch.float64) / 2
    new_middle = torch.tensor([width, height], dtype=torch.float64) / 2
    lens = torch.cat([old[:, :2] * scale, (old[:, 2:] - middle) * scale + new_middle], dim=1)
    return Cameras(one.model, width, height, lens, one.distortion, one.world_from_camera)


def stacked(poses: Array, fov_degrees: Sequence[float] | Array, size: tuple[int, int]) -> Cameras:
    """Pinhole cameras of one size.

    Args:
        poses: (F, 3, 4) world_from_camera.
        fov_degrees: (F,) vertical fields of view.
        size: width and height.
    """
    return _pinholes(poses, [focal_of(float(fov), size[1]) for fov in fov_degrees], size)


def _pinholes(poses: Array, focal: Sequence[float], size: tuple[int, int]) -> Cameras:
    width, height = size
    lenses = [[value, value, width / 2, height / 2] for value in focal]
    return Cameras(
        "perspective",
        width,
        height,
        torch.tensor(lenses, dtype=torch.float64),
        torch.zeros(len(poses), 6, dtype=torch.float64),
        torch.from_numpy(np.ascontiguousarray(poses)),
    )
