"""Configurations: strict values, one-line faults with the key, overrides by scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from dac.configuration import SECTIONS, merge, parse, resolve
from dac.errors import UserError
from dac.settings import Conquer
from dac.storage.yaml_files import read_yaml

ROOT = Path(__file__).resolve().parents[1]


def configuration(**changes: Any) -> dict[str, Any]:
    scene = {"name": "lego", "path": "data", "format": "blender", "division": "azimuth", "K": 4}
    return {"scenes": [scene], **changes}


def with_scene(**changes: Any) -> dict[str, Any]:
    data = configuration()
    return {"scenes": [data["scenes"][0] | changes]}


def continued(**changes: Any) -> dict[str, Any]:
    """30 steps of distillation, on whose schedule 30 of fine-tuning go on."""
    phases = {"distill": {"steps": 30, "horizon": 60}}
    return configuration(**phases, finetune={"steps": 30, "start": "continued"}, **changes)


def test_five_lines_are_enough() -> None:
    settings = parse(configuration())
    assert resolve(settings, "lego").train == settings.train
    assert settings.train.steps == 30_000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (configuration(colour=1), "config: colour: unknown key"),
        (configuration(train={"step": 5}), "config: train.step: unknown key"),
        (
            configuration(train={"learning_rate": "1e-2"}),
            "config: train.learning_rate: '1e-2' is text",
        ),
        (
            configuration(train={"steps": "600"}),
            "config: train.steps: Input should be a valid integer",
        ),
        (configuration(train={"steps": 6.5}), "config: train.steps"),
        (configuration(train={"steps": True}), "config: train.steps"),
        (configuration(train={"steps": 0}), "config: train.steps"),
        (configuration(train={"distortion": float("nan")}), "config: train.distortion"),
        (configuration(train={"distortion": float("inf")}), "config: train.distortion"),
        (configuration(train=None), "config: train"),
        (configuration(model={"scales": 4}), "config: model.scales"),
        (configuration(model={"name": "K Planes"}), "config: model.name"),
        (configuration(modes=["best"]), "config: modes.0"),
        (configuration(modes=[]), "config: modes: empty, or one twice"),
        (configuration(seeds=[0, 0]), "config: seeds: empty, or one twice"),
        (configuration(scene={"near": 3.0, "far": 2.0}), "config: scene: near must be below far"),
        (configuration(scene={"split": "list"}), "config: scene: split 'list' needs test_list"),
        (configuration(results=5), "config: results"),
        ({"scenes": []}, "config: scenes: no scene is listed"),
        ({}, "config: scenes: missing"),
        (with_scene(K="4"), "config: scenes.0.K"),
        (with_scene(K=0), "config: scenes.0.K"),
        (with_scene(name="../out"), "config: scenes.0.name"),
        (with_scene(division="azimut"), "config: scenes.0.division"),
        (with_scene(format="llff"), "config: scenes.0.format"),
        (
            with_scene(settings={"train": {"step": 5}}),
            "scenes.lego.settings.train: step: unknown key",
        ),
        (with_scene(settings={"trains": {}}), "scenes.lego.settings.trains: unknown section"),
        (configuration(finetune={"start": "continued"}), "needs distill.horizon = 60000"),
        (
            configuration(render={"test_views": 300, "candidates": 299}),
            "render.candidates must be at least 300, the number of views",
        ),
        (configuration(render={"camera_angle_x": 3.2}), "config: render.camera_angle_x"),
        (configuration(render={"minimum_elevation": 90}), "config: render.minimum_elevation"),
        (configuration(render={"centre": [0, 0]}), "config: render.centre"),
        (configuration(train={"steps": {1, 2}}), "not plain data"),
        (configuration(studies=[]), "config: studies: empty, or one twice"),
        (configuration(studies=["main", "main"]), "config: studies: empty, or one twice"),
        (
            configuration(modes=["merged"], studies=["schedule", "main", "division"]),
            "config: modes: no mode distils, but the study 'division' looks at distilled",
        ),
        (
            configuration(studies=["table3"]),
            "config: studies.0: Input should be 'models', 'main', 'equal_path'",
        ),
        (configuration(study={"partition": [2]}), "config: study.partition: unknown key"),
        (configuration(study={"partitions": []}), "config: study.partitions: Tuple should have"),
        (configuration(study={"partitions": [2, 0]}), "config: study.partitions.1"),
        (configuration(study={"overlap_groups": [6]}), "config: study.overlap_groups"),
        (configuration(study={"schedule": [[5]]}), "config: study.schedule.0.1: missing"),
        (configuration(study={"divisions": ["azimut"]}), "config: study.divisions.0"),
        (
            configuration(study={"partitions": [2, 3, 2]}),
            "config: study: partitions lists a value twice",
        ),
        (
            configuration(study={"schedule": [[1, 2], [2, 1], [1, 2]]}),
            "config: study: schedule lists a value twice",
        ),
        (
            configuration(study={"divisions": ["single", "single"]}),
            "config: study: divisions lists a value twice",
        ),
        (
            configuration(study={"convergence": [40_000, 40_000]}),
            "config: study: convergence lists a value twice",
        ),
        (
            continued(studies=["schedule"], study={"schedule": [[10, 50], [20, 30]]}),
            "config: study.schedule: 20 + 30 steps are not distill.horizon = 60, which "
            "finetune.start 'continued' needs (scene lego); choose pairs of that sum",
        ),
        (
            continued(studies=["convergence"], study={"convergence": [10, 20]}),
            "config: study.convergence: ends before the distillation of lego does (30 steps); "
            "list larger numbers",
        ),
        (
            continued(studies=["convergence"], study={"convergence": [30, 61]}),
            "config: study.convergence: goes beyond distill.horizon = 60 of lego; "
            "list smaller numbers",
        ),
    ],
)
def test_faults_are_one_line_that_names_the_key(data: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(data)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        continued(studies=["schedule"], study={"schedule": [[1, 59], [30, 30], [59, 1]]}),
        continued(studies=["convergence"], study={"convergence": [10, 30, 60]}),
        # What no configured study looks at may be anything.
        continued(studies=["main"], study={"schedule": [[1, 1]], "convergence": [1, 99]}),
        # Each phase has a schedule of its own.
        configuration(studies=["schedule"], study={"schedule": [[1, 2], [30, 40]]}),
        configuration(studies=["convergence"], study={"convergence": [1, 99_999]}),
    ],
)
def test_studies_that_the_schedules_allow(data: dict[str, Any]) -> None:
    assert parse(data).study.overlap_groups == 6


def test_a_study_is_checked_against_every_scene() -> None:
    data = continued(studies=["convergence"], study={"convergence": [30, 60]})
    phases = {"distill": {"steps": 10, "horizon": 40}}
    data["scenes"].append(data["scenes"][0] | {"name": "ship", "settings": phases})
    with pytest.raises(UserError, match=r"goes beyond distill\.horizon = 40 of ship"):
        parse(data)


def test_two_scenes_of_one_name() -> None:
    data = configuration()
    data["scenes"] *= 2
    with pytest.raises(UserError, match="two scenes are named 'lego'"):
        parse(data)


def test_a_missing_key_of_a_scene() -> None:
    data = configuration()
    del data["scenes"][0]["division"]
    with pytest.raises(UserError, match=r"config: scenes\.0\.division: missing"):
        parse(data)


def test_yaml_reads_1e_2_as_text_and_the_message_says_what_to_write() -> None:
    data = configuration(**yaml.safe_load("train: {learning_rate: 1e-2}"))
    with pytest.raises(UserError, match=r"write 0\.01"):
        parse(data)


def test_a_scene_overrides_single_values() -> None:
    override = {"train": {"steps": 7}, "distill": {"corrected": {"colour": 0.25}}}
    data = with_scene(settings=override) | {"train": {"rays": 99}}
    scene = resolve(parse(data), "lego")
    assert (scene.train.steps, scene.train.rays) == (7, 99)
    assert (scene.distill.corrected.colour, scene.distill.corrected.alpha) == (0.25, 0.5)


def test_merge_changes_neither_side() -> None:
    base, over = {"a": {"b": 1, "c": [1, 2]}}, {"a": {"c": [3]}, "d": {"e": 1}}
    merged = merge(base, over)
    assert merged == {"a": {"b": 1, "c": [3]}, "d": {"e": 1}}
    merged["a"]["c"].append(4)
    merged["d"]["e"] = 2
    assert base == {"a": {"b": 1, "c": [1, 2]}} and over == {"a": {"c": [3]}, "d": {"e": 1}}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "config").rglob("*.yaml")), ids=lambda path: path.stem
)
def test_configurations_that_ship_are_valid(path: Path) -> None:
    """Of all modes, since some go on top of a configuration that distils."""
    base = read_yaml(ROOT / "config" / "config.yaml") | {"modes": list(get_args(Conquer))}
    settings = parse(merge(base, read_yaml(path)))
    assert set(SECTIONS) <= set(type(settings).model_fields)
