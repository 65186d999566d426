"""Reading COLMAP models, text and binary, without COLMAP.

Format: https://colmap.github.io/format.html. A pose is `cam_from_world`, its quaternion is in the
order w, x, y, z, its axes are OpenCV's. Ids are neither ordered nor contiguous. Files about rigs
and frames, which newer versions write too, repeat what the images say; they are not read.
"""

from __future__ import annotations

import posixpath
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dac.errors import UserError
from dac.scenes.views import FURTHEST
from dac.storage.files import inside, is_file, read_bytes, read_text

# Binary files name a camera model by its index in this list; values are numbers of parameters.
CAMERA_MODELS = {
    "SIMPLE_PINHOLE": 3,
    "PINHOLE": 4,
    "SIMPLE_RADIAL": 4,
    "RADIAL": 5,
    "OPENCV": 8,
    "OPENCV_FISHEYE": 8,
    "FULL_OPENCV": 12,
    "FOV": 5,
    "SIMPLE_RADIAL_FISHEYE": 4,
    "RADIAL_FISHEYE": 5,
    "THIN_PRISM_FISHEYE": 12,
    "RAD_TAN_THIN_PRISM_FISHEYE": 16,
    "SIMPLE_DIVISION": 4,
    "DIVISION": 5,
    "SIMPLE_FISHEYE": 3,
    "FISHEYE": 4,
}
_NAMES = tuple(CAMERA_MODELS)
_MEND = "export the model again"
LARGEST_FILE = 8 * 2**30  # bytes; a thousand images with ten thousand features have 240 million


@dataclass(frozen=True)
class ColmapCamera:
    """One camera: its model's name, size in pixels and parameters in COLMAP's order."""

    model: str
    width: int
    height: int
    params: tuple[float, ...]


@dataclass(frozen=True)
class ColmapImage:
    """One registered image: name relative to the image folder, camera, (3, 4) pose."""

    name: str
    camera_id: int
    cam_from_world: NDArray[np.float64]


@dataclass(frozen=True)
class ColmapModel:
    """A sparse model.

    Attributes:
        cameras, images: by id.
        xyz: (P, 3) points; rgb: (P, 3) uint8; errors: (P,) mean reprojection error in pixels (-1
            where the writer did not know it).
        track_offsets: (P + 1,) int64; point i was seen in the images
            track_image_ids[track_offsets[i] : track_offsets[i + 1]], where an image may repeat.
        track_image_ids: (T,) int64 image ids.
    """

    cameras: dict[int, ColmapCamera]
    images: dict[int, ColmapImage]
    xyz: NDArray[np.float64]
    rgb: NDArray[np.uint8]
    errors: NDArray[np.float64]
    track_offsets: NDArray[np.int64]
    track_image_ids: NDArray[np.int64]


def read_model(folder: Path) -> ColmapModel:
    """Read `cameras`, `images` and (if there) `points3D`, binary where both kinds exist.

    Raises:
        UserError: a file is missing or damaged; an image names an unknown camera; two images have
            one name; a track names an unknown image.
    """
    readers = {
        ".bin": (_binary_cameras, _binary_images, _binary_points),
        ".txt": (_text_cameras, _text_images, _text_points),
    }
    for suffix, (cameras_of, images_of, points_of) in readers.items():
        names = [part + suffix for part in ("cameras", "images", "points3D")]
        if is_file(folder / names[0]) and is_file(folder / names[1]):
            paths = [inside(folder, name, folder) for name in names]
            cameras = _guarded(cameras_of, paths[0])
            images = _guarded(images_of, paths[1])
            none = _points([], [], [], [])
            points = _guarded(points_of, paths[2]) if is_file(paths[2]) else none
            return _checked(ColmapModel(cameras, images, *points), paths)
    raise UserError(
        folder, "no COLMAP model here", "it needs cameras and images files, .bin or .txt"
    )


T = TypeVar("T")


def _guarded(read: Callable[[Path], T], path: Path) -> T:
    try:
        return read(path)
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise UserError(path, f"truncated or damaged ({error})", _MEND) from None


def _checked(model: ColmapModel, paths: list[Path]) -> ColmapModel:
    names: set[str] = set()
    for image in model.images.values():
        if image.camera_id not in model.cameras:
            raise UserError(paths[1], f"{image.name} has no camera {image.camera_id}", _MEND)
        if image.name in names:
            raise UserError(paths[1], f"{image.name} appears twice", "names must differ")
        names.add(image.name)
    strangers = np.setdiff1d(model.track_image_ids, np.fromiter(model.images, np.int64))
    if len(strangers):
        raise UserError(paths[2], f"a track names image {strangers[0]}, which is missing", _MEND)
    if not (np.abs(model.xyz) <= FURTHEST).all():
        what = f"a point's coordinates are not finite, or beyond {FURTHEST:g}"
        raise UserError(paths[2], what, _MEND)
    return model


def _pose(path: Path, name: str, quaternion: list[float], translation: list[float]) -> ColmapImage:
    """An image with its camera still unknown (-1)."""
    q = np.array(quaternion, np.float64)
    length = float(np.linalg.norm(q))
    if not (np.abs(translation) <= FURTHEST).all() or not abs(length - 1.0) < 1e-2:
        raise UserError(path, f"{name}: the pose is no rotation and translation", _MEND)
    w, x, y, z = q / length
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    # `./a.png` and `a.png` are one image.
    name = posixpath.normpath(name) if name else name
    return ColmapImage(name, -1, np.column_stack([rotation, translation]))


