"""What is drawn and looked at in each mode in which one model is made of the experts."""

from __future__ import annotations

from typing import Any

import pytest
from project import TINY

from dac.configuration import Configuration
from dac.workflow.frozen import settings_to_freeze
from dac.workflow.reports import FIGURES, figures_wanted, tables_wanted
from dac.workflow.studies import records

SEED = "results/ball/kplanes/seed0"
GROWN = "azimuth-2/trunk-2-of-6"  # a third, so that it has whole steps


def configured(*modes: str, **changes: Any) -> Configuration:
    specialists = {"specialists": {"trunk": 0.3}}
    return Configuration.checked({**TINY, **specialists, "modes": list(modes), **changes})


@pytest.mark.parametrize(
    ("modes", "figures"),
    [
        (
            ["corrected"],
            [
                *("ball-convergence-corrected", "ball-losses-corrected", "ball-experts"),
                *("ball-points-corrected", "ball-experts-points", "qualitative-corrected"),
            ],
        ),
        (
            ["routed"],
            ["ball-convergence-routed", "ball-experts", "ball-points-routed", "qualitative-routed"],
        ),
        (["merged"], ["ball-convergence-merged", "ball-points-merged", "qualitative-merged"]),
        (
            ["merged", "paper"],
            [
                *("ball-convergence-merged", "ball-convergence-paper", "ball-losses-paper"),
                *("ball-experts", "ball-points-merged", "ball-points-paper"),
                *("ball-experts-points", "qualitative-merged", "qualitative-paper"),
            ],
        ),
    ],
)
def test_figures_of_modes(modes: list[str], figures: list[str]) -> None:
    one = configured(*modes)
    assert figures_wanted(one) == [
        *(f"results/figures/{name}.png" for name in figures),
        "results/ball/azimuth-2/partition.png",
    ]
    for mode in modes:
        for figure in FIGURES.values():
            if mode in figure.modes and figure.study == "main":
                assert all(figure.inputs(one, "ball", mode).values())


def test_curves_of_specialists() -> None:
    one = configured("routed", "merged")
    found = FIGURES["convergence"].inputs(one, "ball", "routed")
    shared = {
        "baseline_1x": [f"{SEED}/baseline-6/curve.json"],
        "baseline_2x": [f"{SEED}/baseline-12/curve.json"],
        "trunk": [f"{SEED}/trunk-2-of-6/curve.json"],
        "experts": [f"{SEED}/{GROWN}/expert{group}/curve.json" for group in (0, 1)],
    }
    assert found == shared | {
        "scored": [
            f"{SEED}/baseline-6/evaluation/evaluation.json",
            f"{SEED}/{GROWN}/routed/evaluation/evaluation.json",
        ]
    }
    assert FIGURES["convergence"].inputs(one, "ball", "merged") == shared | {
        "finetune": [f"{SEED}/{GROWN}/merged-finetune-4/curve.json"]
    }
    taught = configured("merged", specialists={"trunk": 0.3, "distill_steps": 5})
    assert FIGURES["convergence"].inputs(taught, "ball", "merged") == shared | {
        "distill": [f"{SEED}/{GROWN}/merged-distill-5/curve.json"],
        "finetune": [f"{SEED}/{GROWN}/merged-distill-5-finetune-4/curve.json"],
    }
    bare = configured("routed", specialists={"trunk": 0})
    assert "trunk" not in FIGURES["convergence"].inputs(bare, "ball", "routed")


def test_a_routed_model_is_held_against_the_baseline_of_its_path() -> None:
    one = configured("routed", "merged", "corrected")
    once, twice = (f"{SEED}/baseline-{n}/evaluation/evaluation.json" for n in (6, 12))
    routed = f"{SEED}/{GROWN}/routed/evaluation/evaluation.json"
    for name, theirs in (("points_figure", "baseline"), ("qualitative", "baselines")):
        rivals = {m: FIGURES[name].inputs(one, "ball", m) for m in one.settings.modes}
        assert {m: found[theirs] for m, found in rivals.items()} == {
            "routed": [once],
            "merged": [twice],
            "corrected": [twice],
        }
        assert rivals["routed"]["ours"] == [routed]
    # The experts that stay are told from their one record; the paper's have one of their own.
    assert FIGURES["experts_figure"].inputs(one, "ball", "") == {
        "experts": [routed],
        "baseline": [once],
    }
    paper = FIGURES["experts_figure"].inputs(configured("paper"), "ball", "")
    own = f"{SEED}/azimuth-2/experts-evaluation/evaluation.json"
    assert paper["experts"] == [own]
    assert FIGURES["points_experts"].inputs(one, "ball", "")["ours"] == [own]


def test_the_study_of_equal_paths() -> None:
    one = configured("routed", studies=["equal_path"])
    assert tables_wanted(one) == ["results/tables/equal_path.csv"]
    assert figures_wanted(one) == ["results/figures/equal-path.png"]
    looked = FIGURES["equal_path_figure"].inputs(one, "", "")
    assert looked == {"records": records("equal_path", one)}
    for stage in ("equal_path_table", "equal_path_figure"):
        assert settings_to_freeze(stage, one) == {"routed": {"ball": ["azimuth", 2, 0.3]}}
