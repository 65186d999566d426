"""The benchmark's baseline computes what the package computes; the harness writes what it says."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import toy
from torch import Tensor
from torch.nn import functional

from bench import memory, plain, step_times
from bench import run as bench_run
from bench.cases import Case, Setting, Sizes
from bench.scene import divide
from bench.timing import Body, Times, interleave
from dac.conquer import distill
from dac.evaluation.render import render_view
from dac.evaluation.truth import background_colour
from dac.fields.model import Model
from dac.ops import reference
from dac.ops.backend import using
from dac.runs import Run
from dac.settings import DistillSettings, Mode, parse, resolve
from dac.training.images import ImageSteps
from dac.training.keys import Use, mix
from dac.workflow.plan import read_step_times, summary

SIZES = Sizes(
    model=toy.model_settings(), rays=96, view=20, views=8, trained=25, chunk=150, small_chunk=90
)
PROMISED = {"train_step", "train_step_no_proposal", "distill_step", "render_view", "triplane"}
BALL = {"name": "ball", "path": "x", "format": "colmap", "division": "azimuth", "K": 2}
MEMORY = {
    **dict.fromkeys(("peak", "imports", "images", "parameters", "optimiser", "beyond"), 1.0),
    "share": 1.0,
    "backend": "native",
}


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting(SIZES)


@pytest.fixture
def in_reference() -> Iterator[None]:
    with using("reference"):
        yield


def keyed(key: int) -> plain.Jitter:
    return lambda level, rays, count, device: reference.jitter(key, level, rays, count, device)


def as_ours(parts: list[Tensor]) -> Tensor:
    """Plain planes or a weight, laid out as the package's parameter."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat(parts).permute(0, 2, 3, 1)


def assert_same_step(
    model: Model, ours: dict[str, Tensor], other: plain.PlainModel, theirs: dict[str, Tensor]
) -> None:
    """Equal terms, and gradients of their sums in one direction."""
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert theirs[name].item() == pytest.approx(value.item(), rel=1e-3, abs=1e-7), name
    torch.stack(list(ours.values())).sum().backward()
    torch.stack(list(theirs.values())).sum().backward()
    for mine, parts in plain.corresponding(other, model):
        grads = [part.grad for part in parts if part.grad is not None]
        assert (mine.grad is None) == (not grads)
        if mine.grad is not None:
            cosine = functional.cosine_similarity(mine.grad.ravel(), as_ours(grads).ravel(), dim=0)
            assert cosine > 0.999
            norms = as_ours(grads).norm() / mine.grad.norm()
            assert norms.item() == pytest.approx(1, rel=1e-2)


@pytest.mark.usefixtures("in_reference")
def test_the_plain_model_renders_the_same_view(setting: Setting) -> None:
    scene = setting.scene
    view, behind = scene.test[0], background_colour(scene)
    ours = render_view(setting.model, scene.cameras, view, behind, SIZES.chunk)
    other = plain.from_model(setting.model)
    rgb, depth = plain.render_view(other, scene.cameras, view, behind, SIZES.small_chunk)
    assert ours.accumulation.max() > 0.5, "the model shows nothing"
    torch.testing.assert_close(rgb, ours.rgb, atol=1e-4, rtol=0)
    torch.testing.assert_close(depth, ours.depth, atol=1e-3, rtol=1e-3)


@pytest.mark.usefixtures("in_reference")
@pytest.mark.parametrize("learn", [True, False])
def test_the_plain_training_step_is_the_same(setting: Setting, learn: bool) -> None:
    model, step = setting.copy(), 7
    never = {"proposal_update_every": 10**9, "proposal_update_ramp": 0}
    train = setting.train.model_copy(update={} if learn else never)
    ours = ImageSteps(model, setting.scene, setting.scene.train, train, seed=0).losses(step)
    other = plain.from_model(setting.model)
    theirs = plain.train_terms(
        other,
        setting.batches(step),
        train,
        anneal=1.0,
        learn=learn,
        jitter=keyed(mix(0, Use.JITTER, step)),
    )
    assert_same_step(model, ours, other, theirs)


