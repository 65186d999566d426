"""Eq. 8 against loops; nothing to learn from oneself; the modes."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import toy
from torch import Tensor
from toy_models import MODEL, MODES, lively, opaque, some_rays

from dac.conquer.lessons import ask_experts
from dac.conquer.objective import (
    Answer,
    DistillObjective,
    ask_student,
    distill_weights,
    distillation_terms,
)
from dac.divide.partition import Partition
from dac.fields.model import build_model
from dac.fields.protocol import Histogram
from dac.ops import memory
from dac.ops.backend import Backend, using
from dac.ops.rays import DistillWeights, Lesson, new_gradients
from dac.settings import DistillSettings, Mode
from dac.training.losses import regularisers

F64 = torch.float64
WEIGHTS = DistillWeights(0.5, 2.0, 0.3, 1.5, 0.1, 0.02, 0.7)
BACKGROUND = torch.tensor([0.2, 0.5, 0.9], dtype=F64)


def edges(rays: int, bins: int) -> Tensor:
    return torch.rand(rays, bins + 1, dtype=F64).sort().values


def weights_of(alpha: Tensor) -> Tensor:
    through = torch.cumprod(torch.cat([torch.ones_like(alpha[:, :1]), 1 - alpha[:, :-1]], 1), 1)
    return alpha * through


def made_up(seed: int) -> tuple[Lesson, Answer]:
    """What an expert and a student might say: random numbers in random shapes."""
    torch.manual_seed(seed)
    R, S, *P = torch.randint(1, 9, (4,)).tolist()
    said = []
    for _ in range(2):
        alpha, colours = torch.rand(R, S, dtype=F64), torch.rand(R, S, 3, dtype=F64)
        weights = weights_of(alpha)
        said.append(
            (alpha, weights, colours, (weights[..., None] * colours).sum(1), weights.sum(1))
        )
    levels = []
    for bins in P:
        s = edges(R, bins)
        levels.append(Histogram(s, s, s.diff(), 0.5 * weights_of(torch.rand(R, bins, dtype=F64))))
    s = edges(R, S)
    return Lesson(s, s, *said[0]), Answer(*said[1], tuple(levels))


def outer_bound(s: Tensor, mass: Tensor, level: Histogram) -> float:
    """mip-NeRF 360, Eq. 13, by loops: mean over rays and bins."""
    total = 0.0
    for r in range(len(s)):
        for i in range(mass.shape[1]):
            bound = sum(
                level.weights[r, j].item()
                for j in range(level.weights.shape[1])
                if level.s[r, j] < s[r, i + 1] and level.s[r, j + 1] > s[r, i]
            )
            total += max(0.0, mass[r, i].item() - bound) ** 2 / (mass[r, i].item() + 1e-7)
    return total / mass.numel()


def by_loops(lesson: Lesson, answer: Answer, paper: bool) -> dict[str, float]:
    """Eq. 5 to 7 and what is rendered, ray by ray and sample by sample; not weighted."""
    R, S = lesson.alpha.shape
    rays = range(R)
    alpha = colour = rendered = accumulation = 0.0
    for r in rays:
        for i in range(S):
            alpha += (answer.alpha[r, i] - lesson.alpha[r, i]).item() ** 2 / (R * S)
            share = 1 / S if paper else lesson.weights[r, i].item()
            for channel in range(3):
                miss = (answer.colours[r, i, channel] - lesson.colours[r, i, channel]).item()
                colour += share * miss**2 / (3 * R)
        for channel in range(3):
            shown = [
                said.rgb[r, channel] + (1 - said.accumulation[r]) * BACKGROUND[channel]
                for said in (answer, lesson)
            ]
            rendered += (shown[0] - shown[1]).item() ** 2 / (3 * R)
        accumulation += (answer.accumulation[r] - lesson.accumulation[r]).item() ** 2 / R
    mass = lesson.alpha if paper else lesson.weights
    histogram = sum(outer_bound(lesson.s, mass, level) for level in answer.proposals)
    terms = {"alpha": alpha, "colour": colour, "histogram": histogram, "rendered": rendered}
    return terms if paper else {**terms, "accumulation": accumulation}


def original_by_loops(lesson: Lesson, answer: Answer) -> dict[str, float]:
    """L_orig less its photometric term and total variation: mip-NeRF 360's Eq. 15 and 13."""
    R, S = lesson.alpha.shape
    distortion = 0.0
    for r in range(R):
        w, s = answer.weights[r].tolist(), lesson.s[r].tolist()
        for i in range(S):
            distortion += w[i] ** 2 * (s[i + 1] - s[i]) / 3 / R
            for j in range(S):
                apart = abs((s[i] + s[i + 1]) / 2 - (s[j] + s[j + 1]) / 2)
                distortion += w[i] * w[j] * apart / R
    bounds = [outer_bound(lesson.s, answer.weights, level) for level in answer.proposals]
    return {"distortion": distortion, "interlevel": sum(bounds)}


