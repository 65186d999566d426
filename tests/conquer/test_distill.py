"""Distillation: nothing to learn from oneself, something from two experts; resumable."""

from __future__ import annotations

import copy
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import toy

from dac.conquer import distill as conquer
from dac.conquer.lessons import TaughtRays, ask_experts
from dac.conquer.objective import (
    DistillObjective,
    ask_student,
    distill_weights,
    distillation_terms,
)
from dac.divide.partition import Partition
from dac.errors import UserError
from dac.fields.model import Model, build_model
from dac.fields.protocol import Rays
from dac.ops.rays import Lesson
from dac.scenes.scene import Scene
from dac.settings import DistillSettings, Mode
from dac.storage.artifacts import read_json
from dac.training import loop
from dac.training.batches import RayBatches
from dac.training.expert import train_expert

MODEL = toy.model_settings()
TRAIN = toy.train_settings(steps=45, rays=128, curve_points=3, curve_rays=256)
SHORT = toy.train_settings(curve_points=3, curve_rays=64)
CPU = torch.device("cpu")
MODES: list[Mode] = ["paper", "corrected"]


def some_rays(model: Model, count: int = 64) -> Rays:
    scene = toy.scene()
    batch = RayBatches(scene, scene.train, rays=count, seed=0, background="white", device=CPU)(0)
    return model.make_rays(batch.origins, batch.directions)


def lively(seed: int) -> Model:
    """A model whose densities vary enough for alpha to be neither 0 nor 1."""
    model = build_model(MODEL, toy.scene(size=2).space, seed)
    with torch.no_grad():
        for plane in model.field.planes:
            plane.mul_(4).sub_(1)
    return model


def opaque(seed: int) -> Model:
    """A model with surfaces: weights gather in few bins."""
    model = lively(seed)
    with torch.no_grad():
        model.field.density[-1][0].mul_(8)
    return model


@pytest.mark.usefixtures("plain_torch")
@pytest.mark.parametrize("mode", MODES)
def test_copied_weights_leave_nothing_to_learn(mode: Mode) -> None:
    expert = lively(0)
    student = copy.deepcopy(expert)
    rays = some_rays(expert)
    lesson = ask_experts([expert], rays, [len(rays)], [1])
    assert 0.01 < lesson.alpha.mean() < 0.99
    answer = ask_student(student, rays, lesson, key=2)
    weights = distill_weights(DistillSettings(), TRAIN, mode)
    terms = distillation_terms(lesson, answer, torch.tensor([0.2, 0.5, 0.9]), weights, mode)
    exact = set(terms) - {"histogram"}
    assert {name: terms[name].item() for name in exact} == dict.fromkeys(exact, 0.0)


def test_the_students_alpha_has_the_experts_spacing() -> None:
    expert, student = lively(0), lively(1)
    rays = some_rays(expert)
    lesson = ask_experts([expert], rays, [len(rays)], [1])
    answer = ask_student(student, rays, lesson, key=None)
    sigma, colours = student.query(rays, lesson.t)
    alpha = 1 - torch.exp(-sigma * (lesson.t[:, 1:] - lesson.t[:, :-1]))
    assert torch.allclose(answer.alpha, alpha, atol=1e-6)
    through = torch.ones(len(rays))
    rgb = torch.zeros(len(rays), 3)
    for i in range(alpha.shape[1]):
        rgb += (through * alpha[:, i])[:, None] * colours[:, i]
        through = through * (1 - alpha[:, i])
    assert torch.allclose(answer.rgb, rgb, atol=1e-5)
    assert torch.allclose(answer.accumulation, 1 - through, atol=1e-5)


def test_the_experts_are_jittered_and_constant() -> None:
    expert = lively(0).eval()
    rays = some_rays(expert)
    one, same, other = (ask_experts([expert], rays, [len(rays)], [key]) for key in (1, 1, 2))
    assert torch.equal(one.t, same.t) and not torch.equal(one.t, other.t)
    assert not any(getattr(one, name).requires_grad for name in Lesson._fields)


