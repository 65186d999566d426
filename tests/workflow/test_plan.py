"""How long trainings take, by hand: steps of runs, hours from measured step times."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import toy

from dac.configuration import ResolvedScene, parse, resolve
from dac.errors import UserError
from dac.runs import Run
from dac.settings import ModelSettings
from dac.workflow.plan import Steps, StepTimes, read_step_times, steps_of, summary


def scene(name: str = "ball", **changes: Any) -> ResolvedScene:
    entry = {"name": name, "path": name, "format": "colmap", "division": "azimuth", "K": 2}
    data = {"scenes": [entry], "train": {"steps": 30, "rays": 16}}
    return resolve(parse(data | changes), name)


def times(device: str, model: ModelSettings, training: float, distillation: float) -> StepTimes:
    shapes = model.model_dump(mode="json", exclude={"name"})
    return StepTimes(device, shapes, 16, training, distillation)


def run_at(path: str, scene: str = "ball/kplanes") -> Run:
    run = Run.parse(f"{scene}/seed0/{path}")
    assert run is not None
    return run


@pytest.mark.parametrize(
    ("run", "steps"),
    [
        ("baseline-60", Steps(images=60)),
        ("baseline-60-restart-40", Steps(images=40)),
        ("baseline-60-rays-4x", Steps(images=60, more=180)),
        ("baseline-60-wide-4x", Steps(images=60)),
        ("trunk-20-of-60", Steps(images=20)),
        ("azimuth-2/trunk-20-of-60/expert1", Steps(images=40)),
        ("azimuth-2/trunk-20-of-60/merged-finetune-7", Steps(images=7)),
        ("azimuth-2/trunk-20-of-60/merged-distill-5", Steps(distillation=5)),
        ("azimuth-2/trunk-20-of-60/merged-distill-5-finetune-7", Steps(images=7)),
        ("azimuth-2/trunk-20-of-60/mean", Steps()),
        ("azimuth-2/trunk-20-of-60/routed", Steps()),
        ("azimuth-2/expert1", Steps(images=30)),
        ("azimuth-2/paper/distill-50", Steps(distillation=50)),
        ("azimuth-2/paper/distill-50-finetune-40", Steps(images=40)),
        ("azimuth-overlap-12/corrected/distill-5-finetune-7", Steps(images=7)),
    ],
)
def test_a_run_s_own_steps(run: str, steps: Steps) -> None:
    assert steps_of(run_at(run), scene()) == steps


def test_a_baseline_that_continues_a_trunk_trains_the_rest() -> None:
    trunk = run_at("trunk-200-of-600")
    assert steps_of(run_at("baseline-600"), scene(), (trunk,)) == Steps(images=400)


def test_steps_and_hours_add_up() -> None:
    steps = Steps(3, 4, 5) + Steps(10, 20, 30)
    assert steps == Steps(images=13, distillation=24, more=35)
    one = times("a", scene().model, training=2.0, distillation=5.0)
    assert one.hours(steps) == ((13 + 35) * 2 + 24 * 5) / 3600
    assert one.hours(Steps()) == 0


def test_a_device_counts_if_it_has_every_model_that_is_trained() -> None:
    small = scene()
    large = scene("room", model={"name": "large", "resolution": 256})
    runs = [
        (steps_of(run_at("baseline-1800"), small), small),
        (steps_of(run_at("azimuth-2/expert0"), small), small),
        (steps_of(run_at("azimuth-2/paper/distill-900"), small), small),
        (steps_of(run_at("baseline-7200", "room/large"), large), large),
    ]
    measured = [
        times("A", small.model, 2.0, 4.0),
        times("A", large.model, 10.0, 20.0),
        times("B", small.model, 1.0, 2.0),
    ]
    # (1830 * 2 + 900 * 4 + 7200 * 10) / 3600
    whole = "4 trainings: 9,030 steps on images, 900 of distillation"
    assert summary(runs, measured) == f"{whole}; 22 hours on A"
    # (1830 + 900 * 2) / 3600
    assert summary(runs[:3], measured).endswith("; 2.02 hours on A, 1.01 hours on B")
    # (600 + 30) / 3600
    few = [(Steps(images=30), small), (Steps(images=600), small)]
    assert summary(few, measured).endswith("; 21 minutes on A, 10 minutes on B")
    nothing = "no step times were measured for such models"
    assert summary(runs, measured[1:]) == f"{whole}; {nothing}"
    assert summary(runs, []) == f"{whole}; {nothing}"
    assert summary([], measured) == f"0 trainings: 0 steps on images, 0 of distillation; {nothing}"


def test_a_model_s_name_is_no_size_and_the_rays_are() -> None:
    named = scene(model={"name": "variant"})
    measured = [times("A", scene().model, 3600.0, 0.0)]
    steps = Steps(images=5)
    assert summary([(steps, named)], measured).endswith("; 5 hours on A")
    rays = scene(train={"steps": 30, "rays": 17})
    assert summary([(steps, rays)], measured).endswith("for such models")


def test_step_times_come_back_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "step_times.json"
    entry = times("A", toy.model_settings(), 0.25, 0.5)
    path.write_text(json.dumps([asdict(entry)]))
    assert read_step_times(path) == [entry]


@pytest.mark.parametrize("content", ["[1]", '[{"device": "A"}]', '[{"other": 1}]', "{", "{}"])
def test_damaged_step_times_are_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "step_times.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"step_times\.json") as caught:
        read_step_times(path)
    assert "\n" not in str(caught.value)


def test_step_times_of_a_wrong_kind_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "step_times.json"
    entry = asdict(times("A", toy.model_settings(), 0.25, 0.5))
    path.write_text(json.dumps([entry, entry | {"training": "fast"}]))
    with pytest.raises(UserError, match=r"step_times\.json: holds no step times \(1\.training: "):
        read_step_times(path)


def test_missing_step_times(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none"):
        read_step_times(tmp_path / "none.json")
