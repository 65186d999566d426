"""Steps that are not finite: the run goes back, and in the end says why it can't go on."""

from __future__ import annotations

import logging
import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from safetensors.torch import load_file

from dac.conquer.distill import distill
from dac.conquer.lessons import TaughtRays
from dac.errors import UserError
from dac.fields.model import build_model
from dac.ops.backend import Backend, using
from dac.settings import DistillSettings
from dac.storage.artifacts import read_json
from dac.training import images
from dac.training.baseline import train_baseline
from dac.training.batches import RayBatch, RayBatches
from dac.training.checkpoints import Checkpoints, make_optimizer
from dac.training.curve import DivergedError, LossReader, Progress
from dac.training.images import ImageObjective
from dac.training.update import make_update

MODEL = toy.model_settings()
TRAIN = toy.train_settings(rays=48, curve_points=3, curve_rays=64, warmup_steps=3)
RATE = TRAIN.learning_rate
BACKENDS: list[Backend] = ["native", "reference"]

Spoil = Callable[[RayBatch], RayBatch]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with using(request.param):
        yield


def baseline(scene: Path, out: Path, *, seconds: float = 60.0, rate: float = RATE) -> None:
    train = TRAIN.model_copy(update={"checkpoint_seconds": seconds, "learning_rate": rate})
    state = out.with_suffix(".state")
    train_baseline(scene, MODEL, train, steps=12, seed=0, out=out, state=state)


def not_a_number(batch: RayBatch) -> RayBatch:
    """One damaged pixel."""
    rgb = batch.rgb.clone()
    rgb[7, 1] = math.nan
    return replace(batch, rgb=rgb)


def enormous(batch: RayBatch) -> RayBatch:
    """Finite colours, whose squared error is not."""
    return replace(batch, rgb=batch.rgb + 3e19)


@contextmanager
def spoilt(at: int, times: int, how: Spoil = not_a_number) -> Iterator[list[int]]:
    """Spoil a step's batch, the first times that it is drawn; gives how often each one was."""
    drawn: list[int] = []

    class Spoilt(RayBatches):
        def __call__(self, step: int) -> RayBatch:
            batch = super().__call__(step)
            drawn.append(step)
            return how(batch) if step == at and drawn.count(step) <= times else batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "RayBatches", Spoilt)
        yield drawn


def weights(folder: Path) -> list[bytes]:
    return [(folder / f"{name}.safetensors").read_bytes() for name in ("model", "optimizer")]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("how", [not_a_number, enormous])
