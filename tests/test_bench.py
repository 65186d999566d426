"""The benchmark's harness measures and writes what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import toy

from bench import gpu, memory, step_times
from bench import run as bench_run
from bench.cases import Case, Setting, Sizes
from bench.timing import Body, Times, interleave
from dac.configuration import parse, resolve
from dac.ops.backend import using
from dac.workflow.plan import Steps, read_step_times, summary

SIZES = Sizes(model=toy.model_settings(), rays=96, view=20, views=8, trained=25, chunk=150, grid=8)
BALL = {"name": "ball", "path": "x", "format": "colmap", "division": "azimuth", "K": 2}
MEMORY = {
    **dict.fromkeys(("peak", "imports", "images", "parameters", "optimiser", "beyond"), 1.0),
    "share": 1.0,
    "backend": "native",
}


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting(SIZES)


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


@pytest.mark.parametrize("learn", [True, False])
def test_the_gpu_scripts_step_in_plain_torch_learns(setting: Setting, learn: bool) -> None:
    model, batch = setting.copy(), setting.batches(0)
    with using("reference"):
        step = gpu.reference_step(model, batch, learn=learn)
        losses = [step().terms[0].item() for _ in range(20)]
    assert losses[-1] < 0.9 * losses[0]


def test_an_entry_holds_ratios_of_its_own_medians() -> None:
    bodies = {name: Body(lambda: None) for name in ("native", "another", "reference")}
    case = Case("nothing", bodies, rays=10)
    threads = torch.get_num_threads()
    entries = bench_run.time_case(case, rounds=2, threads=1, turn_seconds=1e-6)
    assert torch.get_num_threads() == threads
    assert [entry["against"] for entry in entries] == ["another", "reference"]
    for entry in entries:
        assert entry["threads"] == 1
        ratio = entry["against_median_ms"] / entry["median_ms"]
        assert entry["ratio"] == pytest.approx(ratio)
        assert entry["cpu_ratio"] == pytest.approx(entry["against_cpu_ms"] / entry["cpu_ms"])


def test_the_benchmark_writes_every_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_run, "SIZES", SIZES)
    monkeypatch.setattr(memory, "measure_both", lambda threads: [MEMORY])
    out = tmp_path / "new" / "bench.json"
    bench_run.main(["--rounds", "1", "--turn", "1e-6", "--threads", "1", "--out", str(out)])
    assert json.loads((out.parent / "bench_memory.json").read_text()) == [MEMORY]
    entries = json.loads(out.read_text())
    found = [(entry["name"], entry["against"]) for entry in entries]
    assert found == [(name, "reference") for name in bench_run.CASES]
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
    said = summary([(Steps(images=3_600_000_000), ball)], [read])
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
