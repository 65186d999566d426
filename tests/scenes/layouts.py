"""Known views, and the three layouts in which Tanks and Temples circulates, to write them in."""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]
COUNT, WIDTH, HEIGHT = 10, 24, 20


def looking_at_origin(count: int, radius: float = 4.0, height: float = 1.5) -> Array:
    """(N, 4, 4) camera-to-world poses on a circle, OpenCV axes, level, looking at the origin."""
    poses = np.zeros((count, 4, 4))
    for i in range(count):
        angle = 2 * math.pi * i / count
        centre = np.array([radius * math.cos(angle), radius * math.sin(angle), height])
        forward = -centre / np.linalg.norm(centre)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        poses[i, :3] = np.column_stack([right, np.cross(forward, right), forward, centre])
        poses[i, 3, 3] = 1.0
    return poses


def pixels(seed: int, width: int, height: int, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@dataclass(frozen=True)
class Known:
    """N views.

    Attributes:
        images: N encoded images; suffix: of their files.
        size: width and height in pixels.
        poses: (N, 4, 4) camera-to-world, OpenCV axes.
        lenses: (N, 4) fx, fy, cx, cy in pixels.
        test: the test views.
    """

    images: Sequence[bytes]
    suffix: str
    size: tuple[int, int]
    poses: Array
    lenses: Array
    test: Collection[int]

    def __len__(self) -> int:
        return len(self.images)


def encoded(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def known_ring(
    poses: Array | None = None, lens: tuple[float, ...] = (30, 30, 11.5, 10.25)
) -> Known:
    """Ten views of one lens, of which 4 to 6 test."""
    images = [encoded(pixels(i, WIDTH, HEIGHT)) for i in range(COUNT)]
    poses = looking_at_origin(COUNT) if poses is None else poses
    lenses = np.tile(np.array(lens, np.float64), (COUNT, 1))
    return Known(images, ".png", (WIDTH, HEIGHT), poses, lenses, range(4, 7))


def flat(matrix: Array) -> str:
    """As the releases have it: row by row, one line."""
    return " ".join(repr(float(value)) for value in matrix.ravel()) + "\n"


def intrinsics(lens: Array) -> Array:
    matrix = np.eye(4)
    matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2] = lens
    return matrix


def write_nerfpp(root: Path, known: Known) -> list[str]:
    """NeRF++'s layout, with the parts that are left out; returns the views' names."""
    names = []
    for i in range(len(known)):
        part, stem = "test" if i in known.test else "train", f"{i + 1:06d}"
        names.append(f"{part}/rgb/{stem}{known.suffix}")
        contents = {
            names[-1]: known.images[i],
            f"{part}/pose/{stem}.txt": flat(known.poses[i]).encode(),
            f"{part}/intrinsics/{stem}.txt": flat(intrinsics(known.lenses[i])).encode(),
        }
        for name, content in contents.items():
            _write(root / name, content)
            if part == "test":
                _write(root / name.replace("test", "validation"), content)
        path = f"camera_path/pose/{i:06d}.txt"
        _write(root / path, flat(known.poses[i]).encode())
    return names


def write_nsvf(root: Path, known: Known, form: str = "matrix") -> list[str]:
    """NSVF's layout, with one lens for all views; returns the views' names.

    Args:
        form: of intrinsics.txt: `matrix`, `flat`, `3x3` or `first line`.
    """
    names = []
    for i in range(len(known)):
        stem = f"{int(i in known.test)}_{i + 1:06d}"
        names.append(f"rgb/{stem}{known.suffix}")
        _write(root / names[-1], known.images[i])
        rows = "".join(flat(row) for row in known.poses[i])
        _write(root / "pose" / f"{stem}.txt", rows.encode())
    matrix = intrinsics(known.lenses[0])
    (width, height), (f, _, cx, cy) = known.size, known.lenses[0].tolist()
    text = {
        "matrix": "".join(flat(row) for row in matrix),
        "flat": flat(matrix),
        "3x3": "".join(flat(row) for row in matrix[:3, :3]),
        "first line": f"{f!r} {cx!r} {cy!r} 0.\n0. 0. 0.\n0.1\n1.\n{height} {width}\n",
    }[form]
    _write(root / "intrinsics.txt", text.encode())
    return names


def write_colmap(root: Path, known: Known, xyz: Array, tracks: Sequence[Sequence[int]]) -> None:
    """3D Gaussian splatting's layout, with cameras for images of twice the size.

    Its Truck has images of 979 x 546 pixels and a model that was made for 1957 x 1091.

    Args:
        xyz: (P, 3) points; tracks: the views that see each.
    """
    width, height = 2 * known.size[0] - 1, 2 * known.size[1] - 1
    entries: list[list[int]] = [[] for _ in range(len(known))]
    points = []
    for number, (point, track) in enumerate(zip(xyz.tolist(), tracks, strict=True), 1):
        pairs = []
        for view in track:
            pairs.append(f"{view + 1} {len(entries[view])}")
            entries[view].append(number)
        points.append(" ".join([str(number), *map(repr, point), "90 90 90 0.5", *pairs]))
    images, cameras = [], []
    for i in range(len(known)):
        name = f"{i + 1:06d}{known.suffix}"
        _write(root / "images" / name, known.images[i])
        rotation = known.poses[i, :3, :3].T
        x, y, z, w = Rotation.from_matrix(rotation).as_quat().tolist()
        shift = (-rotation @ known.poses[i, :3, 3]).tolist()
        images.append(" ".join([str(i + 1), *map(repr, [w, x, y, z, *shift]), f"{i + 1} {name}"]))
        images.append(" ".join(f"1.0 1.0 {number}" for number in entries[i]))
        scale = np.tile([width / known.size[0], height / known.size[1]], 2)
        lens = (known.lenses[i] * scale).tolist()
        cameras.append(" ".join([f"{i + 1} PINHOLE {width} {height}", *map(repr, lens)]))
    for part, lines in (("cameras", cameras), ("images", images), ("points3D", points)):
        _write(root / "sparse" / "0" / f"{part}.txt", ("\n".join(lines) + "\n").encode())


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