@pytest.mark.parametrize("times", [1, 2])
def test_it_goes_back_and_on_at_half_the_rate(
    times: int, how: Spoil, toy_scene: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with spoilt(5, times, how) as drawn, caplog.at_level(logging.WARNING):
        baseline(toy_scene, tmp_path / "out")
    assert drawn == [*range(6)] * times + [*range(12)]
    lines = [record.message for record in caplog.records if record.name.endswith("divergence")]
    assert len(lines) == times
    assert lines[0].startswith("toy baseline: the loss 'photometric' is ")
    assert lines[0].endswith("in step 5; going on from step 0 with 0.5 times the learning rate")
    baseline(toy_scene, tmp_path / "slow", rate=RATE / 2**times)
    assert weights(tmp_path / "out") == weights(tmp_path / "slow")
    curves = [read_json(tmp_path / name / "curve.json") for name in ("out", "slow")]
    for curve in curves:
        del curve["seconds"]
    assert curves[0] == curves[1]
    assert not (tmp_path / "out.state" / "diverged").exists()


@pytest.mark.usefixtures("backend")
def test_it_goes_back_to_the_newest_state(toy_scene: Path, tmp_path: Path) -> None:
    with spoilt(5, 1) as drawn:
        baseline(toy_scene, tmp_path / "out", seconds=1e-9)
    assert drawn == [*range(6), *range(5, 12)]


@pytest.mark.usefixtures("backend")
def test_the_third_time_it_stops_and_leaves_what_is_needed(toy_scene: Path, tmp_path: Path) -> None:
    found = []
    for _ in range(2):  # the same job again: the same step, bit for bit
        with spoilt(5, 99), pytest.raises(UserError) as stopped:
            baseline(toy_scene, tmp_path / "out")
        folder = tmp_path / "out.state" / "diverged"
        assert "the loss 'photometric' is nan in step 5" in str(stopped.value)
        assert str(folder) in str(stopped.value) and "\n" not in str(stopped.value)
        assert {path.name for path in folder.iterdir()} == {"report.json", "batch.safetensors"}
        found.append([path.read_bytes() for path in sorted(folder.iterdir())])
    assert found[0] == found[1]
    assert not (tmp_path / "out").exists()
    report = read_json(folder / "report.json")
    assert report["run"] == "toy baseline" and report["step"] == 5 and report["rollbacks"] == 2
    assert report["state"] == "step-000000000" and len(report["digest"]) == 64
    assert [record["step"] for record in report["steps"]] == [*range(6)]
    *before, last = report["steps"]
    assert all(math.isfinite(record["gradient_norm"]) for record in before)
    assert last["terms"]["photometric"] == last["gradient_norm"] == "nan"
    assert before[0]["rate"] == pytest.approx(RATE / 4 / 3)
    batch = load_file(folder / "batch.safetensors")
    assert set(batch) == {"rays", "target", "background", "key", "anneal"}
    assert batch["rays"].shape == (48, 8)
    assert batch["target"].isnan().nonzero().tolist() == [[7, 1]]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("crashes_at", [1, 4])
def test_a_run_killed_after_it_went_back_remembers(
    crashes_at: int, toy_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the next state is saved, it keeps to the lower rate and to its count."""

    class PowerCutError(Exception):
        pass

    real, read = LossReader.read, [0]

    def dying(reader: LossReader) -> None:
        read[0] += 1
        if read[0] == 6 + crashes_at:
            raise PowerCutError
        real(reader)

    with spoilt(5, 1):
        with monkeypatch.context() as patch:
            patch.setattr(LossReader, "read", dying)
            with pytest.raises(PowerCutError):
                baseline(toy_scene, tmp_path / "out")
        baseline(toy_scene, tmp_path / "out")
    baseline(toy_scene, tmp_path / "slow", rate=RATE / 2)
    assert weights(tmp_path / "out") == weights(tmp_path / "slow")


@pytest.mark.usefixtures("backend")
def test_a_run_that_was_told_to_stop_resumes_where_it_went_back(
    toy_scene: Path, tmp_path: Path
) -> None:
    def told(batch: RayBatch) -> RayBatch:
        signal.raise_signal(signal.SIGTERM)
        return not_a_number(batch)

    with spoilt(5, 1, told), pytest.raises(SystemExit):
        baseline(toy_scene, tmp_path / "out")
    baseline(toy_scene, tmp_path / "out")
    baseline(toy_scene, tmp_path / "slow", rate=RATE / 2)
    assert weights(tmp_path / "out") == weights(tmp_path / "slow")


@pytest.mark.usefixtures("backend")
def test_a_rate_far_too_high_is_told_of(toy_scene: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lower the learning rate"):
        baseline(toy_scene, tmp_path / "out", rate=1e30)
    report = read_json(tmp_path / "out.state" / "diverged" / "report.json")
    saved = load_file(tmp_path / "out.state" / report["state"] / "tensors.safetensors")
    assert all(value.isfinite().all() for value in saved.values())


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_update_that_is_not_finite_is_not_made(backend: Backend) -> None:
    """One damaged pixel reaches some gradients; what it does not reach may move."""
    scene = toy.scene()
    model = build_model(MODEL, scene.space, 0)
    optimizer = make_optimizer(model, eps=TRAIN.adam_eps)
    with using(backend), spoilt(0, 1):
        update = make_update(ImageObjective(model, scene, scene.train, TRAIN, 0), optimizer, 1)
        done = update(0, 1e-2)
    assert not done.gradient_norm.isfinite()
    values = [*model.parameters(), *(v for s in optimizer.state.values() for v in s.values())]
    assert all(value.isfinite().all() for value in values)


def test_distillation_goes_back_too(toy_scene: Path, tmp_path: Path) -> None:
    train = TRAIN.model_copy(update={"curve_points": 1})
    for group in (0, 1):
        train_baseline(
            toy_scene, MODEL, train, steps=2, seed=group, out=tmp_path / str(group),
            state=tmp_path / "state",
        )  # fmt: skip
    drawn: list[int] = []
    real = TaughtRays.__call__

    def spoil(batches: Any, step: int) -> Any:
        batch = real(batches, step)
        drawn.append(step)
        broken = drawn.count(3) == 1 and step == 3
        return batch._replace(background=batch.background * math.nan) if broken else batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TaughtRays, "__call__", spoil)
        distill(
            toy_scene, toy_scene.parent / "partition.json", [tmp_path / "0", tmp_path / "1"],
            MODEL, train, DistillSettings(steps=6, rays=32), mode="corrected", seed=0,
            out=tmp_path / "out", state=tmp_path / "out.state",
        )  # fmt: skip
    assert drawn == [*range(4), *range(6)]
    saved = load_file(tmp_path / "out" / "model.safetensors")
    assert all(value.isfinite().all() for value in saved.values())


@pytest.mark.parametrize("count", [1, 5])
def test_the_reader_checks_every_step(count: int) -> None:
    reader = LossReader(Progress())
    for step in range(count + 3):
        norm = torch.tensor(math.inf if step == count else 1.0)
        reader.add(step, 0.1, ("a", "b"), torch.tensor([1.0, 2.0]), norm)
    with pytest.raises(DivergedError, match=f"the gradient's norm is inf in step {count}") as told:
        reader.read()
    assert [record.step for record in told.value.steps] == [*range(count + 1)]
    assert reader.last == 3.0


def test_a_report_goes_once_the_run_is_complete(toy_scene: Path, tmp_path: Path) -> None:
    with spoilt(5, 99), pytest.raises(UserError):
        baseline(toy_scene, tmp_path / "out")
    baseline(toy_scene, tmp_path / "out", rate=RATE / 2)
    assert not (tmp_path / "out.state" / "diverged").exists()


def test_no_state_left_is_a_clear_end(toy_scene: Path, tmp_path: Path) -> None:
    with (
        spoilt(5, 1),
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(UserError, match="no saved state is whole"),
    ):
        patch.setattr(Checkpoints, "load", lambda self: None)
        baseline(toy_scene, tmp_path / "out")
