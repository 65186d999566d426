"""All studies on one tiny scene: each cell once, all tables and figures, what an edit reaches."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from project import STUDIED, Project, job_counts

pytestmark = pytest.mark.slow

STUDIES: list[str] = STUDIED["studies"]
STUDY: dict[str, Any] = STUDIED["study"]
SEED = "results/ball/kplanes/seed0"
# All distinct cells: K = 2 experts of 6 steps, 5 of distillation, 4 of fine-tuning; 21 in all.
BASELINES = {f"baseline-{steps}" for steps in (6, 12, 5, 7, 9, 2 * 6 + 5 + 4)}
RESTARTS = {"baseline-5-restart-4"}
GROUPS = {"azimuth": (2, 3), "louvain": (2,), "random": (2,), "azimuth-overlap": (3,)}
EXPERTS = {
    f"{division}-{K}/expert{group}"
    for division, counts in GROUPS.items()
    for K in counts
    for group in range(K)
}
DIVISIONS = ("azimuth-2", "azimuth-3", "louvain-2", "random-2", "azimuth-overlap-3", "single-1")
DISTILLED = {f"{groups}/corrected/distill-5" for groups in DIVISIONS} | {
    "azimuth-2/corrected/distill-4"
}
FINETUNED = {f"{groups}/corrected/distill-5-finetune-4" for groups in DIVISIONS} | {
    "azimuth-2/corrected/distill-4-finetune-5",
    "azimuth-2/corrected/distill-5-finetune-2",
}
RUNS = BASELINES | RESTARTS | EXPERTS | DISTILLED | FINETUNED


def table(project: Project, name: str) -> list[dict[str, str]]:
    with (project.folder / f"results/tables/{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def columns(rows: list[dict[str, str]], *names: str) -> list[tuple[str, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def record(project: Project, run: str, name: str = "model.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project.folder / SEED / run / name).read_text())
    return found


def test_every_table_and_figure_is_there(studied: Project) -> None:
    results = studied.folder / "results"
    printed = {f"{study}.{kind}" for study in STUDIES[:-1] for kind in ("csv", "md", "tex", "html")}
    assert {path.name for path in (results / "tables").iterdir()} == printed | {"convergence.csv"}
    ours = {f"ball-{kind}-corrected" for kind in ("convergence", "losses", "points")}
    main = ours | {"ball-experts", "ball-experts-points", "qualitative-corrected"}
    names = main | {f"{study}-study" for study in ("convergence", "overlap", "controls")}
    files = {f"{name}.{kind}" for name in names for kind in ("png", "pdf")}
    assert {path.name for path in (results / "figures").iterdir()} == files
    for file in [*(results / "tables").iterdir(), *(results / "figures").iterdir()]:
        assert file.stat().st_size > 100, file
    # One picture of the groups, of the configured division.
    assert len(list(results.rglob("partition.png"))) == 1
    assert not list(results.rglob(".part-*"))
    assert not list((results / "state").rglob("step-*"))


def test_each_cell_was_trained_once(studied: Project) -> None:
    models = (studied.folder / "results").rglob("model.json")
    found = {path.parent.relative_to(studied.folder / SEED).as_posix() for path in models}
    assert found == RUNS
    assert len(RUNS) == 6 + 1 + (2 + 3 + 2 + 2 + 3) + 7 + 8 == 34
    log = (studied.folder / "run.log").read_text()
    images = (6 + 12 + 5 + 7 + 9 + 21) + 4 + 12 * 6 + (6 * 4 + 5 + 2)
    said = f"Configured: 34 trainings: {images} steps on images, {6 * 5 + 4} of distillation"
    assert said in log
    rules = ("baseline", "restart", "expert", "distill", "finetune")
    assert [job_counts(log)[rule] for rule in rules] == [6, 1, 12, 7, 8]


def test_a_single_group_s_expert_is_the_baseline(studied: Project) -> None:
    assert (studied.folder / "results/ball/single-1/partition.json").exists()
    assert not list(studied.folder.glob("results/ball/kplanes/*/single-1/expert*"))
    weights = (studied.folder / SEED / "baseline-6/model.safetensors").read_bytes()
    distilled = record(studied, "single-1/corrected/distill-5")
    assert distilled["inputs"]["expert0/model.safetensors"] == hashlib.sha256(weights).hexdigest()
    scored = record(
        studied, "single-1/corrected/distill-5-finetune-4/evaluation", "evaluation.json"
    )
    assert scored["cost"]["training_steps"] == 6 + 5 + 4


def test_the_restart_goes_on_from_the_baseline_and_counts_both(studied: Project) -> None:
    (run,) = RESTARTS
    again, before = record(studied, run), record(studied, "baseline-5")
    weights = (studied.folder / SEED / "baseline-5/model.safetensors").read_bytes()
    assert again["inputs"]["student/model.safetensors"] == hashlib.sha256(weights).hexdigest()
    assert again["stage_settings"]["distill"] is None
    assert (before["steps"], again["steps"]) == (5, 4)
    scored = record(studied, f"{run}/evaluation", "evaluation.json")
    assert scored["label"]["method"] == "restart" and scored["label"]["steps"] == 4
    assert scored["cost"]["training_steps"] == 5 + 4
    seconds = before["seconds"] + again["seconds"]
    assert scored["cost"]["training_seconds"] == pytest.approx(seconds)
    assert scored["cost"]["longest_path_seconds"] == pytest.approx(seconds)


ONCE, TWICE = ("baseline-1x", "6"), ("baseline-2x", "12")


@pytest.mark.parametrize(
    ("study", "rows"),
    [
        ("partitions", [("K = 2", "21"), ("K = 3", "27")]),
        ("overlap", [("azimuth-2", "21"), ("azimuth-overlap-3", "27")]),
        ("schedule", [("4 + 5", "21"), ("5 + 4", "21")]),
        (
            "division",
            [("louvain-2", "21"), ("random-2", "21"), ("single-1", "15"), ("azimuth-2", "21")],
        ),
    ],
)
def test_the_rows_of_an_ablation(studied: Project, study: str, rows: list[tuple[str, str]]) -> None:
    found = table(studied, study)
    assert columns(found, "setting", "total_steps") == [ONCE, TWICE, *rows]
    assert {row["study"] for row in found} == {study}


def test_the_rows_of_the_main_table_and_of_the_controls(studied: Project) -> None:
    main = columns(table(studied, "main"), "method", "total_steps")
    assert main == [ONCE, TWICE, ("dac", "21")]
    assert all(math.isfinite(float(row["psnr"])) for row in table(studied, "main"))
    names = ("method", "division", "K", "total_steps")
    assert columns(table(studied, "controls"), *names) == [
        ("baseline-1x", "", "", "6"),
        ("baseline-2x", "", "", "12"),
        ("baseline-3.5x", "", "", "21"),
        ("restart", "", "", "9"),
        ("experts", "azimuth", "2", "12"),
        ("oracle", "azimuth", "2", "12"),
        ("distilled", "single", "1", "11"),
        ("distilled", "random", "2", "17"),
        ("distilled", "azimuth", "2", "17"),
        ("dac", "single", "1", "15"),
        ("dac", "random", "2", "21"),
        ("dac", "azimuth", "2", "21"),
    ]
    words = (studied.folder / "results/tables/controls.md").read_text()
    assert len(re.findall(r"^- ball: ", words, re.M)) == 12


def test_the_points_of_the_convergence(studied: Project) -> None:
    names = ("line", "iterations", "total_steps")
    assert columns(table(studied, "convergence"), *names) == [
        ("standard", "5", "5"),
        ("standard", "7", "7"),
        ("standard", "9", "9"),
        ("DaC", "5", "17"),
        ("DaC", "7", "19"),
        ("DaC", "9", "21"),
        ("beyond", "21", "21"),
    ]


def test_what_studies_share_is_one_number(studied: Project) -> None:
    """DaC as configured stands in all tables."""
    ours = {"division": "azimuth", "K": "2", "distill_steps": "5", "steps": "4"}
    psnr = {
        (study, row["psnr"])
        for study in STUDIES[:-1]
        for row in table(studied, study)
        if ours.items() <= row.items()
    }
    assert len(psnr) == 6 and len({value for _, value in psnr}) == 1
    (last,) = [
        r for r in table(studied, "convergence") if (r["line"], r["iterations"]) == ("DaC", "9")
    ]
    assert last["psnr"] in {value for _, value in psnr}


def test_a_second_run_does_nothing(studied: Project) -> None:
    assert studied.planned() == {}
    result = studied.snakemake("--cores", "1")
    assert result.returncode == 0 and "Nothing to be done" in result.stdout + result.stderr


def test_a_study_that_is_left_out_plans_nothing(studied: Project) -> None:
    for study in STUDIES:
        with studied.configured(studies=[other for other in STUDIES if other != study]):
            assert studied.planned() == {}, study


ABLATIONS = {f"{study}_table": 1 for study in ("partitions", "overlap", "schedule", "division")}
TRAINED = {"distill": 1, "finetune": 1, "evaluate": 1}
NEW_GROUPS = {"partition": 1, **TRAINED}


@pytest.mark.parametrize(
    ("study", "cells"),
    [
        ({"partitions": [2, 3, 5]}, {**NEW_GROUPS, "expert": 5, "partitions_table": 1}),
        (
            {"overlap_groups": 4},
            {**NEW_GROUPS, "expert": 4, "overlap_table": 1, "overlap_figure": 1},
        ),
        ({"schedule": [[4, 5], [5, 4], [6, 3]]}, {**TRAINED, "schedule_table": 1}),
        # The distilled model is there.
        (
            {"schedule": [[4, 5], [5, 4], [5, 3]]},
            {"finetune": 1, "evaluate": 1, "schedule_table": 1},
        ),
        (
            {"divisions": [*STUDY["divisions"], "spectral"]},
            {**NEW_GROUPS, "expert": 2, "division_table": 1},
        ),
        (
            {"convergence": [5, 7, 9, 11]},
            {"baseline": 1, "finetune": 1, "evaluate": 2, "convergence_study": 1},
        ),
        # Before the distillation ends there is only the baseline; 6 steps it has anyway.
        ({"convergence": [3, 5, 7, 9]}, {"baseline": 1, "evaluate": 1, "convergence_study": 1}),
        ({"convergence": [5, 6, 7, 9]}, {"finetune": 1, "evaluate": 1, "convergence_study": 1}),
    ],
    ids=str,
)
def test_another_cell_plans_exactly_what_is_missing(
    studied: Project, study: Mapping[str, Any], cells: Mapping[str, int]
) -> None:
    with studied.configured(study=study):
        assert studied.planned() == cells


def test_another_seed_plans_every_cell_once(studied: Project) -> None:
    with studied.configured(seeds=[0, 1]):
        assert studied.planned() == {
            "baseline": len(BASELINES),
            "restart": len(RESTARTS),
            "expert": len(EXPERTS),
            "distill": len(DISTILLED),
            "finetune": len(FINETUNED),
            "evaluate": len(BASELINES | RESTARTS | FINETUNED) + 3,
            "evaluate_experts": 1,
            **ABLATIONS,
            **dict.fromkeys(("main_table", "controls_table", "convergence_study"), 1),
            **dict.fromkeys(("overlap_figure", "controls_figure"), 1),
        }


@pytest.mark.parametrize(
    ("file", "old", "new", "planned"),
    [
        (
            "figures/overlap",
            *("LEAST_SPAN = 0.5", "LEAST_SPAN = 0.6"),
            {"freeze_overlap_figure": 1, "overlap_figure": 1},
        ),
        (
            "figures/convergence_study",
            *("_BEYOND = (0, (5, 3))", "_BEYOND = (0, (4, 3))"),
            {"freeze_convergence_study": 1, "convergence_study": 1},
        ),
        (
            "tables/ablation",
            *('"Divisions"', '"The divisions"'),
            {"freeze_ablation_table": 1, **ABLATIONS},
        ),
        (
            "tables/controls",
            *('title="Controls"', 'title="All controls"'),
            {"freeze_controls_table": 1, "controls_table": 1},
        ),
    ],
)
def test_a_line_of_a_table_or_figure_reaches_that_one(
    studied: Project, file: str, old: str, new: str, planned: Mapping[str, int]
) -> None:
    with studied.edited(f"dac/report/{file}.py", old, new):
        assert studied.planned() == planned
    assert studied.planned() == {}


@pytest.mark.parametrize(
    ("caption", "planned"),
    [
        ("overlap", {"overlap_figure": 1}),
        ("ablation_table", ABLATIONS),
        ("controls", {"controls_figure": 1}),
        ("points_experts", {"points_experts": 1}),
        ("partition", {"diagnose": 1}),
        ("workflow", {}),
    ],
)
def test_a_word_of_a_caption_reaches_what_it_describes(
    studied: Project, caption: str, planned: Mapping[str, int]
) -> None:
    with studied.edited(f"rules/captions/{caption}.rst", "the ", "the very "):
        assert studied.planned() == planned


def test_tables_and_figures_are_made_again_to_the_same_bytes(
    studied: Project, tmp_path: Path
) -> None:
    project = studied.copy_to(tmp_path / "dac")
    shown = [project.folder / "results" / kind for kind in ("tables", "figures")]
    groups = project.folder / "results/ball/azimuth-2"

    def digests() -> dict[str, str]:
        files = [path for folder in shown for path in folder.iterdir()]
        files += [groups / f"partition.{kind}" for kind in ("png", "pdf")]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = digests()
    for folder in shown:
        shutil.rmtree(folder)
    (groups / "partition.png").unlink()
    (groups / "partition.pdf").unlink()
    planned = project.planned()
    assert ABLATIONS.items() <= planned.items() and sum(planned.values()) == 4 + 2 + 3 + 6 + 1
    result = project.snakemake("--cores", "2")
    assert result.returncode == 0, result.stderr[-4000:]
    assert digests() == before


def test_the_report_shows_every_study(studied: Project) -> None:
    result = studied.snakemake("--report", "results/report.html")
    assert result.returncode == 0, result.stderr[-4000:]
    page = (studied.folder / "results/report.html").read_text()
    for study in STUDIES[:-1]:
        assert f"{study}.html" in page
    for kind in ("partition", "convergence", "losses", "experts", "points", "qualitative"):
        assert kind in page
    for study in ("convergence", "overlap", "controls"):
        assert f"{study}-study.png" in page
    assert studied.planned() == {}
