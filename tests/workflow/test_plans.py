"""After each kind of edit, exactly the stages that it reaches are planned again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# What shows DaC's final model, and what shows anything of a scene's runs.
DAC_FIGURES = dict.fromkeys(
    ("convergence", "losses", "points_figure", "qualitative", "main_table"), 1
)
AFTER_DISTILLATION = {"finetune": 1, "evaluate": 1, **DAC_FIGURES}
EXPERTS_FIGURES = {"evaluate_experts": 1, "experts_figure": 1, "points_experts": 1}
AFTER_EXPERTS = {"distill": 1, **EXPERTS_FIGURES, **AFTER_DISTILLATION}
DISTILL = "dac/conquer/distill.py"


def test_words_change_nothing(finished) -> None:
    """Documents, docstrings, comments, and the limits of settings."""
    notes = [finished.folder / folder / "notes.md" for folder in ("docs", "results")]
    for file in notes:
        file.parent.mkdir(exist_ok=True)
        file.write_text("More.\n")
    with (
        finished.edited(DISTILL, '"""', '"""Other words. '),
        finished.edited(DISTILL, "\nfrom ", "\n# A comment.\nfrom "),
        finished.edited("dac/settings.py", "Positive = Annotated", "\n\nPositive = Annotated"),
        finished.edited("README.md", "\n", "\nMore.\n"),
    ):
        assert finished.planned() == {}
    for file in notes:
        file.unlink()


def test_finetuning_settings_reach_finetuning(finished) -> None:
    with finished.configured(finetune={"steps": 3}):
        assert finished.planned() == AFTER_DISTILLATION
    with finished.configured(finetune={"learning_rate": 0.005}):
        assert finished.planned() == {"freeze_finetune": 1, **AFTER_DISTILLATION}
    assert finished.planned() == {}


def test_distillation_settings_reach_distillation(finished) -> None:
    expected = {"freeze_distill": 1, "distill": 1, **AFTER_DISTILLATION}
    with finished.configured(distill={"corrected": {"colour": 0.1}}):
        assert finished.planned() == expected
    # The weights of a mode that doesn't run concern nobody.
    with finished.configured(distill={"paper": {"colour": 0.1}}):
        assert finished.planned() == {}


def test_another_number_of_groups_keeps_the_scene_and_the_baseline(finished) -> None:
    scene = {"name": "ball", "path": "data/ball", "format": "colmap", "division": "azimuth", "K": 4}
    with finished.configured(scenes=[scene]):
        expected = {"partition": 1, "diagnose": 1, "expert": 4, **AFTER_EXPERTS}
        assert finished.planned() == expected


def test_another_division_by_covisibility_keeps_the_scene_and_the_baseline(finished) -> None:
    scene = {
        "name": "ball",
        "path": "data/ball",
        "format": "colmap",
        "division": "spectral",
        "K": 2,
    }
    with finished.configured(scenes=[scene]):
        planned = finished.planned()
        assert planned == {"partition": 1, "diagnose": 1, "expert": 2, **AFTER_EXPERTS}


def test_training_settings_keep_the_scene_and_its_division(finished) -> None:
    with finished.configured(train={"learning_rate": 0.02}):
        planned = finished.planned()
        frozen = {f"freeze_{stage}": 1 for stage in ("baseline", "expert", "distill", "finetune")}
        again = {"baseline": 2, "expert": 2, **AFTER_EXPERTS, "evaluate": 3}
        assert planned == frozen | again


def test_another_variant_of_the_model_stands_beside_the_first(finished) -> None:
    with finished.configured(model={"name": "wide", "channels": 8}):
        planned = finished.planned()
        assert not {"import_scene", "read_points", "covisibility", "partition"} & set(planned)
        assert planned["baseline"] == 2 and planned["expert"] == 2
    assert finished.planned() == {}


def test_another_seed_adds_its_runs(finished) -> None:
    with finished.configured(seeds=[0, 1]):
        planned = finished.planned()
        assert planned == {
            "baseline": 2,
            "expert": 2,
            "distill": 1,
            "finetune": 1,
            "evaluate": 3,
            "main_table": 1,
        }


def test_another_mode_shares_the_experts(finished) -> None:
    with finished.configured(modes=["corrected", "paper"]):
        planned = finished.planned()
        assert planned == {"freeze_distill": 1, "distill": 1, **AFTER_DISTILLATION}


def test_a_constant_schedule_lets_the_longer_baseline_continue_the_shorter(finished) -> None:
    with finished.configured(train={"schedule": "constant"}):
        said = finished.snakemake("--dry-run", "--printshellcmds").stdout
        job = said.split("Training the baseline on ball for 12 steps")[1].split("Job ")[0]
        assert "baseline-6/optimizer.safetensors" in job


def test_a_line_of_distillation_reaches_distillation_and_no_expert(finished) -> None:
    with finished.edited(
        DISTILL, "device = default_device()", "device = (default_device)()\n    device = device"
    ):
        expected = {"freeze_distill": 1, "distill": 1, **AFTER_DISTILLATION}
        assert finished.planned() == expected
    assert finished.planned() == {}


def test_a_line_of_the_losses_reaches_distillation_and_no_expert(finished) -> None:
    with finished.edited("dac/conquer/losses.py", "\nfrom ", "\nimport math\nfrom "):
        planned = finished.planned()
        assert planned == {"freeze_distill": 1, "distill": 1, **AFTER_DISTILLATION}


def test_a_line_of_a_figure_reaches_that_figure(finished) -> None:
    with finished.edited("dac/report/figures/convergence.py", '"#F3F6F5"', '"#F3F6F6"'):
        assert finished.planned() == {"freeze_convergence": 1, "convergence": 1}
    with finished.edited("dac/report/figures/losses.py", "alpha=0.2, lw=0", "alpha=0.3, lw=0"):
        assert finished.planned() == {"freeze_losses": 1, "losses": 1}


def test_a_word_of_a_caption_reaches_what_it_describes(finished) -> None:
    for caption, rule in (("convergence", "convergence"), ("main_table", "main_table")):
        with finished.edited(f"rules/captions/{caption}.rst", "the ", "the very "):
            assert finished.planned() == {rule: 1}
    assert finished.planned() == {}


def test_a_line_of_training_keeps_the_scene_and_its_division(finished) -> None:
    with finished.edited("dac/training/loop.py", "_READ_EVERY = 16", "_READ_EVERY = 8"):
        planned = finished.planned()
    assert planned["expert"] == 2 and planned["baseline"] == 2
    assert not {"import_scene", "read_points", "covisibility", "partition", "diagnose"} & set(
        planned
    )


def test_a_changed_photo_reaches_all_that_saw_it(finished) -> None:
    photo = finished.folder / "data" / "ball" / "images" / "view_03.png"
    content, times = photo.read_bytes(), photo.stat()
    os.utime(photo)  # a new date alone, as after a fresh clone, is no change
    assert finished.planned() == {}
    photo.write_bytes(content + b"more")
    try:
        planned = finished.planned()
    finally:
        photo.write_bytes(content)
        os.utime(photo, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert planned["import_scene"] == 1 and planned["expert"] == 2


def test_targets(finished, fresh) -> None:
    with finished.configured(finetune={"steps": 3}):
        expected = {"finetune": 1, "evaluate": 1, "main_table": 1, "tables": 1}
        assert finished.planned("tables") == expected
    whole = fresh.planned()
    assert set(whole) - set(fresh.planned("tables")) >= {"diagnose", "convergence", "qualitative"}
    expected = set(whole) - {"main_table", "freeze_main_table"} | {"figures"}
    assert set(fresh.planned("figures")) == expected


def run_folder(project) -> Path:
    name = "distill-5-finetune-4"
    return project.folder / "results/ball/kplanes/seed0/azimuth-2/corrected" / name


def test_a_queued_job_keeps_the_settings_that_it_was_planned_with(finished, tmp_path) -> None:
    """Edits of the configuration after submission reach no job that waits."""
    project = finished.copy_to(tmp_path / "dac")
    target = run_folder(project) / "model.json"
    project.configure(finetune={"learning_rate": 0.5}, train={"rays": 16})
    relative = str(target.relative_to(project.folder))
    queued = ("--cores", "1", "--allowed-rules", "finetune", "--force", "--", relative)
    result = project.snakemake(*queued)
    assert result.returncode == 0, result.stderr
    settings = json.loads(target.read_text())["stage_settings"]
    assert settings["finetune"]["learning_rate"] == 0.01
    assert settings["train"]["rays"] == 32


def test_a_queued_job_refuses_other_code_than_it_was_planned_with(finished, tmp_path) -> None:
    project = finished.copy_to(tmp_path / "dac")
    relative = str((run_folder(project) / "model.json").relative_to(project.folder))
    queued = ("--cores", "1", "--allowed-rules", "finetune", "--force", "--", relative)
    with project.edited("dac/training/loop.py", "_READ_EVERY = 16", "_READ_EVERY = 8"):
        result = project.snakemake(*queued)
        assert project.planned()["finetune"] == 1  # what "run snakemake again" then does
    assert result.returncode == 1
    line = "finetune.json: dac has changed since these settings were frozen; run snakemake again"
    assert line in result.stderr
    assert "Traceback" not in result.stderr
    log = project.folder / "results/logs" / Path(relative).parent.relative_to("results")
    assert line in log.with_name(f"{log.name}.log").read_text()


def test_no_second_name_of_a_result_is_left_when_all_is_done(finished) -> None:
    states = finished.folder / "results" / "state"
    assert states.is_dir() and not [path for path in states.rglob("*") if path.is_file()]