@pytest.mark.usefixtures("in_reference")
@pytest.mark.parametrize("mode", ["paper", "corrected"])
def test_the_plain_distillation_step_is_the_same(setting: Setting, mode: Mode) -> None:
    scene, partition, settings = setting.scene, divide(setting.scene, 2), DistillSettings(rays=96)
    model, teachers = setting.disturbed(2), [setting.disturbed(seed) for seed in range(2)]
    step = 3
    losses = distill.DistillSteps(
        model, teachers, scene, partition, setting.train, settings, mode=mode, seed=0
    ).losses
    ours = losses(step)
    source = distill._Batches(
        scene, partition, setting.train, settings, seed=0, device=torch.device("cpu")
    )
    batch = source(step)
    other = plain.from_model(model)
    theirs = plain.distill_terms(
        other,
        [plain.from_model(teacher) for teacher in teachers],
        batch.origins,
        batch.directions,
        batch.counts,
        batch.background,
        setting.train,
        settings,
        mode=mode,
        anneal=1.0,
        jitter=keyed(mix(0, Use.JITTER, step)),
        teacher_jitter=[keyed(mix(0, Use.TEACHER, step, expert)) for expert in range(2)],
    )
    assert_same_step(model, ours, other, theirs)


def test_the_plain_loader_draws_the_scenes_rays(setting: Setting) -> None:
    table = plain.RayTable(setting.scene)
    origins, directions = plain.camera_rays(setting.scene.cameras, 0)
    pixels = torch.arange(SIZES.view**2)
    row, column = pixels // SIZES.view, pixels % SIZES.view
    zero = torch.zeros_like(pixels)
    expected = setting.scene.cameras.rays(zero, column + 0.5, row + 0.5)
    torch.testing.assert_close(origins, expected[0])
    torch.testing.assert_close(directions, expected[1])
    batch = table.draw(50)
    assert batch.rgb.shape == (50, 3)
    torch.testing.assert_close(batch.origins, table.origins[batch.view])


def test_bodies_take_turns_and_short_ones_repeat() -> None:
    now, order = 0.0, []

    def body(name: str, seconds: float) -> Body:
        def run() -> None:
            nonlocal now
            now += seconds
            order.append(name)

        return Body(run)

    times = interleave(
        {"slow": body("slow", 2.0), "quick": body("quick", 0.5)},
        rounds=3,
        warmup=1,
        turn_seconds=1.0,
        clock=lambda: now,
        cpu_clock=lambda: 2 * now,
    )
    assert order == ["slow", "quick"] + 3 * ["slow", "quick", "quick"]
    assert times["slow"].median == 2.0 and times["slow"].cpu_median == 4.0
    assert times["quick"].wall == [0.5] * 3


def test_an_entry_holds_ratios_of_its_own_medians() -> None:
    bodies = {name: Body(lambda: None) for name in ("native", "plain", "reference")}
    case = Case("nothing", bodies, threads=1, rays=10)
    threads = torch.get_num_threads()
    entries = bench_run.time_case(case, rounds=2, threads=2, turn_seconds=1e-6)
    assert torch.get_num_threads() == threads
    assert [entry["against"] for entry in entries] == ["plain", "reference"]
    for entry in entries:
        assert entry["threads"] == 1
        ratio = entry["against_median_ms"] / entry["median_ms"]
        assert entry["ratio"] == pytest.approx(ratio)
        assert entry["cpu_ratio"] == pytest.approx(entry["against_cpu_ms"] / entry["cpu_ms"])


def test_the_benchmark_writes_every_promised_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_run, "SIZES", SIZES)
    monkeypatch.setattr(memory, "measure_both", lambda threads: [MEMORY])
    out = tmp_path / "new" / "bench.json"
    bench_run.main(["--rounds", "1", "--turn", "1e-6", "--threads", "1", "--out", str(out)])
    assert json.loads((out.parent / "bench_memory.json").read_text()) == [MEMORY]
    entries = json.loads(out.read_text())
    found = {(entry["name"], entry["against"]) for entry in entries}
    assert found >= set(itertools.product(PROMISED, ("plain", "reference")))
    assert {entry["name"] for entry in entries} == set(bench_run.CASES)
    assert len(found) == len(entries)
    for entry in entries:
        ratio = entry["against_median_ms"] / entry["median_ms"]
        assert entry["ratio"] == pytest.approx(ratio)


