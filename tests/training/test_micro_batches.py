"""Batches in parts: the same step but for rounding; and what a run does when memory runs out."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from torch import Tensor

from dac.conquer.objective import DistillObjective
from dac.errors import UserError
from dac.fields.model import Model, build_model, load_model
from dac.ops import memory
from dac.ops.backend import Backend, using
from dac.ops.rays import Lesson
from dac.settings import DistillSettings, Mode
from dac.training import loop
from dac.training.baseline import train_baseline
from dac.training.batches import RayBatches
from dac.training.checkpoints import make_optimizer
from dac.training.images import ImageObjective
from dac.training.objective import Part, split
from dac.training.update import StepResult, make_update

MODEL = toy.model_settings()
TRAIN = toy.train_settings(
    rays=46, curve_points=2, curve_rays=64, warmup_steps=3, distortion=0.01, plane_tv=0.01,
    proposal_tv=0.02, anneal_steps=5,
)  # fmt: skip
BACKENDS: list[Backend] = ["native", "reference"]
MODES: list[Mode] = ["paper", "corrected"]

Objective = ImageObjective | DistillObjective


def test_parts_are_even_and_whole() -> None:
    assert split(10, 1) == (Part(0, 10, 10),) and split(10, 1)[0].share == 1.0
    assert [part.rays for part in split(10, 4)] == [
        slice(0, 2), slice(2, 5), slice(5, 7), slice(7, 10),
    ]  # fmt: skip
    assert sum(part.share for part in split(10, 4)) == 1.0
    assert split(3, 8) == (Part(0, 1, 3), Part(1, 2, 3), Part(2, 3, 3))


def lively(seed: int) -> Model:
    model = build_model(MODEL, toy.scene(size=2).space, seed)
    with torch.no_grad():
        for plane in model.field.planes:
            plane.mul_(4).sub_(1)
        model.field.density[-1][0].mul_(4)
    return model


def on_images(model: Model) -> ImageObjective:
    scene = toy.scene()
    return ImageObjective(model, scene, scene.train, TRAIN, 0)


def on_lessons(mode: Mode) -> Callable[[Model], DistillObjective]:
    def make(model: Model) -> DistillObjective:
        scene, settings = toy.scene(), DistillSettings(rays=46, novel_share=0.25)
        teachers = [lively(1), lively(2)]
        return DistillObjective(
            model, teachers, scene, toy.halves(scene), TRAIN, settings, mode=mode, seed=0
        )

    return make


MAKE: dict[str, Callable[[Model], Objective]] = {
    "images": on_images,
    **{mode: on_lessons(mode) for mode in MODES},
}


def one_step(make: Callable[[Model], Objective], parts: int) -> tuple[StepResult, Tensor]:
    """What a step did; and its gradient, which is Adam's first moment after one step."""
    model = lively(0)
    optimizer = make_optimizer(model, eps=TRAIN.adam_eps)
    done = make_update(make(model), optimizer, parts)(3, 1e-2)
    first = [optimizer.state[p]["exp_avg"].double().flatten() for p in model.parameters()]
    return done, torch.cat(first)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("phase", MAKE)
def test_parts_add_up_to_the_whole(phase: str, backend: Backend) -> None:
    with using(backend):
        whole, gradient = one_step(MAKE[phase], 1)
        for parts in (2, 4, 8):
            done, other = one_step(MAKE[phase], parts)
            assert done.names == whole.names
            torch.testing.assert_close(done.terms, whole.terms, rtol=1e-5, atol=1e-8)
            torch.testing.assert_close(done.gradient_norm, whole.gradient_norm, rtol=1e-5, atol=0)
            assert (other - gradient).norm() < 1e-5 * gradient.norm()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_parts_experts_say_what_they_say_of_the_whole(backend: Backend) -> None:
    objective = on_lessons("corrected")(lively(0))
    with using(backend):
        whole = objective.draw(4).tensors()
        parts = [objective.draw(4, part).tensors() for part in split(46, 4)]
    for name in ("rays", *Lesson._fields):
        together = torch.cat([part[name] for part in parts])
        torch.testing.assert_close(together, whole[name], rtol=1e-6, atol=1e-6)


class Memory:
    """A GPU's, as far as it can be had here: a batch of more than `holds` rays does not fit.

    Args:
        error: what is raised then.
    """

    def __init__(self, holds: Callable[[int], int], error: Exception) -> None:
        self.holds, self.error = holds, error
        self.steps: list[int] = []

    @contextmanager
    def limits(self) -> Iterator[None]:
        real = ImageObjective.draw

        def draw(objective: ImageObjective, step: int, part: Part | None = None) -> Any:
            self.steps.append(step)
            assert part is not None
            if part.end - part.first > self.holds(step):
                raise self.error
            return real(objective, step, part)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ImageObjective, "draw", draw)
            yield


GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nAnd more of that.")
KERNEL = RuntimeError("out of memory: torch_call_dispatcher(...) API call failed at ops.h")


def baseline(scene: Path, out: Path, **changes: Any) -> None:
    train = TRAIN.model_copy(update=changes)
    state = out.with_suffix(".state")
    train_baseline(scene, MODEL, train, steps=8, seed=0, out=out, state=state)