@pytest.mark.usefixtures("plain_torch")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(8))
def test_equation_8_against_loops(seed: int, mode: Mode) -> None:
    lesson, answer = made_up(seed)
    train = toy.train_settings(
        distortion=WEIGHTS.distortion,
        interlevel=WEIGHTS.interlevel,
        plane_tv=0.01,
        proposal_tv=0.02,
    )
    model = build_model(MODEL, toy.scene(size=2).space, 0)
    expected = {**by_loops(lesson, answer, mode == "paper"), **original_by_loops(lesson, answer)}
    expected = {name: getattr(WEIGHTS, name) * value for name, value in expected.items()}
    for name, weight, fields in (
        ("plane_tv", train.plane_tv, [model.field]),
        ("proposal_tv", train.proposal_tv, model.proposal_fields),
    ):
        planes = [plane.double() for field in fields for plane in field.planes]
        expected[name] = weight * sum(
            3 * (plane.diff(dim=1).square().mean() + plane.diff(dim=2).square().mean()).item()
            for plane in planes
        )
    terms = distillation_terms(lesson, answer, BACKGROUND, WEIGHTS, mode)
    terms |= regularisers(
        model, train, lesson.s, answer.weights, answer.proposals, proposals_learn=True
    )
    assert list(terms) == list(expected)
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-5, abs=1e-12), name
    total = torch.stack([term.double() for term in terms.values()]).sum()
    assert total.item() == pytest.approx(math.fsum(expected.values()), rel=1e-5)


@pytest.mark.usefixtures("plain_torch")
@pytest.mark.parametrize("mode", MODES)
def test_gradients_of_the_terms(mode: Mode) -> None:
    lesson, answer = made_up(3)

    def total(alpha: Tensor, colours: Tensor, *weights: Tensor) -> Tensor:
        seen = weights_of(alpha)
        levels = tuple(
            Histogram(level.s, level.t, level.sigma, w)
            for level, w in zip(answer.proposals, weights, strict=True)
        )
        rgb, accumulation = (seen[..., None] * colours).sum(1), seen.sum(1)
        said = Answer(alpha, seen, colours, rgb, accumulation, levels)
        terms = distillation_terms(lesson, said, BACKGROUND, WEIGHTS, mode)
        return torch.stack(list(terms.values())).sum()

    inputs = [answer.alpha, answer.colours, *(level.weights for level in answer.proposals)]
    assert torch.autograd.gradcheck(total, [value.requires_grad_() for value in inputs])


def taken(objective: DistillObjective, step: int) -> tuple[dict[str, float], dict[str, Tensor]]:
    """A step's terms without total variation, and their gradients, by the backend in use."""
    batch = objective.draw(step)
    assert 0.01 < batch.supervision.alpha.mean() < 0.99
    parameters = dict(objective.model.named_parameters())
    model = objective.model.kernel_model()
    if model is None:
        terms = objective.terms(batch)
        total = torch.stack(list(terms.values())).sum()
        slopes = torch.autograd.grad(total, list(parameters.values()))
        values = {name: term.item() for name, term in terms.items()}
    else:
        flat = new_gradients(model.parameters)
        learnt = objective.add_gradients(model, flat, batch.tensors(), batch.part, batch.learn)
        slopes = tuple(memory.views(flat.sum(dim=0), model.parameters))
        values = dict(zip(DistillWeights._fields, learnt.tolist(), strict=True))
    return values, dict(zip(parameters, slopes, strict=True))


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("mode", MODES)
def test_copied_weights_leave_nothing_to_learn(mode: Mode, backend: Backend) -> None:
    """No loss and no gradient but for the bound on the proposals, which is their own business."""
    scene, expert = toy.scene(), opaque(0)
    train = toy.train_settings(distortion=0.0, interlevel=0.0, plane_tv=0.0, proposal_tv=0.0)
    names = tuple(scene.names[view] for view in scene.train)
    alone = Partition("single", (names,), dict.fromkeys(names, 0))
    objective = DistillObjective(
        copy.deepcopy(expert), [expert], scene, alone, train, DistillSettings(rays=64),
        mode=mode, seed=0,
    )  # fmt: skip
    with using(backend):
        terms, slopes = taken(objective, 3)
    assert {name for name, value in terms.items() if value} <= {"histogram"}
    for name, slope in slopes.items():
        assert name.startswith("proposal_fields.") or not slope.any(), name


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("mode", MODES)
def test_another_expert_leaves_something_to_learn(mode: Mode, backend: Backend) -> None:
    """So that the test above can fail: every term, and every parameter's gradient."""
    scene = toy.scene()
    objective = DistillObjective(
        opaque(2), [opaque(0), opaque(1)], scene, toy.halves(scene), toy.train_settings(),
        DistillSettings(rays=64), mode=mode, seed=0,
    )  # fmt: skip
    with using(backend):
        terms, slopes = taken(objective, 3)
    resting = {"accumulation"} if mode == "paper" else set()
    assert {name for name, value in terms.items() if not value} == resting & set(terms)
    assert all(slope.any() for slope in slopes.values())


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
            lesson,
            answer,
            background,
            distill_weights(DistillSettings(), toy.train_settings(), mode),
            mode,
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
