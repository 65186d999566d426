"""What the Blender and nerfstudio formats share: a JSON file of frames.

Each frame has a `file_path` and a camera-to-world `transform_matrix` with OpenGL axes; the lens
stands in the file or in the frame (the frame wins): `fl_x fl_y cx cy w h camera_model k1 k2 k3 k4
p1 p2`, or only the field of view `camera_angle_x`, with f = w / (2 tan(angle / 2)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dac.errors import UserError
from dac.scenes.photos.images import read_header
from dac.scenes.views import (
    Array,
    LensModel,
    Views,
    checked_lens,
    opencv_from_opengl,
    refuse_duplicates,
    rigid,
)
from dac.storage.artifacts import read_json

MODELS: dict[str, LensModel] = {
    "OPENCV": "perspective",
    "PINHOLE": "perspective",
    "SIMPLE_PINHOLE": "perspective",
    "SIMPLE_RADIAL": "perspective",
    "RADIAL": "perspective",
    "OPENCV_FISHEYE": "fisheye",
}
_LARGEST = 1e300
COEFFICIENTS = ("k1", "k2", "p1", "p2", "k3", "k4")


@dataclass(frozen=True)
class Frame:
    """One frame: where it stands (for messages), its image, its pose and its lens keys."""

    where: str
    file_path: str
    name: str
    file: Path
    pose: Array
    lens: dict[str, Any]


def read_frames(
    path: Path, find: Callable[[str, str], Path | None]
) -> tuple[list[Frame], Any, list[str]]:
    """Read a transforms file.

    Args:
        path: the JSON file; names are relative to its folder.
        find: maps `file_path`, and where it stands (for messages), to the image; to None if that is
            missing.

    Returns:
        The frames whose images exist, the whole file's data, and the other frames' `file_path`s.

    Raises:
        UserError: broken JSON, no frames, a frame without name or pose, an impossible pose.
    """
    data = read_json(path)
    listed = data.get("frames") if isinstance(data, dict) else None
    if not isinstance(listed, list) or not listed:
        raise UserError(path, "lists no frames", "it should hold 'frames': [...]")
    frames, missing = [], []
    for number, frame in enumerate(listed):
        where = f"{path}: frame {number}"
        if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
            raise UserError(where, "has no file_path", "name its image")
        file_path = frame["file_path"].replace("\\", "/")
        where = f"{where} ({file_path})"
        file = find(file_path, where)
        if file is None:
            missing.append(file_path)
            continue
        name = file.relative_to(path.parent).as_posix()
        pose = opencv_from_opengl(rigid(frame.get("transform_matrix"), where))
        lens = {k: v for k, v in data.items() if k != "frames"} | frame
        frames.append(Frame(where, file_path, str(PurePosixPath(name)), file, pose, lens))
    refuse_duplicates((frame.name for frame in frames), path)
    return frames, data, missing


def views_of(root: Path, frames: Sequence[Frame]) -> Views:
    """Views of frames, in their order.

    Raises:
        UserError: a lens key is missing or impossible; perspective and fisheye are mixed.
    """
    models, sizes, intrinsics, distortion = [], [], [], []
    stored: tuple[int, int] | None = None
    for frame in frames:
        w, h = _number(frame, "w"), _number(frame, "h")
        if w is None or h is None:
            # All images have one size, which is checked later, so one header tells it.
            stored = stored or read_header(frame.file).size
            w, h = stored
        models.append(_model(frame))
        coefficients = [_number(frame, key) or 0.0 for key in COEFFICIENTS]
        lens = [*_intrinsics(frame, float(w), float(h)), *coefficients]
        lens = checked_lens(frame.where, (w, h), lens, "mend the file")
        sizes.append((round(w), round(h)))
        intrinsics.append(lens[:4])
        distortion.append(lens[4:])
        if models[-1] != models[0]:
            raise UserError(
                frame.where, "perspective and fisheye lenses are mixed", "split the set"
            )
    return Views(
        root=root,
        model=models[0],
        names=tuple(frame.name for frame in frames),
        files=tuple(frame.file for frame in frames),
        sizes=np.array(sizes, np.int64),
        intrinsics=np.array(intrinsics, np.float64),
        distortion=np.array(distortion, np.float64),
        poses=np.stack([frame.pose for frame in frames]),
    )


def _number(frame: Frame, key: str) -> float | None:
    value = frame.lens.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise UserError(frame.where, f"{key} is no number ({value!r:.80})", "mend the file")
    return float(value)


def _model(frame: Frame) -> LensModel:
    if frame.lens.get("is_fisheye") is True:
        return "fisheye"
    name = frame.lens.get("camera_model", "OPENCV")
    if not isinstance(name, str) or name not in MODELS:
        known, what = ", ".join(MODELS), f"camera_model {name!r:.80} is not supported"
        raise UserError(frame.where, what, f"known: {known}")
    return MODELS[name]


def _intrinsics(frame: Frame, w: float, h: float) -> tuple[float, float, float, float]:
    def focal(key: str, angle_key: str, side: float) -> float | None:
        value, angle = _number(frame, key), _number(frame, angle_key)
        if value is None and angle is not None:
            value = side / (2.0 * math.tan(angle / 2.0)) if 0 < angle < math.pi else 0.0
        if value is not None and value <= 0:
            raise UserError(frame.where, f"{key} is not positive ({value})", "mend the file")
        return value

    fx = focal("fl_x", "camera_angle_x", w)
    if fx is None:
        raise UserError(frame.where, "no focal length", "give fl_x or camera_angle_x")
    fy = focal("fl_y", "camera_angle_y", h)
    cx, cy = _number(frame, "cx"), _number(frame, "cy")
    return fx, fy or fx, w / 2 if cx is None else cx, h / 2 if cy is None else cy
