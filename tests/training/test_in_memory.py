"""A phase in memory, by the loop of the workflow's runs: the same weights, and no files."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import toy
from torch import Tensor

from dac.conquer.distill import distill
from dac.conquer.objective import DistillObjective
from dac.errors import UserError
from dac.fields.model import Model, build_model, load_model
from dac.scenes.scene import Scene
from dac.settings import DistillSettings
from dac.storage.artifacts import read_json
from dac.training import images
from dac.training.batches import RayBatch, RayBatches
from dac.training.checkpoints import make_optimizer
from dac.training.curve import Progress
from dac.training.expert import train_expert
from dac.training.images import ImageObjective
from dac.training.keys import Stream, mix
from dac.training.loop import LoopSettings, train
from dac.training.probe import make_probe
from dac.training.schedules import learning_rate

MODEL = toy.model_settings()
# States are saved between all steps of the run with folders, and at no time of the other.
TRAIN = toy.train_settings(
    steps=12, rays=48, curve_points=3, curve_rays=64, warmup_steps=3, checkpoint_seconds=1e-9
)
DISTILL = DistillSettings(steps=12, rays=48, warmup_steps=3, horizon=24)
SEED = 5


def in_memory(objective: ImageObjective | DistillObjective, scene: Scene, horizon: int) -> Progress:
    rate = learning_rate(TRAIN.learning_rate, warmup=3, horizon=horizon)
    probe = make_probe(objective.model, scene, count=TRAIN.curve_rays)
    optimizer = make_optimizer(objective.model, eps=TRAIN.adam_eps)
    return train(objective, optimizer, probe, LoopSettings("toy", 12, rate, TRAIN.curve_points))


def images_of_group(model: Model, scene: Scene, group: int) -> ImageObjective:
    views = scene.indices(toy.halves(scene).groups[group])
    return ImageObjective(model, scene, views, TRAIN, mix(SEED, Stream.GROUP, group + 1))


def require_same(model: Model, end: Progress, folder: Path) -> None:
    written: dict[str, Tensor] = load_model(folder).state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, written[name]), name
    curve = read_json(folder / "curve.json")
    assert (end.curve.steps, end.curve.psnr, end.curve.losses, end.curve.lr) == (
        curve["steps"], curve["psnr"], curve["losses"], curve["lr"]
    )  # fmt: skip


def test_the_weights_are_the_workflows_bit_for_bit(toy_scene: Path, tmp_path: Path) -> None:
    partition, scene = toy_scene.parent / "partition.json", Scene.load(toy_scene)
    experts = []
    for group in (0, 1):
        out = tmp_path / f"expert{group}"
        train_expert(
            toy_scene, partition, group, MODEL, TRAIN, seed=SEED, out=out, state=tmp_path / "state"
        )
        expert = build_model(MODEL, scene.space, SEED)
        end = in_memory(images_of_group(expert, scene, group), scene, horizon=12)
        require_same(expert, end, out)
        experts.append(expert.requires_grad_(False))
    distill(
        toy_scene, partition, [tmp_path / "expert0", tmp_path / "expert1"], MODEL, TRAIN,
        DISTILL.model_copy(update={"learning_rate": TRAIN.learning_rate}), mode="corrected",
        seed=SEED, out=tmp_path / "student", state=tmp_path / "state",
    )  # fmt: skip
    student = build_model(MODEL, scene.space, mix(SEED, Stream.STUDENT))
    lessons = DistillObjective(
        student, experts, scene, toy.halves(scene), TRAIN, DISTILL, mode="corrected", seed=SEED
    )
    require_same(student, in_memory(lessons, scene, horizon=24), tmp_path / "student")


def test_it_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scene = toy.scene()
    model = build_model(MODEL, scene.space, 0)
    before = [parameter.clone() for parameter in model.parameters()]
    assert in_memory(images_of_group(model, scene, 0), scene, horizon=12).step == 12
    assert not any(map(torch.equal, before, model.parameters()))
    assert not list(tmp_path.iterdir())


def change_step_5(monkeypatch: pytest.MonkeyPatch, change: Callable[[RayBatch], RayBatch]) -> None:
    class Changed(RayBatches):
        def __call__(self, step: int) -> RayBatch:
            batch = super().__call__(step)
            return change(batch) if step == 5 else batch

    monkeypatch.setattr(images, "RayBatches", Changed)


def test_one_that_diverges_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    change_step_5(monkeypatch, lambda batch: replace(batch, rgb=batch.rgb * math.nan))
    scene = toy.scene()
    model = build_model(MODEL, scene.space, 0)
    with pytest.raises(UserError) as caught:
        in_memory(images_of_group(model, scene, 0), scene, horizon=12)
    assert str(caught.value) == (
        "toy: the loss 'photometric' is nan in step 5; "
        "lower the learning rate, or look for damaged images or poses"
    )
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_one_that_is_told_to_go_goes_after_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(batch: RayBatch) -> RayBatch:
        signal.raise_signal(signal.SIGTERM)
        return batch

    change_step_5(monkeypatch, told)
    scene = toy.scene()
    model = build_model(MODEL, scene.space, 0)
    with pytest.raises(SystemExit) as left:
        in_memory(images_of_group(model, scene, 0), scene, horizon=12)
    assert left.value.code == 128 + signal.SIGTERM
