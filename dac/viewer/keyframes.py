"""A path of the camera: a few poses in time, as a file, and the motion between them.

The file is JSON:

    {"version": 1, "fps": 30, "keyframes": [
      {"world_from_camera": [[...4 numbers], [...], [...]], "fov_degrees": 50, "seconds": 0}]}

`world_from_camera` has OpenCV's axes and the scene's coordinates, `fov_degrees` is vertical, and
`seconds` grow from one keyframe to the next.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, Slerp

from dac.artifacts import read_json, write_json
from dac.errors import UserError
from dac.settings import validate

Floats = NDArray[np.float64]
Row = tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]

_ROUNDED = 1e-3  # by how much a rotation may miss orthonormality


class Keyframe(BaseModel):
    """A pose of the camera at a time.

    Attributes:
        world_from_camera: (3, 4) rotation and centre.
        fov_degrees: vertical.
        seconds: since the path's start.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    world_from_camera: tuple[Row, Row, Row]
    fov_degrees: float = Field(gt=0, lt=180)
    seconds: float = Field(ge=0, le=86400)

    @model_validator(mode="after")
    def _rotates(self) -> Self:
        rotation = self.pose[:, :3]
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > _ROUNDED:
            raise ValueError("world_from_camera holds no rotation")
        if np.linalg.det(rotation) < 0:
            raise ValueError("world_from_camera holds a mirror image, not a rotation")
        return self

    @property
    def pose(self) -> Floats:
        """(3, 4) world_from_camera."""
        return np.array(self.world_from_camera, np.float64)


class CameraPath(BaseModel):
    """Keyframes in time, and the pictures per second that the path is made for."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[1] = 1
    fps: Annotated[float, Field(gt=0, le=240)] = 30.0
    keyframes: tuple[Keyframe, ...] = Field(min_length=1, max_length=10_000)

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        if (np.diff([keyframe.seconds for keyframe in self.keyframes]) <= 0).any():
            raise ValueError("seconds must grow from one keyframe to the next")
        return self

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path) -> CameraPath:
        """Read what `save` wrote, or somebody else.

        Raises:
            UserError: it is missing, or no camera path.
        """
        data: Any = read_json(path)
        if not isinstance(data, dict) or data.get("version") != 1:
            raise UserError(path, "is no camera path of version 1", "save one in `dac view`")
        return validate(cls, data, str(path))


class Motion:
    """A path's camera at any time: a cubic spline through the centres, the shortest rotations.

    Before the first keyframe and after the last the camera rests.
    """

    def __init__(self, path: CameraPath) -> None:
        self._times = np.array([keyframe.seconds for keyframe in path.keyframes])
        poses = np.stack([keyframe.pose for keyframe in path.keyframes])
        self._fovs = np.array([keyframe.fov_degrees for keyframe in path.keyframes])
        self._first = poses[0]
        if len(poses) > 1:
            self._centre = CubicSpline(self._times, poses[:, :, 3])
            self._rotation = Slerp(self._times, Rotation.from_matrix(poses[:, :, :3]))

    @property
    def end(self) -> float:
        """Seconds of the last keyframe."""
        return float(self._times[-1])

    def __call__(self, seconds: float) -> tuple[Floats, float]:
        """world_from_camera (3, 4), and the vertical field of view in degrees."""
        if len(self._times) == 1:
            return self._first, float(self._fovs[0])
        at = float(np.clip(seconds, self._times[0], self._times[-1]))
        pose = np.column_stack([self._rotation(at).as_matrix(), self._centre(at)])
        return pose, float(np.interp(at, self._times, self._fovs))
