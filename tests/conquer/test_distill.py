"""The phase: two experts teach one student, again bit for bit after a stop."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from toy_models import MODEL, MODES

from dac.conquer import distill as conquer
from dac.conquer.objective import DistillObjective
from dac.divide.partition import Partition
from dac.errors import UserError
from dac.fields.model import Model, build_model, load_model, save_model
from dac.scenes.scene import Scene
from dac.settings import DistillSettings, Mode
from dac.storage.artifacts import read_json
from dac.training import loop
from dac.training.expert import train_expert

TRAIN = toy.train_settings(steps=45, rays=128, curve_points=3, curve_rays=256)
SHORT = toy.train_settings(curve_points=3, curve_rays=64)


@pytest.fixture(scope="module")
def experts(toy_scene: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("experts")
    for group in (0, 1):
        train_expert(
            toy_scene,
            toy_scene.parent / "partition.json",
            group,
            MODEL,
            TRAIN,
            seed=0,
            out=folder / str(group),
            state=folder / "state",
        )
    return [folder / "0", folder / "1"]


def distil(
    scene: Path,
    experts: list[Path],
    out: Path,
    *,
    mode: Mode = "corrected",
    init: Path | None = None,
    **changes: Any,
) -> None:
    settings = DistillSettings(**{"steps": 12, "rays": 48, "warmup_steps": 3, **changes})
    conquer.distill(
        scene,
        scene.parent / "partition.json",
        experts,
        MODEL,
        SHORT,
        settings,
        mode=mode,
        seed=0,
        out=out,
        state=out.with_suffix(".state"),
        init=init,
    )


@pytest.mark.parametrize("mode", MODES)
def test_two_experts_teach_one_student(
    mode: Mode, toy_scene: Path, experts: list[Path], tmp_path: Path
) -> None:
    distil(toy_scene, experts, tmp_path / "out", mode=mode, steps=75, rays=128, novel_share=0.25)
    curve = read_json(tmp_path / "out" / "curve.json")
    for name in ("alpha", "colour", "rendered"):
        assert curve["losses"][name][-1] < curve["losses"][name][0] / 2
    # The student sees all around, where each expert has seen one half.
    seen = [read_json(folder / "curve.json")["psnr"][-1] for folder in experts]
    assert curve["psnr"][-1] > max(seen)
    record = read_json(tmp_path / "out" / "model.json")
    assert record["stage"] == "distill" and record["stage_settings"]["mode"] == mode
    assert {"expert0/model.safetensors", "expert1/model.safetensors"} < set(record["inputs"])


@pytest.mark.parametrize("mode", MODES)
def test_a_resumed_distillation_equals_the_uninterrupted_one(
    mode: Mode,
    toy_scene: Path,
    experts: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    distil(toy_scene, experts, tmp_path / "whole", mode=mode, novel_share=0.5)
    real, count = loop.LossReader.add, [0]

    def add(*arguments: Any) -> None:
        count[0] += 1
        if count[0] == 5:
            signal.raise_signal(signal.SIGUSR1)
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop.LossReader, "add", add)
        with pytest.raises(SystemExit):
            distil(toy_scene, experts, tmp_path / "resumed", mode=mode, novel_share=0.5)
    assert not (tmp_path / "resumed").exists()
    distil(toy_scene, experts, tmp_path / "resumed", mode=mode, novel_share=0.5)
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (
            tmp_path / "resumed" / name
        ).read_bytes()


def test_a_missing_expert_is_a_users_mistake(
    toy_scene: Path, experts: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="has 2 groups, but 1 experts came"):
        distil(toy_scene, experts[:1], tmp_path / "out")
    with pytest.raises(UserError, match="no such file"):
        distil(toy_scene, [experts[0], tmp_path / "nowhere"], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_student_that_starts_as_its_only_expert_has_nothing_to_learn(
    toy_scene: Path, experts: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms: list[dict[str, float]] = []

    def watch(_phase: Any, _scene: Any, objective: DistillObjective, *_: Any, **__: Any) -> None:
        said = objective.terms(objective.draw(0))
        terms.append({name: value.item() for name, value in said.items()})

    monkeypatch.setattr(conquer, "train_phase", watch)
    distil(toy_scene, experts[:1] * 2, tmp_path / "out", init=experts[0])
    distil(toy_scene, experts, tmp_path / "out", init=experts[0])
    alone, other = terms
    taught = ("alpha", "colour", "rendered", "accumulation")
    assert max(alone[name] for name in taught) < 1e-14  # roundings, squared
    assert min(other[name] for name in taught) > 1e-6


def test_a_student_starts_from_the_given_weights_of_the_same_model(
    toy_scene: Path, experts: list[Path], tmp_path: Path
) -> None:
    distil(toy_scene, experts, tmp_path / "out", init=experts[1], steps=1, learning_rate=1e-9)
    ours, theirs = (load_model(folder).state_dict() for folder in (tmp_path / "out", experts[1]))
    assert all(torch.allclose(ours[name], value, atol=1e-6) for name, value in theirs.items())
    assert "init/model.safetensors" in read_json(tmp_path / "out" / "model.json")["inputs"]
    save_model(build_model(toy.model_settings(channels=4), toy.scene().space, 0), tmp_path, {})
    with pytest.raises(UserError, match="holds a model of other settings"):
        distil(toy_scene, experts, tmp_path / "other", init=tmp_path)


def test_the_student_starts_from_its_own_initialisation(
    toy_scene: Path, experts: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    students: list[Model] = []

    def watch(_phase: Any, _scene: Any, objective: DistillObjective, *_: Any, **__: Any) -> None:
        students.append(objective.model)

    monkeypatch.setattr(conquer, "train_phase", watch)
    distil(toy_scene, experts, tmp_path / "out")
    distil(toy_scene, experts, tmp_path / "out")
    scene = Scene.load(toy_scene)
    init = build_model(MODEL, scene.space, 0)
    a, b, c = (model.state_dict() for model in (*students, init))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not any(torch.equal(a[name], c[name]) for name in a)
    assert Partition.load(toy_scene.parent / "partition.json").count == 2
