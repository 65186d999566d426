"""A results folder as the workflow leaves it, with untrained models of the toy scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toy

from dac.evaluation.evaluate import evaluate_model
from dac.fields.model import build_model, save_model
from dac.settings import EvaluateSettings

NAMES = ("baseline-20", "azimuth-2/expert1")
SIMILARITY = np.array(  # a quarter turn about z, twice the size, moved
    [[0.0, -2.0, 0.0, 0.5], [2.0, 0.0, 0.0, -1.0], [0.0, 0.0, 2.0, 0.25], [0.0, 0.0, 0.0, 1.0]]
)


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`toy` with a baseline that was evaluated and an expert that was not."""
    folder = tmp_path_factory.mktemp("results")
    scene = toy.scene()
    object.__setattr__(scene, "world_from_data", SIMILARITY)
    scene.save(folder / "toy/scene")
    for seed, name in enumerate(NAMES):
        run = folder / "toy/kplanes/seed0" / name
        run.mkdir(parents=True)
        record = {
            "seed": 0,
            "steps": 20,
            "seconds": 2.0,
            "memory_bytes": 10**8,
            "versions": {"dac": "0.1.0", "torch": "2.11.0"},
        }
        save_model(build_model(toy.model_settings(), scene.space, seed), run, record)
    label = {"method": "baseline-1x", "model": "kplanes", "seed": 0, "steps": 20}
    evaluate_model(
        folder / "toy/scene",
        folder / "toy/kplanes/seed0/baseline-20",
        EvaluateSettings(test_views=2, pictures=0),
        label,
        folder / "toy/kplanes/seed0/baseline-20/evaluation",
        state=folder / "state",
    )
    return folder
