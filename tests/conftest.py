"""What several test folders share: two tiny scenes whose every pixel has a formula."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import toy
from hypothesis import settings
from numpy.typing import NDArray
from PIL import Image

from dac.ops.backend import using

Array = NDArray[np.float64]

# A shell that starts the tests in the background has them ignore Ctrl-C, and all that they start.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no fault of what is tested.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

VIEWS = 16
SIZE = 24
FOCAL = 30.0
POINTS = 80


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders whose files take minutes, lest a process ends alone with one."""
    items.sort(key=lambda item: item.path.parent.name not in ("workflow", "docs", "viewer"))


@pytest.fixture
def plain_torch() -> Iterator[None]:
    """The reference backend: the only one that takes float64."""
    with using("reference"):
        yield


@pytest.fixture(scope="session")
def toy_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy scene's folder; beside it its partition into two halves."""
    folder = tmp_path_factory.mktemp("toy")
    scene = toy.scene()
    scene.save(folder / "scene")
    toy.halves(scene).save(folder / "partition.json")
    return folder / "scene"


@pytest.fixture(scope="session")
def write_tiny_scene() -> Callable[[Path], None]:
    """A function that writes a COLMAP data set: a coloured unit sphere, seen from a ring."""
    return _write_tiny_scene


def _write_tiny_scene(folder: Path) -> None:
    images, model = folder / "images", folder / "sparse" / "0"
    images.mkdir(parents=True)
    model.mkdir(parents=True)
    points = _spread_over_sphere(POINTS)
    centres, rotations = _ring()
    seen = [(points @ centre > 1.2) for centre in centres]
    tracks: list[list[tuple[int, int]]] = [[] for _ in points]
    lines = []
    for view, (centre, rotation) in enumerate(zip(centres, rotations, strict=True)):
        Image.fromarray(_photo(centre, rotation)).save(images / f"view_{view:02}.png")
        camera_frame = (points[seen[view]] - centre) @ rotation.T
        pixels = FOCAL * camera_frame[:, :2] / camera_frame[:, 2:] + SIZE / 2
        entries = []
        for index, (point, (x, y)) in enumerate(
            zip(np.flatnonzero(seen[view]).tolist(), pixels.tolist(), strict=True)
        ):
            tracks[point].append((view + 1, index))
            entries.append(f"{x} {y} {point + 1}")
        numbers = [*_quaternion(rotation), *(-rotation @ centre)]
        pose = " ".join(str(float(number)) for number in numbers)
        lines += [f"{view + 1} {pose} 1 view_{view:02}.png", " ".join(entries)]
    (model / "cameras.txt").write_text(
        f"1 PINHOLE {SIZE} {SIZE} {FOCAL} {FOCAL} {SIZE / 2} {SIZE / 2}\n"
    )
    (model / "images.txt").write_text("\n".join(lines) + "\n")
    (model / "points3D.txt").write_text(
        "".join(
            f"{i + 1} {x} {y} {z} 200 100 50 0.5 "
            + " ".join(f"{image} {index}" for image, index in tracks[i])
            + "\n"
            for i, (x, y, z) in enumerate(points.tolist())
        )
    )


def _spread_over_sphere(count: int) -> Array:
    """(count, 3) points on the unit sphere, along a golden spiral."""
    i = np.arange(count)
    z = 1 - (2 * i + 1) / count
    phi = i * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(phi), radius * np.sin(phi), z], axis=1)


def _ring() -> tuple[Array, Array]:
    """Centres (V, 3), and rotations (V, 3, 3) from the world to OpenCV cameras that look at 0."""
    phi = 2 * np.pi * (np.arange(VIEWS) + 0.25) / VIEWS
    height = 1.0 + 0.5 * np.sin(3 * phi)
    centres = np.stack([3.5 * np.cos(phi), 3.5 * np.sin(phi), height], axis=1)
    forward = -centres / np.linalg.norm(centres, axis=1, keepdims=True)
    right = np.cross(forward, np.array([0.0, 0.0, 1.0]))
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    return centres, np.stack([right, np.cross(forward, right), forward], axis=1)


def _photo(centre: Array, rotation: Array) -> NDArray[np.uint8]:
    """The sphere, coloured by its normal, before a sky that fades downwards."""
    x = (np.arange(SIZE) + 0.5 - SIZE / 2) / FOCAL
    rays = np.stack([*np.meshgrid(x, x), np.ones((SIZE, SIZE))], axis=-1) @ rotation
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    along = rays @ centre
    inside = along**2 - centre @ centre + 1.0
    hit = centre + rays * (-along - np.sqrt(np.maximum(inside, 0)))[..., None]
    stripes = 0.7 + 0.3 * np.sin(9 * hit[..., 2:])
    ball = (0.5 + 0.45 * hit) * stripes
    sky = 0.55 + 0.4 * rays[..., 2:] * np.array([0.2, 0.5, 1.0])
    colour = np.where((inside > 0)[..., None], ball, sky)
    return (255 * colour.clip(0, 1)).round().astype(np.uint8)


def _quaternion(rotation: Array) -> list[float]:
    """w, x, y, z of a rotation matrix, by the largest of its four forms."""
    m = rotation
    squares = [
        1 + m[0, 0] + m[1, 1] + m[2, 2],
        1 + m[0, 0] - m[1, 1] - m[2, 2],
        1 - m[0, 0] + m[1, 1] - m[2, 2],
        1 - m[0, 0] - m[1, 1] + m[2, 2],
    ]
    k = int(np.argmax(squares))
    rows = [
        [squares[0], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]],
        [m[2, 1] - m[1, 2], squares[1], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0]],
        [m[0, 2] - m[2, 0], m[0, 1] + m[1, 0], squares[2], m[1, 2] + m[2, 1]],
        [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], squares[3]],
    ]
    return [float(value) / (2 * float(np.sqrt(squares[k]))) for value in rows[k]]
