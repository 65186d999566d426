"""What runs, by hand, on one tiny configuration: studies, tables and figures, stages, inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from project import TINY

from dac.configuration import Configuration, NotConfiguredError
from dac.errors import UserError
from dac.runs import Run
from dac.settings import Study
from dac.storage.provenance import PACKAGE, closure
from dac.workflow import inputs
from dac.workflow.frozen import frozen_file, modules_of, settings_to_freeze
from dac.workflow.logs import errors_since
from dac.workflow.reports import FIGURES, TABLES, figures_wanted, tables_wanted
from dac.workflow.stages import REPORT_STAGES, STAGES
from dac.workflow.studies import all_trainings, records, scored_runs

SEED = "results/ball/kplanes/seed0"
STUDY: dict[str, Any] = {
    "partitions": [2, 3],
    "paths": [1, 2],
    "path_groups": [2, 3],
    "trunks": [0, 0.25, 0.5],
    "overlap_groups": 3,
    "schedule": [[4, 5], [5, 4]],
    "convergence": [5, 7, 9],
    "divisions": ["louvain", "random", "single", "azimuth"],
}


def configured(**changes: Any) -> Configuration:
    return Configuration.checked({**TINY, "study": STUDY, **changes})


def names(study: Study, configuration: Configuration) -> list[str]:
    runs = scored_runs(study, configuration.settings, configuration.scene("ball"))
    assert all(run.path == f"ball/kplanes/seed{run.seed}/{run.name}" for run in runs)
    return [run.name for run in runs]


BASELINES = ["baseline-6", "baseline-12"]
DAC = "corrected/distill-5-finetune-4"


@pytest.mark.parametrize(
    ("study", "runs"),
    [
        ("models", [f"azimuth-2/{DAC}"]),
        ("main", [*BASELINES, f"azimuth-2/{DAC}"]),
        (
            "controls",
            [
                *(*BASELINES, "baseline-21", "baseline-5-restart-4"),
                *(f"{groups}/corrected/distill-5" for groups in ("single-1", "random-2")),
                "azimuth-2/corrected/distill-5",
                *(f"{groups}/{DAC}" for groups in ("single-1", "random-2", "azimuth-2")),
                "azimuth-2",
            ],
        ),
        (
            "equal_path",
            [
                *(*BASELINES, "baseline-6-rays-2x", "baseline-6-wide-2x"),
                *(f"azimuth-2/trunk-{trunk}-of-{all}/routed" for trunk, all in ((2, 6), (3, 12))),
                "azimuth-3/trunk-2-of-6/routed",
                *(f"azimuth-2/trunk-{trunk}-of-6/routed" for trunk in (0, 3)),
                "random-2/trunk-2-of-6/routed",
                *("baseline-10", "baseline-21", f"azimuth-2/{DAC}"),
            ],
        ),
        ("partitions", [*BASELINES, f"azimuth-2/{DAC}", f"azimuth-3/{DAC}"]),
        ("overlap", [*BASELINES, f"azimuth-2/{DAC}", f"azimuth-overlap-3/{DAC}"]),
        (
            "schedule",
            [*BASELINES, "azimuth-2/corrected/distill-4-finetune-5", f"azimuth-2/{DAC}"],
        ),
        (
            "division",
            [
                *BASELINES,
                *(f"{groups}/{DAC}" for groups in ("louvain-2", "random-2")),
                *(f"{groups}/{DAC}" for groups in ("single-1", "azimuth-2")),
            ],
        ),
        (
            "convergence",
            [
                *(f"baseline-{steps}" for steps in (5, 7, 9, 21)),
                "azimuth-2/corrected/distill-5",
                "azimuth-2/corrected/distill-5-finetune-2",
                f"azimuth-2/{DAC}",
            ],
        ),
    ],
)
def test_what_a_study_looks_at(study: Study, runs: list[str]) -> None:
    assert names(study, configured(studies=[study])) == runs


def test_without_a_mode_there_is_one_model_on_all_views() -> None:
    plain = configured(studies=["models"], modes=[])
    assert names("models", plain) == ["baseline-6"]
    assert [run.name for run in all_trainings(plain.settings, plain.scene("ball"))] == [
        "baseline-6"
    ]
    with pytest.raises(UserError, match="config: modes: empty"):
        configured(studies=["models", "main"], modes=[])


def test_seeds_and_modes_multiply_what_they_concern() -> None:
    both = configured(seeds=[0, 3], modes=["paper", "corrected"])
    assert [
        f"{run.seed} {run.name}" for run in scored_runs("main", both.settings, both.scene("ball"))
    ] == [
        "0 baseline-6",
        "0 baseline-12",
        "3 baseline-6",
        "3 baseline-12",
        *(
            f"{seed} azimuth-2/{mode}/distill-5-finetune-4"
            for seed in (0, 3)
            for mode in ("paper", "corrected")
        ),
    ]


def test_trainings_are_what_is_scored_and_all_that_it_builds_on() -> None:
    one = configured()
    trained = {run.name for run in all_trainings(one.settings, one.scene("ball"))}
    assert trained == {
        *BASELINES,
        *("azimuth-2/expert0", "azimuth-2/expert1", "azimuth-2/corrected/distill-5"),
        f"azimuth-2/{DAC}",
    }


def test_records_lie_beside_the_models_and_the_experts_beside_their_groups() -> None:
    found = records("controls", configured(studies=["controls"]))
    assert found[0] == f"{SEED}/baseline-6/evaluation/evaluation.json"
    assert found[-1] == f"{SEED}/azimuth-2/experts-evaluation/evaluation.json"
    assert len(set(found)) == len(found) == 11


def test_targets() -> None:
    one = configured(studies=["main", "overlap"], modes=["paper", "corrected"])
    assert tables_wanted(one) == ["results/tables/main.csv", "results/tables/overlap.csv"]
    kinds = ("convergence", "losses", "points")
    assert set(figures_wanted(one)) == {
        "results/ball/azimuth-2/partition.png",
        *(f"results/figures/ball-{k}-{m}.png" for k in kinds for m in ("paper", "corrected")),
        *(f"results/figures/qualitative-{mode}.png" for mode in ("paper", "corrected")),
        "results/figures/ball-experts.png",
        "results/figures/ball-experts-points.png",
        "results/figures/overlap-study.png",
    }
    assert figures_wanted(configured(studies=["partitions"])) == []


def test_every_study_is_shown() -> None:
    assert {*TABLES, *(figure.study for figure in FIGURES.values())} == set(get_args(Study))
    assert {table.stage for table in TABLES.values()} | {
        figure.stage for figure in FIGURES.values()
    } == REPORT_STAGES.keys()


def test_figures_show_the_first_seed() -> None:
    one = configured(seeds=[3, 0])
    seed = SEED.replace("seed0", "seed3")
    curves = FIGURES["losses"].inputs(one, "ball", "paper")
    assert curves == {
        "baseline_1x": [f"{seed}/baseline-6/curve.json"],
        "baseline_2x": [f"{seed}/baseline-12/curve.json"],
        "experts": [f"{seed}/azimuth-2/expert{group}/curve.json" for group in (0, 1)],
        "distill": [f"{seed}/azimuth-2/paper/distill-5/curve.json"],
        "finetune": [f"{seed}/azimuth-2/paper/distill-5-finetune-4/curve.json"],
    }
    points = FIGURES["points_experts"].inputs(one, "ball", "")
    assert points["points"] == ["results/ball/points/points.npz"]
    assert points["ours"] == [f"{seed}/azimuth-2/experts-evaluation/evaluation.json"]
    with pytest.raises(NotConfiguredError, match="no scene 'bowl' in the configuration"):
        FIGURES["losses"].inputs(one, "bowl", "paper")


def test_labels_tell_figures_apart() -> None:
    assert FIGURES["losses"].labels == {"shows": "losses", "mode": "{mode}"}
    assert FIGURES["experts_figure"].labels == {"shows": "experts", "mode": "any"}
    assert FIGURES["overlap_figure"].labels == {"shows": "overlapping sectors"}


# --- Stages and frozen settings -----------------------------------------------------------------


def test_a_frozen_file_lies_where_its_stage_s_results_do() -> None:
    assert frozen_file("partition") == "{scene}/settings/partition.json"
    assert frozen_file("expert") == "{scene}/{model}/settings/expert.json"
    assert frozen_file("distill") == "{scene}/{model}/settings/distill-{mode}.json"
    assert frozen_file("main_table") == "settings/main_table.json"


def test_what_stands_in_a_path_is_not_frozen() -> None:
    one = configured()
    for stage in STAGES:
        found = settings_to_freeze(stage, one, "ball", "kplanes", "paper")
        assert "division" not in found and "K" not in found and "seeds" not in found
        for section in ("distill", "finetune"):
            assert "steps" not in found.get(section, {})
    assert "steps" not in settings_to_freeze("baseline", one, "ball", "kplanes")["train"]
    assert settings_to_freeze("expert", one, "ball", "kplanes")["train"]["steps"] == 6
    weights = settings_to_freeze("distill", one, "ball", "kplanes", "paper")["distill"]
    assert "paper" in weights and "corrected" not in weights


def test_a_path_that_the_configuration_does_not_have() -> None:
    with pytest.raises(NotConfiguredError, match="no scene 'bowl' in the configuration"):
        settings_to_freeze("partition", configured(), "bowl")
    what = "ball is configured with model 'kplanes', not 'wide'"
    with pytest.raises(NotConfiguredError, match=what):
        settings_to_freeze("expert", configured(), "ball", "wide")


def test_no_stage_imports_the_workflow() -> None:
    """Else each edit of its decisions would rerun everything."""
    for stage in (*STAGES, *REPORT_STAGES):
        files = {file.relative_to(PACKAGE).as_posix() for file in closure(*modules_of(stage))}
        assert not {file for file in files if file.startswith("workflow/") or file == "runs.py"}


# --- Inputs -------------------------------------------------------------------------------------


def entry(**values: Any) -> dict[str, Any]:
    return {"name": "ball", "path": "data", "division": "azimuth", "K": 2, **values}


def test_a_scene_s_own_files_and_those_that_its_settings_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("data/b.JPG", "data/sub/a.png", "data/notes.md", "data/.hidden.png", "out.txt"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()
    scene = entry(format="photos", settings={"scene": {"exclude": "out.txt"}})
    one = configured(scenes=[scene])
    files = ["data/b.JPG", "data/sub/a.png", "out.txt"]
    assert inputs.data_files(one, one.scene("ball")) == files
    made = [f"results/ball/sfm/{name}.bin" for name in ("cameras", "images", "points3D")]
    assert inputs.sfm_model(one, one.scene("ball")) == made
    assert inputs.sparse_model(one, one.scene("ball")) == made


def test_a_model_that_is_brought_along(tmp_path: Path) -> None:
    one = configured(scenes=[entry(format="colmap", path=str(tmp_path))])
    assert inputs.sfm_model(one, one.scene("ball")) == []
    assert inputs.sparse_model(one, one.scene("ball")) == []
    (tmp_path / "sparse").mkdir()
    for folder in (tmp_path, tmp_path / "sparse"):
        (folder / "images.txt").touch()
        (folder / "cameras.bin").touch()
    found = [str(tmp_path / "sparse" / name) for name in ("cameras.bin", "images.txt")]
    assert inputs.sparse_model(one, one.scene("ball")) == found


def test_what_is_made_of_a_blend_file_and_of_a_video(tmp_path: Path) -> None:
    blend = tmp_path / "ball.blend"
    blend.touch()
    one = configured(
        scenes=[entry(format="blend", path=str(blend))],
        render={"train_views": 3, "test_views": 1, "chunk": 2},
    )
    scene = one.scene("ball")
    assert inputs.data_set(one, scene) == {"path": "results/ball/views", "format": "blender"}
    assert inputs.given_files(scene) == [str(blend)]
    assert "results/ball/views/transforms_train.json" in inputs.data_files(one, scene)
    assert inputs.rendered(one, scene, "cameras.json") == [
        f"results/ball/rendered/{chunk}/cameras.json"
        for chunk in ("train-0-1", "train-2-2", "test-0-0")
    ]
    two = configured(scenes=[entry(format="video", path=str(blend))])
    scene = two.scene("ball")
    assert inputs.data_set(two, scene)["path"] == "results/ball/frames/photos"
    assert inputs.data_files(two, scene) == [
        "results/ball/frames/frames.json",
        "results/ball/frames/photos",
    ]


def test_the_divisions_that_read_the_covisibility() -> None:
    one = configured()
    matrix = ["results/ball/covisibility/covisibility.npz"]
    assert inputs.covisibility_for(one, one.scene("ball"), "louvain") == matrix
    assert inputs.covisibility_for(one, one.scene("ball"), "azimuth") == []


def test_the_longer_baseline_continues_the_shorter_where_the_schedule_lets_it() -> None:
    once = Run("ball", "kplanes", 0, "baseline", 6)
    twice, thrice = replace(once, steps=12), replace(once, steps=18)
    constant = configured(train={**TINY["train"], "schedule": "constant"})

    def continued(configuration: Configuration, run: Run) -> tuple[Run, ...]:
        return inputs.continued(configuration, run, configuration.scene("ball"))

    assert continued(constant, twice) == (once,)
    assert continued(constant, once) == continued(constant, thrice) == ()
    assert continued(configured(), twice) == continued(configured(), once) == ()


def test_the_baseline_continues_the_trunk_where_specialists_grow_from_it() -> None:
    once = Run("ball", "kplanes", 0, "baseline", 6)
    trunk = replace(once, kind="trunk", steps=None, trunk=2, horizon=6)
    for changes in (
        {"modes": ["routed"]},
        {"modes": ["paper", "merged"]},
        {"studies": ["equal_path"]},
    ):
        grown = configured(**changes)
        assert inputs.continued(grown, once, grown.scene("ball")) == (trunk,)
        assert inputs.continued(grown, replace(once, steps=12), grown.scene("ball")) == ()
    anew = configured(modes=["routed"], specialists={"trunk": 0})
    assert inputs.continued(anew, once, anew.scene("ball")) == ()


# --- What failed --------------------------------------------------------------------------------


def test_only_the_last_words_of_this_run_are_errors(tmp_path: Path) -> None:
    logs = tmp_path / "logs" / "ball"
    logs.mkdir(parents=True)
    said = {
        "b": "error: no\n",
        "a": "x\nerror: a thing\n",
        "fine": "error: not last\nok\n",
        "e": "",
    }
    for name, text in said.items():
        (logs / f"{name}.log").write_text(text)
    assert list(errors_since(tmp_path, 0.0)) == [
        f"error: a thing ({logs / 'a.log'})",
        f"error: no ({logs / 'b.log'})",
    ]
    assert list(errors_since(tmp_path, 2.0**40)) == []
