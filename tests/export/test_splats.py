"""Gaussians of a cloud, read again by a reader of another library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dac.errors import UserError
from dac.export.cloud import Cloud
from dac.export.splats import PROPERTIES, save_splats

# A quarter turn about z, twice the size, moved.
SIMILARITY = np.array([[0, -2, 0, 0.5], [2, 0, 0, -1], [0, 0, 2, 0.25], [0, 0, 0, 1.0]])


def random_cloud(count: int, seed: int) -> Cloud:
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=(count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    colours = rng.integers(0, 256, (count, 3)).astype(np.uint8)
    return Cloud(rng.normal(size=(count, 3)), colours, normals, rng.uniform(1e-3, 1, count))


def read(path: Path) -> dict[str, NDArray[np.float64]]:
    """By trimesh, which knows nothing of splats."""
    data = trimesh.load(path).metadata["_ply_raw"]["vertex"]["data"]
    return {name: np.asarray(data[name], np.float64).reshape(-1) for name in PROPERTIES}


@given(st.integers(1, 30), st.integers(0, 10**6), st.booleans())
def test_what_is_written(
    tmp_path_factory: pytest.TempPathFactory, count: int, seed: int, turned: bool
) -> None:
    cloud, path = random_cloud(count, seed), tmp_path_factory.mktemp("splats") / "a.ply"
    similarity = SIMILARITY if turned else np.eye(4)
    save_splats(cloud, path, similarity)
    found = read(path)
    points = np.stack([found[axis] for axis in "xyz"], axis=1)
    assert np.allclose(points, cloud.points @ similarity[:3, :3].T + similarity[:3, 3], atol=1e-5)
    # What a viewer draws of it: the constant harmonic, a sigmoid, an exponential.
    colours = 0.5 + 0.28209479177387814 * np.stack([found[f"f_dc_{i}"] for i in range(3)], axis=1)
    assert np.allclose(255 * colours, cloud.colours, atol=1e-3)
    assert np.allclose(1 / (1 + np.exp(-found["opacity"])), 0.95)
    sizes = np.exp(np.stack([found[f"scale_{i}"] for i in range(3)], axis=1))
    scale = 2.0 if turned else 1.0
    assert np.allclose(sizes[:, :2], 0.6 * cloud.spacing[:, None] * scale, rtol=1e-5)
    assert (sizes[:, 2] < sizes[:, 0] / 2).all()
    # The thin axis is the normal.
    w, x, y, z = (found[f"rot_{i}"] for i in range(4))
    thin = Rotation.from_quat(np.stack([x, y, z, w], axis=1)).apply([0, 0, 1])
    assert np.allclose(thin, cloud.normals @ similarity[:3, :3].T / scale, atol=1e-5)


def test_normals_along_the_axis_and_none(tmp_path: Path) -> None:
    normals = np.array([[0, 0, 1], [0, 0, -1], [0, 0, 0]], np.float64)
    cloud = Cloud(np.zeros((3, 3)), np.zeros((3, 3), np.uint8), normals, np.ones(3))
    save_splats(cloud, tmp_path / "a.ply", np.eye(4))
    found = read(tmp_path / "a.ply")
    rotation = np.stack([found[f"rot_{i}"] for i in range(4)], axis=1)
    assert np.array_equal(rotation, [[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]])


def test_another_suffix(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in \.ply"):
        save_splats(random_cloud(2, 0), tmp_path / "a.splat", np.eye(4))