def step_times_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> list[dict[str, object]]:
    """What `bench.step_times` writes of a tiny configuration."""
    monkeypatch.setattr(step_times, "SIZES", SIZES)
    path, out = tmp_path / "tiny.yaml", tmp_path / "new" / "step_times.json"
    model = SIZES.model.model_dump(mode="json")
    path.write_text(json.dumps({"model": model, "train": {"rays": 96}, "scenes": [BALL]}))
    threads = torch.get_num_threads()
    try:
        step_times.main([str(path), "--rounds", "1", "--out", str(out), *arguments])
    finally:
        torch.set_num_threads(threads)
    entries: list[dict[str, object]] = json.loads(out.read_text())
    return entries


def test_step_times_are_written_as_plans_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (entry,) = step_times_of(tmp_path, monkeypatch)
    shapes = SIZES.model.model_dump(mode="json", exclude={"name"})
    assert entry["model"] == shapes and entry["rays"] == 96
    assert str(entry["device"]).startswith("one core of a CPU")
    (read,) = read_step_times(tmp_path / "new" / "step_times.json")
    assert 0 < read.training < 60 and 0 < read.distillation < 60
    ball = resolve(parse({"model": {**shapes}, "train": {"rays": 96}, "scenes": [BALL]}), "ball")
    run = Run("ball", "kplanes", 0, "baseline", 3_600_000_000)
    said = summary([(run, ball)], [read])
    hours = re.search(r"; ([\d,.]+) hours on one core", said)
    assert hours and float(hours[1].replace(",", "")) == pytest.approx(
        1e6 * read.training, rel=1e-2
    )


def test_step_times_of_other_devices_and_sizes_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = step_times_of(tmp_path, monkeypatch)
    others = [first | {"device": "a GPU"}, first | {"rays": 97}, first | {"model": {}}]
    out = tmp_path / "new" / "step_times.json"
    out.write_text(json.dumps([*others, first | {"training": 1e9}]))
    entries = step_times_of(tmp_path, monkeypatch)
    assert entries[:3] == others and len(entries) == 4
    assert {**entries[3], "training": 0, "distillation": 0} == {
        **first,
        "training": 0,
        "distillation": 0,
    }
    assert read_step_times(out)[3].training < 60


def test_step_times_weigh_steps_in_which_proposals_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"train_step": 10.0, "train_step_no_proposal": 1.0, "distill_step": 7.0}

    def interleaved(bodies: dict[str, Body], **_: object) -> dict[str, Times]:
        return {name: Times([0.0], [seconds[name]]) for name in bodies}

    monkeypatch.setattr(step_times, "interleave", interleaved)
    found = step_times.measure(SIZES, "a device", rounds=1)
    assert found.training == (10 + 4 * 1) / 5 and found.distillation == 7


def test_each_size_of_the_configurations_is_timed_once(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.yaml" for name in ("a", "b")]
    room = BALL | {"name": "room", "settings": {"train": {"rays": 97}}}
    variant = BALL | {"name": "hall", "settings": {"model": {"name": "same"}}}
    paths[0].write_text(json.dumps({"train": {"rays": 96}, "scenes": [BALL, room, variant]}))
    paths[1].write_text(json.dumps({"train": {"rays": 97}, "scenes": [BALL]}))
    assert sorted(sizes.rays for sizes in step_times.sizes_of(paths)) == [96, 97]


def test_a_jobs_memory_is_measured_in_a_process_of_its_own(
    setting: Setting, tmp_path: Path
) -> None:
    setting.scene.save(tmp_path / "scene")
    found = memory.measure(
        tmp_path / "scene", SIZES.model, SIZES.rays, backend="reference", threads=1
    )
    assert found["backend"] == "reference"
    assert found["peak"] > found["imports"] > 50
    assert found["images"] == setting.scene.images.nbytes / 2**20
    assert found["optimiser"] == 2 * found["parameters"]
    assert found["beyond"] == pytest.approx(found["peak"] - found["images"] - found["parameters"])
    held = found["images"] + 4 * found["parameters"]
    assert found["share"] == pytest.approx((found["peak"] - found["imports"]) / held)
    assert "peak memory" in memory.line(found)