_PointArrays = tuple[
    NDArray[np.float64],
    NDArray[np.uint8],
    NDArray[np.float64],
    NDArray[np.int64],
    NDArray[np.int64],
]


def _points(
    xyz: Sequence[tuple[float, ...]],
    rgb: Sequence[tuple[int, ...]],
    errors: Sequence[float],
    tracks: Sequence[NDArray[np.int64]],
) -> _PointArrays:
    lengths = [len(track) for track in tracks]
    return (
        np.array(xyz, np.float64).reshape(-1, 3),
        np.array(rgb, np.uint8).reshape(-1, 3),
        np.array(errors, np.float64),
        np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        np.concatenate([np.zeros(0, np.int64), *tracks]),
    )


class _Bytes:
    """A binary file, read from front to back; little-endian."""

    def __init__(self, path: Path) -> None:
        self.data = read_bytes(path, LARGEST_FILE)
        self.offset = 0

    def take(self, layout: str) -> tuple[float, ...]:
        values = struct.unpack_from("<" + layout, self.data, self.offset)
        self.offset += struct.calcsize("<" + layout)
        return values

    def text(self) -> str:
        end = self.data.index(b"\0", self.offset)
        raw, self.offset = self.data[self.offset : end], end + 1
        return raw.decode("utf-8")

    def skip(self, count: int) -> None:
        self.offset += count
        if self.offset > len(self.data):
            raise ValueError("the file ends too early")

    def finish(self) -> None:
        if self.offset != len(self.data):
            raise ValueError(f"{len(self.data) - self.offset} bytes too many")


def _binary_cameras(path: Path) -> dict[int, ColmapCamera]:
    file = _Bytes(path)
    cameras = {}
    for _ in range(int(file.take("Q")[0])):
        camera_id, model, width, height = (int(v) for v in file.take("IiQQ"))
        if not 0 <= model < len(_NAMES):
            raise UserError(
                path,
                f"camera {camera_id} has model number {model}, which is not supported",
                "undistort the images with COLMAP first",
            )
        name = _NAMES[model]
        params = file.take(f"{CAMERA_MODELS[name]}d")
        cameras[camera_id] = ColmapCamera(name, width, height, params)
    file.finish()
    return cameras


def _binary_images(path: Path) -> dict[int, ColmapImage]:
    file = _Bytes(path)
    images = {}
    for _ in range(int(file.take("Q")[0])):
        image_id, *pose, camera_id = file.take("I7dI")
        name = file.text()
        file.skip(24 * int(file.take("Q")[0]))  # x, y and the point of each feature
        image = _pose(path, name, pose[:4], pose[4:])
        images[int(image_id)] = ColmapImage(image.name, int(camera_id), image.cam_from_world)
    file.finish()
    return images


def _binary_points(path: Path) -> _PointArrays:
    file = _Bytes(path)
    xyz, rgb, errors, tracks = [], [], [], []
    for _ in range(int(file.take("Q")[0])):
        _, x, y, z, r, g, b, error, length = file.take("Q3d3BdQ")
        start = file.offset
        file.skip(8 * int(length))
        track = np.frombuffer(file.data, "<u4", 2 * int(length), start)[::2]
        xyz.append((x, y, z))
        rgb.append((int(r), int(g), int(b)))
        errors.append(error)
        tracks.append(track.astype(np.int64))
    file.finish()
    return _points(xyz, rgb, errors, tracks)


def _lines(path: Path) -> Iterator[str]:
    """Lines but for comments; empty ones stay, since an image may have no features."""
    for line in read_text(path, LARGEST_FILE, "a COLMAP model as text").split("\n"):
        if not line.startswith("#"):
            yield line.strip()


def _id(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**32:
        raise ValueError(f"the id {text:.20}")
    return number


def _text_cameras(path: Path) -> dict[int, ColmapCamera]:
    cameras = {}
    for line in filter(None, _lines(path)):
        camera_id, name, width, height, *rest = line.split()
        params = tuple(float(value) for value in rest)
        if len(params) != CAMERA_MODELS.get(name, len(params)):
            raise ValueError(f"camera {camera_id}: {name} with {len(params)} parameters")
        cameras[_id(camera_id)] = ColmapCamera(name, int(width), int(height), params)
    return cameras


def _text_images(path: Path) -> dict[int, ColmapImage]:
    images = {}
    lines = _lines(path)
    for line in lines:
        if not line:
            continue
        image_id, *pose, camera_id, name = line.split(maxsplit=9)
        values = [float(value) for value in pose]
        image = _pose(path, name, values[:4], values[4:])
        images[_id(image_id)] = ColmapImage(image.name, int(camera_id), image.cam_from_world)
        if next(lines, None) is None:  # the features' line
            raise ValueError(f"the file ends after {name}")
    return images


def _text_points(path: Path) -> _PointArrays:
    xyz, rgb, errors, tracks = [], [], [], []
    for line in filter(None, _lines(path)):
        _, *values = line.split()
        x, y, z, r, g, b, error = (float(value) for value in values[:7])
        xyz.append((x, y, z))
        rgb.append((int(r), int(g), int(b)))
        errors.append(error)
        tracks.append(np.array(values[7:], np.int64).reshape(-1, 2)[:, 0])
    return _points(xyz, rgb, errors, tracks)
