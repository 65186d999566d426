"""A results folder as the workflow leaves it, with untrained models of the toy scene."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import toy
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dac.catalogue import choose_model
from dac.conquer.routed import RoutedModel, save_routed
from dac.divide.router import Router
from dac.evaluation.evaluate import evaluate_model
from dac.export.publish import export_model
from dac.fields.model import build_model, save_model
from dac.scenes.scene import Scene
from dac.settings import EvaluateSettings

NAMES = ("baseline-20", "azimuth-2/expert1")
ROUTED = "louvain-2/trunk-5-of-20/routed"
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
    experts = [build_model(toy.model_settings(), scene.space, seed) for seed in range(3)]
    poses = scene.cameras.world_from_camera[list(scene.train)].numpy()
    owner = np.arange(len(poses)) * 2 // len(poses)
    run = folder / "toy/kplanes/seed0" / ROUTED
    run.mkdir(parents=True)
    router = Router("poses", 2, 0.2, poses, owner, generalist=np.array([0.0, 0.4]))
    save_routed(RoutedModel(experts, router), run, 1.3, record)
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


@pytest.fixture(scope="session")
def exported(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy's baseline in one file."""
    out = tmp_path_factory.mktemp("exported") / "toy.safetensors"
    trained = choose_model(results, "toy", "baseline")
    export_model(Scene.load(results / "toy/scene"), trained, out, out.with_suffix(".md"))
    return out


@pytest.fixture(scope="session")
def routed(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two experts of the toy, a generalist and their router in one file."""
    out = tmp_path_factory.mktemp("routed") / "routed.safetensors"
    trained = choose_model(results, "toy", "routed")
    export_model(Scene.load(results / "toy/scene"), trained, out, out.with_suffix(".md"))
    return out


@pytest.fixture(scope="session")
def version_1(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as the first version of the format had it: without the training views' cameras."""
    out = tmp_path_factory.mktemp("version_1") / "toy.safetensors"
    with safe_open(exported, "pt") as opened:
        contents = json.loads(opened.metadata()["dac"])
    tensors = load_file(exported)
    weights = {name: tensors[name] for name in sorted(tensors) if not name.startswith("views.")}
    digest = hashlib.sha256()
    for name, value in weights.items():
        digest.update(name.encode() + b"\0" + value.numpy().astype("<f4").tobytes())
    del contents["views"]
    contents |= {"version": 1, "weights_sha256": digest.hexdigest()}
    save_file(weights, out, {"format": "pt", "dac": json.dumps(contents)})
    return out
