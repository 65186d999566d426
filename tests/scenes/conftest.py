"""Small data sets in every format, written by the tests themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import Array, looking_at_origin, pixels
from PIL import Image


def opengl(pose: Array) -> list[list[float]]:
    return (pose @ np.diag([1.0, -1, -1, 1])).tolist()


@pytest.fixture
def blender_set(tmp_path: Path) -> Callable[..., Path]:
    """Writes a Blender-format folder: `train` and `test` views of `size` RGBA pixels."""

    def write(train: int = 6, test: int = 3, size: int = 16) -> Path:
        root = tmp_path / "blender"
        for part, count, first in (("train", train, 0), ("test", test, train)):
            if not count:
                continue
            (root / part).mkdir(parents=True)
            poses = looking_at_origin(train + test)[first : first + count]
            frames = []
            for i, pose in enumerate(poses):
                Image.fromarray(pixels(first + i, size, size, 4)).save(root / part / f"r_{i}.png")
                frames.append({"file_path": f"./{part}/r_{i}", "transform_matrix": opengl(pose)})
            data = {"camera_angle_x": 0.6911112070083618, "frames": frames}
            (root / f"transforms_{part}.json").write_text(json.dumps(data))
        return root

    return write


@pytest.fixture
def nerfstudio_set(tmp_path: Path) -> Callable[..., Path]:
    """Writes a nerfstudio folder of 24 x 20 JPEG images; `keys` go into the file."""

    def write(count: int = 10, **keys: Any) -> Path:
        root = tmp_path / "nerfstudio"
        (root / "images").mkdir(parents=True)
        frames = []
        for i, pose in enumerate(looking_at_origin(count)):
            name = f"images/{i:04d}.jpg"
            Image.fromarray(pixels(i, 24, 20)).save(root / name, quality=95)
            frames.append({"file_path": name, "transform_matrix": opengl(pose)})
        data: dict[str, Any] = {
            "fl_x": 30.0,
            "fl_y": 31.0,
            "cx": 11.5,
            "cy": 10.25,
            "w": 24,
            "h": 20,
        }
        data |= {"k1": 0.05, "k2": -0.02, "p1": 0.001, "p2": -0.002, **keys, "frames": frames}
        (root / "transforms.json").write_text(json.dumps(data))
        return root

    return write


@pytest.fixture
def edit() -> Callable[[Path, Callable[[Any], object]], None]:
    """Changes a JSON file in place; NaN is written as Python writes it."""

    def change(path: Path, change: Callable[[Any], object]) -> None:
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))

    return change


@pytest.fixture
def colmap_set(tmp_path: Path) -> Callable[..., Path]:
    """Writes a COLMAP data set with pycolmap's own writer, and its 32 x 24 images."""
    pycolmap = pytest.importorskip("pycolmap")

    def write(
        binary: bool = True, points: int = 60, frames: int = 9, model: str = "OPENCV"
    ) -> Path:
        root = tmp_path / ("binary" if binary else "text")
        sparse = root / "sparse" / "0"
        sparse.mkdir(parents=True)
        pycolmap.set_random_seed(4)
        options = pycolmap.SyntheticDatasetOptions()
        options.num_points3D, options.num_frames_per_rig, options.num_rigs = points, frames, 1
        options.camera_width, options.camera_height = 32, 24
        options.camera_model_id = getattr(pycolmap.CameraModelId, model)
        lens = {"PINHOLE": [30.0, 31, 16, 12], "OPENCV": [30.0, 31, 16, 12, 0.03, -0.01, 0.001, 0]}
        options.camera_params = lens[model]
        reconstruction = pycolmap.synthesize_dataset(options)
        for i, image in reconstruction.images.items():
            file = root / "images" / image.name
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels(i, 32, 24)).save(file)
        (reconstruction.write_binary if binary else reconstruction.write_text)(str(sparse))
        return root

    return write
