"""A user's mistake is one line, before anything runs or from the job that finds it."""

from __future__ import annotations

import os
from typing import Any

import pytest

BALL = {"name": "ball", "path": "data/ball", "format": "colmap", "division": "azimuth", "K": 2}


def outputs(project) -> list[str]:
    """Every file under the results, but for logs and benchmarks."""
    results = project.folder / "results"
    files = (path.relative_to(results) for path in results.rglob("*") if path.is_file())
    return sorted(str(path) for path in files if path.parts[0] not in ("logs", "benchmarks"))


def the_error(said: str) -> str:
    """The one error line, which Snakemake's account is followed by once more, with its log."""
    at_once, at_the_end = (line for line in said.splitlines() if line.startswith("error: "))
    assert at_the_end.startswith(f"{at_once} (results/logs/ball/")
    return at_once


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"step": 5}}, "config/config.yaml: train.step: unknown key"),
        ({"train": {"learning_rate": "1e-2"}}, "train.learning_rate: '1e-2' is text to YAML"),
        ({"scenes": [BALL | {"path": "data/bowl"}]}, "scenes.ball.path: no such file or folder"),
        ({"scenes": [BALL | {"K": 0}]}, "config/config.yaml: scenes.0.K"),
        ({"scenes": [BALL | {"name": "logs"}]}, "scenes.logs: a reserved name"),
        (
            {"scenes": [BALL | {"settings": {"scene": {"masks": "no"}}}]},
            "scene.masks: no such file",
        ),
        ({"results": "Snakefile/results"}, "config/config.yaml: results:"),
        ({"results": "out/{scene}"}, "config/config.yaml: results: holds one of"),
    ],
)
def test_a_fault_in_the_configuration(fresh, changes: dict[str, Any], message: str) -> None:
    fresh.configure(**changes)
    result = fresh.snakemake("--cores", "1")
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith("error: ")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (fresh.folder / "results").exists()


def test_a_fault_in_an_overlay_names_it(fresh) -> None:
    overlay = fresh.folder / "config" / "mine.yaml"
    overlay.write_text("train: {steps: many}\n")
    result = fresh.snakemake("--cores", "1", "--configfile", "config/mine.yaml")
    assert result.returncode == 1
    assert "config/config.yaml + config/mine.yaml: train.steps" in result.stderr


def test_broken_yaml(fresh) -> None:
    fresh.config.write_text("scenes:\n  - {name: ball\ntrain: 1\n")
    result = fresh.snakemake("--cores", "1")
    assert result.returncode == 1
    assert "error: config/config.yaml: broken YAML at line 3" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_overlay_s_scenes_replace_the_list_and_other_sections_merge(fresh) -> None:
    overlay = fresh.folder / "config" / "mine.yaml"
    overlay.write_text(
        "scenes: [{name: other, path: data/ball, format: colmap, division: azimuth, K: 3}]\n"
        "train: {steps: 9}\n"
    )
    planned = fresh.snakemake("--dry-run", "--configfile", "config/mine.yaml")
    assert planned.returncode == 0, planned.stderr
    said = planned.stdout + planned.stderr
    assert "results/other/kplanes/seed0/azimuth-3/expert2" in said
    assert "baseline-18" in said
    assert "results/ball" not in said


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_results_folder_without_permission(fresh) -> None:
    fresh.folder.joinpath("locked").mkdir(mode=0o555)
    fresh.configure(results="locked/results")
    result = fresh.snakemake("--cores", "1")
    assert result.returncode == 1
    assert "error: config/config.yaml: results: no permission to write" in result.stderr


@pytest.mark.slow
def test_more_groups_than_views(fresh) -> None:
    fresh.configure(scenes=[BALL | {"K": 99}])
    target = "results/ball/azimuth-99/partition.json"
    result = fresh.snakemake("--cores", "1", "--", target)
    assert result.returncode == 1
    line = the_error(result.stderr)
    assert "choose K of at most 14" in line
    assert "Traceback" not in result.stderr
    log = (fresh.folder / "results/logs/ball/azimuth-99/partition.log").read_text()
    assert log.splitlines()[1:] == [line]  # the first says who ran it
    kept = {path.split("/")[1] for path in outputs(fresh)}
    assert kept == {"settings", "scene"}


@pytest.mark.slow
def test_a_truncated_photo(fresh) -> None:
    photo = fresh.folder / "data" / "ball" / "images" / "view_05.png"
    photo.write_bytes(photo.read_bytes()[:-60])
    result = fresh.snakemake("--cores", "1", "--", "results/ball/scene/scene.json")
    assert result.returncode == 1
    assert "view_05.png" in the_error(result.stderr)
    assert "Traceback" not in result.stderr
    assert outputs(fresh) == ["ball/settings/import_scene.json"]
