"""The toy scene and untrained models of it: what is scored need not be good."""

from __future__ import annotations

from pathlib import Path

import pytest
import toy

from dac.fields.model import build_model, save_model


@pytest.fixture(scope="session")
def toy_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `scene`, `partition.json`, and the models `run0` and `run1`."""
    folder = tmp_path_factory.mktemp("runs")
    scene = toy.scene()
    scene.save(folder / "scene")
    toy.halves(scene).save(folder / "partition.json")
    for seed in (0, 1):
        run = folder / f"run{seed}"
        run.mkdir()
        model = build_model(toy.model_settings(), scene.space, seed)
        save_model(
            model, run, {"steps": 10 + seed, "seconds": 2.0 + seed, "memory_bytes": 10**9 + seed}
        )
    return folder
