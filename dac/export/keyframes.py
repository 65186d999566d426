"""A path of the camera through keyframes: the file, and the motion between them.

Notation: N keyframes, F frames; poses are world_from_camera (3, 4) with OpenCV axes, in the scene's
coordinates; fields of view are vertical, in degrees. A path file is JSON:

    {"version": 1, "fps": 30, "keyframes": [
        {"world_from_camera": [[...], [...], [...]], "fov_degrees": 45, "seconds": 0.0}, ...]}

with `seconds` ascending, by a millisecond at least. One keyframe is a single camera.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field
from scipy.interpolate import CubicHermiteSpline
from scipy.spatial.transform import Rotation, RotationSpline

from dac.errors import UserError
from dac.scenes.views import rigid
from dac.settings import Section, validate
from dac.storage.artifacts import read_json, write_json

Array = NDArray[np.float64]
S = TypeVar("S", bound=Section)

MOST = 1000  # keyframes
LATEST = 86_400.0  # seconds
APART = 1e-3  # seconds at least; where keyframes nearly coincide, speeds are beyond all bounds
LARGEST = 2**22  # bytes of a file; as many keyframes as there may be have 500,000
SLOWEST, FASTEST = 0.1, 240.0  # frames a second
NARROWEST, WIDEST = 0.1, 179.0  # degrees
_SAME = 1e-6  # how far the numbers of equal poses may differ


@dataclass(frozen=True, eq=False)
class CameraPath:
    """Poses (F, 3, 4) and fields of view (F,) of a camera that moves."""

    poses: Array
    fov_degrees: Array


def _rigid(matrix: list[list[float]]) -> list[list[float]]:
    try:
        rigid(matrix, "")
    except UserError as error:
        raise ValueError(error.what) from None
    return matrix


class Keyframe(Section):
    """A camera at a time; the numbers stay as they were given, so that files can be kept."""

    world_from_camera: Annotated[list[list[float]], AfterValidator(_rigid)]
    fov_degrees: Annotated[float, Field(ge=NARROWEST, le=WIDEST)]
    seconds: Annotated[float, Field(ge=0, le=LATEST)] = 0.0

    @property
    def pose(self) -> Array:
        """(3, 4) world_from_camera, the rotation made exact."""
        return rigid(self.world_from_camera, "keyframe")


def _ascending(keyframes: tuple[Keyframe, ...]) -> tuple[Keyframe, ...]:
    for i in range(1, len(keyframes)):
        if keyframes[i].seconds - keyframes[i - 1].seconds < APART:
            what = "are not later than those before"
            raise ValueError(f"the seconds of number {i} (from 0) {what}, by {APART:g} at least")
    return keyframes


class Keyframes(Section):
    """What a path file holds: N keyframes, and the frames a second that they are made for."""

    version: Literal[1]
    fps: Annotated[float, Field(ge=SLOWEST, le=FASTEST)] = 30.0
    keyframes: Annotated[
        tuple[Keyframe, ...], Field(min_length=1, max_length=MOST), AfterValidator(_ascending)
    ]

    @property
    def poses(self) -> Array:
        """(N, 3, 4)."""
        return np.stack([keyframe.pose for keyframe in self.keyframes])

    @property
    def fov_degrees(self) -> Array:
        """(N,)."""
        return np.array([keyframe.fov_degrees for keyframe in self.keyframes])

    @property
    def seconds(self) -> Array:
        """(N,) ascending."""
        return np.array([keyframe.seconds for keyframe in self.keyframes])

    @property
    def duration(self) -> float:
        """Seconds from the first to the last."""
        return self.keyframes[-1].seconds - self.keyframes[0].seconds

    @property
    def closed(self) -> bool:
        """Whether the last keyframe is the first again, so that the path is a loop."""
        first, last = self.keyframes[0].pose, self.keyframes[-1].pose
        return len(self.keyframes) > 2 and bool(np.abs(first - last).max() < _SAME)


def make_keyframe(pose: Array, fov_degrees: float, seconds: float) -> Keyframe:
    """A keyframe of a camera.

    Args:
        pose: (3, 4).

    Raises:
        UserError: the pose is no rigid one, a number is beyond what a file may hold.
    """
    return _checked(
        Keyframe,
        {"world_from_camera": pose.tolist(), "fov_degrees": fov_degrees, "seconds": seconds},
        "keyframe",
    )


def make_keyframes(keyframes: Sequence[Keyframe], fps: float) -> Keyframes:
    """A path through keyframes.

    Raises:
        UserError: there are none or too many, their times don't ascend.
    """
    plain = [keyframe.model_dump() for keyframe in keyframes]
    return _checked(Keyframes, {"version": 1, "fps": fps, "keyframes": plain}, "camera path")


def read_keyframes(path: Path) -> Keyframes:
    """Read a path file.

    Raises:
        UserError: it is missing, too large or of another form, a pose is no rigid one, the times
            don't ascend.
    """
    return _checked(Keyframes, read_json(path, LARGEST), str(path))


def write_keyframes(path: Path, keyframes: Keyframes) -> None:
    """Write a path file, whole or not at all."""
    write_json(path, keyframes.model_dump(mode="json"))


def _checked(model: type[S], data: Any, source: str) -> S:
    try:
        return validate(model, data, source)
    except UserError as error:
        raise UserError(error.where, error.what, "docs/export.md describes path files") from None


def interpolate(keyframes: Keyframes, frames: int) -> CameraPath:
    """F cameras at equal steps of time along keyframes.

    An open path begins at the first keyframe and ends at the last; a closed one ends a frame before
    it comes back.
    """
    start, end = keyframes.seconds[[0, -1]]
    return motion(keyframes)(np.linspace(start, end, frames, endpoint=not keyframes.closed))


def motion(keyframes: Keyframes) -> Callable[[Array], CameraPath]:
    """The camera at any times (F,): through every keyframe, at rest before and after them.

    Positions and fields of view follow Catmull-Rom splines (cubics whose slope at a keyframe is
    that of the parabola through it and its neighbours), rotations scipy's cubic spline, whose
    angular velocity and acceleration are continuous. A closed path is as smooth where it closes.
    """
    poses, fov, knots = keyframes.poses, keyframes.fov_degrees, keyframes.seconds
    start, end = knots[[0, -1]]
    if len(knots) == 1:
        return lambda seconds: CameraPath(
            np.repeat(poses, len(seconds), 0), np.repeat(fov, len(seconds))
        )
    if keyframes.closed:  # three rounds, of which the middle one knows both its neighbours
        turn = keyframes.duration
        poses = np.concatenate([poses[:-1], poses[:-1], poses])
        fov = np.concatenate([fov[:-1], fov[:-1], fov])
        knots = np.concatenate([knots[:-1] - turn, knots[:-1], knots + turn])
    values = np.column_stack([poses[:, :, 3], fov])
    along = CubicHermiteSpline(knots, values, np.gradient(values, knots, axis=0))
    turning = RotationSpline(knots, Rotation.from_matrix(poses[:, :, :3]))

    def at(seconds: Array) -> CameraPath:
        seconds = np.clip(seconds, start, end)
        values, turned = along(seconds), turning(seconds).as_matrix()
        made = np.concatenate([turned, values[:, :3, None]], axis=2)
        return CameraPath(made, values[:, 3].clip(NARROWEST, WIDEST))

    return at
