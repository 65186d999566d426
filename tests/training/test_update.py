"""The whole-ray kernels compute the very step that the losses and autograd do."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import toy
from torch import Tensor

from dac.conquer.objective import DistillObjective
from dac.fields.model import Model, build_model
from dac.ops import memory
from dac.ops import rays as kernels
from dac.ops.backend import using
from dac.ops.rays import KernelModel
from dac.settings import DistillSettings, Mode, ModelSettings
from dac.training.checkpoints import make_optimizer
from dac.training.images import ImageObjective, Pixels
from dac.training.losses import Terms
from dac.training.objective import Batch
from dac.training.update import KernelAdam, kernel_model, make_update

MODELS = {
    "common widths": ModelSettings(
        resolution=12, scales=(1, 2), channels=16, proposal_resolutions=(12, 20),
        proposal_samples=(24, 16), samples=12, hidden=64,
    ),
    "wide": ModelSettings(
        resolution=9, scales=(1, 3), channels=32, proposal_resolutions=(8, 11),
        proposal_samples=(17, 16), samples=10, hidden=48, colour_layers=1,
    ),
    "odd widths": ModelSettings(
        resolution=7, scales=(1, 2, 3), channels=5, proposal_channels=3,
        proposal_resolutions=(5, 9), proposal_samples=(19, 13), samples=9, hidden=20,
        geometry_features=16, colour_layers=3,
    ),
}  # fmt: skip
MODES: list[Mode] = ["paper", "corrected"]


def lively(settings: ModelSettings, seed: int, kind: str = "box") -> Model:
    """A model with surfaces, in the toy scene's box or all of space."""
    where = toy.scene(size=2).space
    if kind == "contraction":
        where = replace(where, kind="contraction", near=0.05, far=1000.0)
    model = build_model(settings, where, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn(parameter.shape, generator=generator))
        model.field.density[-1][0].mul_(5)
    return model


Objective = ImageObjective | DistillObjective