def test_each_ray_is_taught_by_its_expert() -> None:
    experts = [lively(0), lively(1), lively(2)]
    rays = some_rays(experts[0], 30)
    lesson = ask_experts(experts, rays, [10, 0, 20], [5, 6, 7])
    first, first_samples = experts[0].sample(rays[:10], key=5)
    last, last_samples = experts[2].sample(rays[10:], key=7)
    assert torch.equal(lesson.rgb, torch.cat([first.rgb, last.rgb]))
    assert torch.equal(lesson.s, torch.cat([first_samples.s, last_samples.s]))


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_rays_come_ordered_by_their_groups(share: float) -> None:
    scene = toy.scene()
    partition = toy.halves(scene)
    settings = DistillSettings(rays=200, novel_share=share)
    batches = TaughtRays(scene, partition, TRAIN, settings, seed=0, device=CPU)
    origins, directions, background, counts = batches(7)
    assert background.shape == (3,)
    assert len(origins) == len(directions) == sum(counts) == 200 and min(counts) > 60
    # The halves are halves in azimuth: the first has y > 0 but for what lies on the border.
    side = torch.cat([torch.ones(counts[0]), -torch.ones(counts[1])])
    assert (torch.sign(origins[:, 1]) == side).float().mean() > 0.99
    novel = round(share * 200)
    centres = scene.cameras.centres.float()
    known = (torch.cdist(origins, centres).min(dim=1).values < 1e-5).sum()
    assert 200 - novel <= known <= 200 - novel + 5
    again = TaughtRays(scene, partition, TRAIN, settings, seed=0, device=CPU)(7)
    assert torch.equal(origins, again[0]) and torch.equal(directions, again[1])


@pytest.mark.parametrize("mode", MODES)
def test_proposals_learn_at_every_step(mode: Mode) -> None:
    scene = toy.scene()
    student = build_model(MODEL, scene.space, 9)
    train = toy.train_settings(proposal_update_every=5, proposal_update_ramp=0)
    objective = DistillObjective(
        student,
        [opaque(0), opaque(1)],
        scene,
        toy.halves(scene),
        train,
        DistillSettings(rays=64),
        mode=mode,
        seed=0,
    )
    for step in (0, 1, 2, 3001, 3002, 3003):
        student.zero_grad()
        terms = objective.terms(objective.draw(step))
        assert ("accumulation" in terms) == (mode == "corrected")
        assert {"distortion", "interlevel", "plane_tv", "proposal_tv"} < set(terms)
        gradients = torch.autograd.grad(
            terms["histogram"], list(student.proposal_fields.parameters())
        )
        assert all(gradient.abs().max() > 0 for gradient in gradients)


def test_the_modes_weigh_their_own_losses() -> None:
    expert, student = lively(0), lively(1)
    rays = some_rays(expert)
    lesson = ask_experts([expert], rays, [len(rays)], [1])
    answer = ask_student(student, rays, lesson, key=None)
    background = torch.zeros(3)
    paper, corrected = (
        distillation_terms(
            lesson, answer, background, distill_weights(DistillSettings(), TRAIN, mode), mode
        )
        for mode in MODES
    )
    assert list(paper) == ["alpha", "colour", "histogram", "rendered"]
    mean = (answer.alpha - lesson.alpha).square().mean()
    assert torch.allclose(paper["alpha"], 0.2 * mean)
    assert torch.allclose(corrected["alpha"], 0.5 * mean)
    assert torch.allclose(paper["rendered"] / 0.3, corrected["rendered"] / 1.0)
    colour = (answer.colours - lesson.colours).square()
    assert torch.allclose(paper["colour"], 0.2 * colour.mean())
    weighted = (lesson.weights[..., None] * colour).sum(dim=1).mean()
    assert torch.allclose(corrected["colour"], 0.5 * weighted)
    assert paper["histogram"] > corrected["histogram"]


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
    scene: Path, experts: list[Path], out: Path, *, mode: Mode = "corrected", **changes: Any
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