def weights(folder: Path) -> list[bytes]:
    return [(folder / f"{name}.safetensors").read_bytes() for name in ("model", "optimizer")]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("error", [GPU, KERNEL], ids=["torch", "kernel"])
def test_a_step_that_does_not_fit_is_taken_in_parts(
    backend: Backend, error: Exception, toy_scene: Path, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """From step 5 on only a quarter fits: two lines say so, and the run is the same to rounding."""
    gpu = Memory(lambda step: 46 if step < 5 else 12, error)
    with using(backend):
        baseline(toy_scene, tmp_path / "plenty")
        with gpu.limits(), caplog.at_level(logging.WARNING):
            baseline(toy_scene, tmp_path / "scarce")
    assert gpu.steps == [*range(5), 5, 5, *(step for step in (5, 6, 7) for _ in range(4))]
    lines = [record.message for record in caplog.records if record.name.endswith("loop")]
    assert lines == [
        f"toy baseline: memory runs out in step 5; from here on batches go in {parts} parts"
        for parts in (2, 4)
    ]
    for a, b in zip(*(read(tmp_path / name) for name in ("plenty", "scarce")), strict=True):
        # Adam turns a gradient's sign into a whole step where the gradient is rounding alone.
        assert (a - b).abs().mean() < 1e-4


def read(folder: Path) -> list[Tensor]:
    return [parameter.detach() for parameter in load_model(folder).parameters()]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_resumed_run_keeps_its_parts(
    backend: Backend, toy_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(name: str, stop: int | None) -> list[int]:
        gpu = Memory(lambda step: 46 if step < 3 else 23, GPU)
        real, count = loop.LossReader.add, [0]

        def add(*arguments: Any) -> None:
            count[0] += 1
            if count[0] == stop:
                signal.raise_signal(signal.SIGTERM)
            real(*arguments)

        with monkeypatch.context() as patch, gpu.limits(), using(backend):
            patch.setattr(loop.LossReader, "add", add)
            baseline(toy_scene, tmp_path / name)
        return gpu.steps

    assert run("whole", None) == [0, 1, 2, 3, *(step for step in range(3, 8) for _ in range(2))]
    with pytest.raises(SystemExit):
        run("resumed", 5)
    assert run("resumed", None) == [step for step in range(5, 8) for _ in range(2)]
    assert weights(tmp_path / "whole") == weights(tmp_path / "resumed")


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_never_fits_is_told_of(backend: Backend, toy_scene: Path, tmp_path: Path) -> None:
    gpu = Memory(lambda step: 1, GPU)
    with using(backend), gpu.limits(), pytest.raises(UserError) as told:
        baseline(toy_scene, tmp_path / "out")
    assert str(told.value).startswith("toy baseline: memory does not suffice for 1/8 of a batch (")
    assert "rays" in str(told.value) and "\n" not in str(told.value)
    assert gpu.steps == [0, 0, 0, 0]


def test_other_errors_stay_what_they_are(toy_scene: Path, tmp_path: Path) -> None:
    gpu = Memory(lambda step: 1, RuntimeError("CUDA error: unspecified launch failure"))
    with gpu.limits(), pytest.raises(RuntimeError, match="launch failure"):
        baseline(toy_scene, tmp_path / "out")
    assert gpu.steps == [0]


def test_gradients_of_a_step_that_failed_are_forgotten(toy_scene: Path, tmp_path: Path) -> None:
    """Of two halves the first has left its gradient when memory runs out for the second."""
    failed: list[int] = []
    real = ImageObjective.add_gradients

    def add_gradients(objective: ImageObjective, *arguments: Any) -> Tensor:
        part = arguments[3]
        if part.of == 46 and part.end - part.first == 23 and part.first and not failed:
            failed.append(1)
            raise GPU
        return real(objective, *arguments)

    with pytest.MonkeyPatch.context() as patch, Memory(lambda step: 23, GPU).limits():
        patch.setattr(ImageObjective, "add_gradients", add_gradients)
        with using("native"):
            baseline(toy_scene, tmp_path / "out")
    assert failed
    with using("native"), Memory(lambda step: 12, GPU).limits():
        baseline(toy_scene, tmp_path / "quarters")
    assert weights(tmp_path / "out") == weights(tmp_path / "quarters")


def test_what_counts_as_out_of_memory() -> None:
    assert memory.ran_out(GPU) and memory.ran_out(KERNEL)
    assert not memory.ran_out(RuntimeError("CUDA error: device-side assert triggered"))
    try:
        try:
            raise GPU
        finally:
            raise RuntimeError("CUDA error: the capture was broken")
    except RuntimeError as error:
        assert memory.ran_out(error)


def test_rays_keep_their_number_in_the_batch() -> None:
    """The batch of a part is the same rows; only its first number differs."""
    scene = toy.scene()
    batch = RayBatches(
        scene, scene.train, rays=46, seed=0, background="white", device=torch.device("cpu")
    )(1)
    model = lively(0)
    rays = model.make_rays(batch.origins, batch.directions)
    for backend in BACKENDS:
        with using(backend), torch.no_grad():
            _, whole = model.sample(rays, key=5)
            _, part = model.sample(rays[20:30], key=5, first_ray=20)
        torch.testing.assert_close(part.t, whole.t[20:30], rtol=1e-6, atol=1e-6)
