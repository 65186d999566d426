"""A small results folder of the toy scene: one trained model, one that isn't, groups and points."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy

from dac.fields.model import build_model, save_model
from dac.scenes.points import Points
from dac.training.baseline import train_baseline

TRAINED, UNTRAINED = "baseline, 150 steps", "expert 0 (azimuth, K = 2)"


@pytest.fixture(scope="session")
def toy_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    folder = results / "toy"
    scene = toy.scene()
    scene.save(folder / "scene")
    toy.halves(scene).save(folder / "azimuth-2" / "partition.json")
    sphere_points(40).save(folder / "points" / "points.npz")
    train_baseline(
        folder / "scene",
        toy.model_settings(),
        toy.train_settings(steps=150),
        steps=150,
        seed=0,
        out=folder / "kplanes/seed0/baseline-150",
        state=results / "state",
    )
    expert = folder / "kplanes/seed0/azimuth-2/expert0"
    expert.mkdir(parents=True)
    save_model(build_model(toy.model_settings(), scene.space, 1), expert, {})
    return results


@pytest.fixture(scope="session")
def _viser_server() -> Iterator[Any]:
    viser = pytest.importorskip("viser")
    with redirect_stdout(io.StringIO()):
        server = viser.ViserServer("127.0.0.1", 0, verbose=False)
        yield server
        server.stop()


@pytest.fixture
def viser_server(_viser_server: Any) -> Any:
    """A server of viser's with an empty scene and panel, and nobody looking."""
    _viser_server.scene.reset()
    _viser_server.gui.reset()
    return _viser_server


def sphere_points(count: int) -> Points:
    """Points on the toy's sphere: even ones are seen by views 0 and 2, odd ones by 12 and 14."""
    normals = np.random.default_rng(0).normal(size=(count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    views = np.where(np.arange(count)[:, None] % 2 == 0, [0, 2], [12, 14]).astype(np.int32)
    return Points(
        xyz=(toy.RADIUS * normals).astype(np.float32),
        rgb=np.full((count, 3), 128, np.uint8),
        offsets=2 * np.arange(count + 1),
        views=views.ravel(),
        error=np.zeros(count, np.float32),
    )