def kernel_gradients(
    objective: Objective, step: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Terms but for total variation, and gradients by parameter, of a step by the kernels."""
    model = objective.model.kernel_model()
    assert model is not None
    gradients = kernels.new_gradients(model.parameters)
    batch = objective.draw(step)
    values = objective.add_gradients(model, gradients, batch.tensors(), batch.part, batch.learn)
    parts = memory.views(gradients.sum(dim=0), model.parameters)
    by_name = zip(dict(objective.model.named_parameters()), parts, strict=True)
    return dict(zip(objective.kernel_terms, values, strict=True)), dict(by_name)


def assert_same(objective: Objective, step: int) -> None:
    model = objective.model
    with using("native"):
        terms, gradients = kernel_gradients(objective, step)
    model.zero_grad()
    with using("reference"):
        expected = objective.terms(objective.draw(step))
    smooth = {name: value for name, value in expected.items() if not name.endswith("_tv")}
    assert all(not terms[name] for name in set(terms) - set(smooth))
    for name, value in smooth.items():
        torch.testing.assert_close(terms[name], value.detach(), rtol=2e-4, atol=1e-9)
    sum(smooth.values()).backward()  # type: ignore[union-attr]
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            assert not gradients[name].any(), name
            continue
        ours, theirs = gradients[name].double().flatten(), parameter.grad.double().flatten()
        assert theirs.norm() > 0, name
        assert torch.dot(ours, theirs) / (ours.norm() * theirs.norm()) > 0.9999, name
        assert (ours - theirs).norm() < 0.01 * theirs.norm(), name


@pytest.mark.parametrize("learns", [True, False])
@pytest.mark.parametrize("kind", ["box", "contraction"])
@pytest.mark.parametrize("shape", MODELS)
def test_gradients_on_images(shape: str, kind: str, learns: bool) -> None:
    scene, model = toy.scene(), lively(MODELS[shape], 0, kind)
    every = 1 if learns else 10**6
    train = toy.train_settings(rays=37, proposal_update_every=every, proposal_update_ramp=0)
    assert_same(ImageObjective(model, scene, scene.train, train, 0), 3)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", MODELS)
def test_gradients_of_distillation(shape: str, mode: Mode) -> None:
    scene, train = toy.scene(), toy.train_settings()
    student, *teachers = (lively(MODELS[shape], seed) for seed in range(3))
    settings = DistillSettings(rays=41, novel_share=0.2)
    objective = DistillObjective(
        student, teachers, scene, toy.halves(scene), train, settings, mode=mode, seed=0
    )
    assert_same(objective, 2)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_updates_are_those_of_torch(threads: int) -> None:
    """Total variation and Adam: several steps, of which some leave the proposals alone."""
    scene = toy.scene()
    train = toy.train_settings(
        rays=16, plane_tv=0.05, proposal_tv=0.2, proposal_update_every=3, proposal_update_ramp=0
    )
    ours = lively(MODELS["odd widths"], 0)
    theirs = copy.deepcopy(ours)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        results = {}
        for name, model in (("native", ours), ("reference", theirs)):
            optimizer = make_optimizer(model, eps=train.adam_eps)
            with using(name):  # type: ignore[arg-type]
                objective = ImageObjective(model, scene, scene.train, train, 0)
                update = make_update(objective, optimizer, 1)
                results[name] = [update(step, 1e-3) for step in range(7)]
    finally:
        torch.set_num_threads(before)
    for got, expected in zip(*results.values(), strict=True):
        assert got.names == expected.names
        torch.testing.assert_close(got.terms, expected.terms, rtol=1e-3, atol=1e-7)
        torch.testing.assert_close(got.gradient_norm, expected.gradient_norm, rtol=1e-3, atol=0)
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        # Adam turns a gradient's sign into a whole step where the gradient is rounding alone.
        assert (a - b).abs().mean() < 2e-5 and (a - b).norm() < 1e-3 * b.norm(), name


@pytest.mark.parametrize("threads", [2, 3])
def test_a_number_of_threads_gives_the_same_bits_every_time(threads: int) -> None:
    scene, train = toy.scene(), toy.train_settings(rays=50)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        models, terms = [], []
        for _ in range(2):
            model = lively(MODELS["common widths"], 0)
            with using("native"):
                objective = ImageObjective(model, scene, scene.train, train, 0)
                update = make_update(objective, make_optimizer(model, eps=train.adam_eps), 1)
                terms.append(torch.stack([update(step, 1e-2).terms for step in range(5)]))
            models.append(model)
    finally:
        torch.set_num_threads(before)
    one, two = models
    assert torch.equal(*terms)
    for (name, a), b in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_the_kernels_adam_is_torchs() -> None:
    """The same gradients through both, to rounding."""
    model = lively(MODELS["odd widths"], 1)
    twin = copy.deepcopy(model)
    optimizers = [make_optimizer(m, eps=1e-15) for m in (model, twin)]
    optimizers[1].param_groups[0]["lr"] = 1e-2
    adam = KernelAdam(model, optimizers[0], {"plane_tv": 0.0, "proposal_tv": 0.0})
    parts = memory.views(adam.gradients[0], list(model.parameters()))
    for step in range(4):
        for part, parameter in zip(parts, twin.parameters(), strict=True):
            generator = torch.Generator().manual_seed(step)
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            part.copy_(parameter.grad)
        _, norm = adam.apply(adam.rates(1e-2, proposals_learn=True), proposals_learn=True)
        adam.count(proposals_learn=True)
        optimizers[1].step()
        whole = torch.cat([parameter.grad.double().flatten() for parameter in twin.parameters()])  # type: ignore[union-attr]
        assert norm.item() == pytest.approx(whole.norm().item(), rel=1e-6)
        assert not adam.gradients.any()
    for (name, a), b in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6, msg=name)
    for mine, theirs in zip(*(o.state.values() for o in optimizers), strict=True):
        for kind in ("step", "exp_avg", "exp_avg_sq"):
            torch.testing.assert_close(mine[kind], theirs[kind], rtol=1e-4, atol=1e-6)


def test_explicit_models_go_through_autograd() -> None:
    settings = toy.model_settings().model_copy(update={"decoder": "explicit"})
    model = build_model(settings, toy.scene(size=2).space, 0)
    with using("native"):
        assert model.kernel_model() is None


class WithOpacity(ImageObjective):
    """One more term, which no kernel has."""

    def terms(self, batch: Batch[Pixels]) -> Terms:
        seen = self.model.render(batch.rays, key=batch.key)
        return {**super().terms(batch), "opacity": seen.accumulation.mean()}


@pytest.mark.parametrize("weight", [0.0, 0.5, None])
def test_a_term_that_the_kernels_lack_goes_by_autograd(weight: float | None) -> None:
    """Kernels would leave it out without a word; one that has no weight is a mistake."""
    scene, model = toy.scene(), lively(MODELS["odd widths"], 0)
    objective = WithOpacity(model, scene, scene.train, toy.train_settings(rays=16), 0)
    if weight is not None:
        objective.weights["opacity"] = weight
    optimizer = make_optimizer(model, eps=1e-15)
    with using("native"):
        assert (kernel_model(objective) is None) == bool(weight)
        names = make_update(objective, optimizer, 1)(0, 1e-3).names
        assert ("opacity" in names) == bool(weight)
    if weight is None:
        with using("reference"), pytest.raises(ValueError, match="opacity"):
            make_update(objective, optimizer, 1)(0, 1e-3)


def test_parameters_of_another_model_are_refused() -> None:
    model = lively(MODELS["common widths"], 0)
    other = lively(MODELS["wide"], 0)
    parameters = [parameter.detach() for parameter in model.parameters()]
    given = KernelModel(parameters, model.shape)
    rays, one = torch.zeros(3, 8), torch.ones(1)
    with pytest.raises(RuntimeError, match="the model has 12 parameters, not 13"):
        kernels.render_rays(KernelModel(parameters, other.shape), rays, None, one)
    with pytest.raises(RuntimeError, match="parameter 3 has 3 numbers"):
        damaged = [*parameters[:3], one.expand(3).clone(), *parameters[4:]]
        kernels.render_rays(KernelModel(damaged, model.shape), rays, None, one)
    with pytest.raises(RuntimeError, match=r"rays must be \(R, 8\)"):
        kernels.render_rays(given, rays[:, :7], None, one)
    empty = kernels.render_rays(given, rays[:0], None, one)
    assert empty.rgb.shape == (0, 3)
