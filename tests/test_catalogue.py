from __future__ import annotations

from pathlib import Path

import pytest

from dac.catalogue import choose_model, choose_scene, models_of, scenes_of
from dac.errors import UserError

NAMES = (
    "baseline-600",
    "baseline-1200",
    "baseline-600-restart-600",
    "azimuth-4/expert0",
    "azimuth-4/expert10",
    "azimuth-4/expert2",
    "azimuth-4/corrected/distill-600",
    "azimuth-4/corrected/distill-600-finetune-600",
    "azimuth-overlap-6/paper/distill-600-finetune-900",
    "single-1/corrected/distill-600-finetune-600",
)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name in NAMES:
        for seed in (0, 1):
            _model(tmp_path / "lego/kplanes" / f"seed{seed}" / name)
    (tmp_path / "lego/scene").mkdir()
    (tmp_path / "lego/scene/scene.json").touch()
    _model(tmp_path / "lego/kplanes/seed0/something-else")
    (tmp_path / "lego/kplanes/seed0/baseline-9").mkdir()
    (tmp_path / "lego/kplanes/seed0/baseline-9/model.json").touch()  # no weights yet
    (tmp_path / "state/lego/kplanes/seed0").mkdir(parents=True)
    return tmp_path


def _model(folder: Path) -> None:
    folder.mkdir(parents=True)
    for file in ("model.json", "model.safetensors"):
        (folder / file).touch()


def test_paths_say_what_each_model_is(results: Path) -> None:
    assert scenes_of(results) == ["lego"]
    models = models_of(results, "lego")
    first = [model for model in models if model.seed == 0]
    assert [model.name for model in first] == [
        "baseline-600",
        "baseline-1200",
        "baseline-600-restart-600",
        "azimuth-4/expert0",
        "azimuth-4/expert2",
        "azimuth-4/expert10",
        "azimuth-4/corrected/distill-600",
        "single-1/corrected/distill-600-finetune-600",
        "azimuth-4/corrected/distill-600-finetune-600",
        "azimuth-overlap-6/paper/distill-600-finetune-900",
    ]
    assert len(models) == 2 * len(NAMES)
    expert, last = first[4], first[-1]
    assert (expert.kind, expert.division, expert.K, expert.group) == ("expert", "azimuth", 4, 2)
    assert (last.division, last.K, last.mode) == ("azimuth-overlap", 6, "paper")
    assert (last.earlier, last.steps, last.model) == (600, 900, "kplanes")
    assert last.folder == results / "lego/kplanes/seed0" / last.name
    assert last.title == "DaC (azimuth-overlap, K = 6, paper, 900 steps)"
    assert first[2].title == "baseline, restarted, 600 steps" and first[2].earlier == 600


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (None, NAMES[-2]),
        ("dac", NAMES[-2]),
        ("baseline", "baseline-1200"),
        ("baseline-600", "baseline-600"),
        ("expert2", "azimuth-4/expert2"),
        ("distilled", "azimuth-4/corrected/distill-600"),
        ("corrected/distill-600-finetune-600", "azimuth-4/corrected/distill-600-finetune-600"),
    ],
)
def test_a_name_means_a_model_of_the_first_seed(
    results: Path, asked: str | None, found: str
) -> None:
    model = choose_model(results, "lego", asked)
    assert (model.name, model.seed) == (found, 0)


def test_mistakes(results: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder; run the workflow"):
        choose_scene(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no scene; run"):
        choose_scene(tmp_path / "empty")
    assert choose_scene(results) == "lego"
    with pytest.raises(UserError, match="holds no scene ship; there is: lego"):
        choose_scene(results, "ship")
    with pytest.raises(UserError, match="holds no model expert9; there is: baseline-600, "):
        choose_model(results, "lego", "expert9")
    with pytest.raises(UserError, match="holds no trained model yet"):
        choose_model(results, "ship")
    (results / "ship/scene").mkdir(parents=True)
    (results / "ship/scene/scene.json").touch()
    with pytest.raises(UserError, match="holds 2 scenes; name one: lego, ship"):
        choose_scene(results)
