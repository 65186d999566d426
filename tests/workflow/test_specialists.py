"""Specialists end to end: what is trained, once, what it cost, and what an edit reaches."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from project import TINY, Project, job_counts

pytestmark = pytest.mark.slow

SEED = "results/ball/kplanes/seed0"
GROWN = "azimuth-2/trunk-2-of-6"
RUNS = {
    *("baseline-6", "baseline-12", "trunk-2-of-6"),
    *(f"{GROWN}/{name}" for name in ("expert0", "expert1", "mean", "merged-finetune-4", "routed")),
}
BASE: dict[str, Any] = {**TINY, "modes": ["merged", "routed"]}


@pytest.fixture(scope="module")
def grown(new_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which specialists have been trained, merged and routed."""
    project = new_project(tmp_path_factory.mktemp("grown") / "dac", BASE)
    result = project.snakemake("--cores", "2")
    assert result.returncode == 0, result.stderr[-8000:]
    (project.folder / "run.log").write_text(result.stdout + result.stderr)
    return project


def record(project: Project, file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project.folder / SEED / file).read_text())
    return found


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_each_run_is_trained_once(grown: Project) -> None:
    models = (grown.folder / SEED).rglob("model.json")
    assert {path.parent.relative_to(grown.folder / SEED).as_posix() for path in models} == RUNS
    log = (grown.folder / "run.log").read_text()
    # The 1x baseline's last 4 steps, the 2x one's 12, the trunk, two specialists, the merged one.
    assert f"Configured: 6 trainings: {4 + 12 + 2 + 2 * 4 + 4} steps on images, 0 of" in log
    counts = job_counts(log)
    wanted = {"trunk": 1, "specialist": 2, "baseline": 2, "route": 1, "merge": 1}
    wanted |= {"finetune_merged": 1, "evaluate": 4}
    assert {rule: counts.get(rule, 0) for rule in wanted} == wanted
    assert not {"expert", "distill", "distill_merged", "finetune"} & counts.keys()
    assert grown.planned() == {}


def test_all_grow_from_the_trunk(grown: Project) -> None:
    trunk = digest(grown.folder / SEED / "trunk-2-of-6" / "model.safetensors")
    assert record(grown, "baseline-6/model.json")["inputs"]["init/model.safetensors"] == trunk
    for group in (0, 1):
        about = record(grown, f"{GROWN}/expert{group}/model.json")
        assert about["inputs"]["trunk/model.safetensors"] == trunk
        assert (about["steps"], about["earlier_steps"]) == (4, 2)
    for run, name, source in (
        ("mean", "expert1", "expert1"),
        ("merged-finetune-4", "student", "mean"),
    ):
        about = record(grown, f"{GROWN}/{run}/model.json")
        weights = digest(grown.folder / SEED / GROWN / source / "model.safetensors")
        assert about["inputs"][f"{name}/model.safetensors"] == weights


def test_scores_know_what_they_cost(grown: Project) -> None:
    costs = {
        name: record(grown, f"{name}/evaluation/evaluation.json")["cost"]
        for name in ("baseline-6", f"{GROWN}/routed", f"{GROWN}/merged-finetune-4")
    }
    steps = [(cost["training_steps"], cost["longest_path_steps"]) for cost in costs.values()]
    assert steps == [(6, 6), (2 + 2 * 4, 6), (2 + 2 * 4 + 4, 6 + 4)]
    with (grown.folder / "results/tables/main.csv").open(newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["baseline-1x", "baseline-2x", "merged", "routed"]
    assert rows["routed"]["total_steps"] == "10"
    scored = record(grown, f"{GROWN}/routed/evaluation/evaluation.json")
    assert {image["group"] for image in scored["images"]} <= {0, 1}
    assert all(len(image["expert_psnr"]) == 2 for image in scored["images"])


def test_how_experts_blend_trains_nothing_again(grown: Project) -> None:
    with grown.configured(specialists={"blend": 0.3}):
        planned = grown.planned()
    assert planned["route"] == planned["evaluate"] == 1
    assert not {"trunk", "specialist", "baseline", "merge", "finetune_merged"} & planned.keys()


def test_another_trunk_trains_specialists_and_the_baseline_s_rest(grown: Project) -> None:
    with grown.configured(specialists={"trunk": 0.5}):
        planned = grown.planned()
    # The 1x baseline is the same whatever it goes on from, and is trained again all the same.
    wanted = {"trunk": 1, "specialist": 2, "baseline": 1, "route": 1}
    wanted |= {"merge": 1, "finetune_merged": 1}
    assert {rule: planned.get(rule, 0) for rule in wanted} == wanted


def test_the_mean_may_be_distilled_into_before_it_is_fine_tuned(grown: Project) -> None:
    taught = f"{GROWN}/merged-distill-3-finetune-4"
    with grown.configured(specialists={"distill_steps": 3}):
        planned = grown.planned()
        assert planned["distill_merged"] == planned["finetune_merged"] == planned["evaluate"] == 1
        assert not {"specialist", "merge", "route"} & planned.keys()
        wanted = f"{SEED}/{taught}/evaluation/evaluation.json"
        result = grown.snakemake("--cores", "2", "--", wanted)
    assert result.returncode == 0, result.stderr[-8000:]
    trained = record(grown, f"{GROWN}/merged-distill-3/model.json")
    mean = digest(grown.folder / SEED / GROWN / "mean" / "model.safetensors")
    assert trained["inputs"]["init/model.safetensors"] == mean
    scored = record(grown, f"{taught}/evaluation/evaluation.json")
    cost, label = scored["cost"], scored["label"]
    assert (cost["training_steps"], cost["longest_path_steps"]) == (10 + 3 + 4, 6 + 3 + 4)
    assert (label["method"], label["distill_steps"], label["steps"]) == ("merged", 3, 4)
