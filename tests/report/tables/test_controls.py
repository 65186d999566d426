from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dac.errors import UserError
from dac.report.controls import controls, oracle
from dac.report.diagnosis import sentences, verdict
from dac.report.rows import load_rows
from dac.report.statistics import Paired
from dac.report.tables import controls as module

Recorder = Callable[..., Path]
Written = Callable[..., Any]
AZIMUTH = {"zoo": ("azimuth", 4)}
CONQUERED = {"division": "azimuth", "K": 4, "mode": "corrected"}


def _all(record: Recorder, scene: str = "zoo", **psnr: float) -> list[Path]:
    """Every control of one scene; DaC has 6,000 steps in all."""
    experts = {"groups": (0, 1, 1), "expert_psnr": ((29.0, 35.0), (31.0, 30.0), (26.0, 31.0))}
    value = {"once": 29.0, "twice": 29.5, "equal": 30.0, "restart": 29.6, "experts": 29.4}
    value |= {"distilled": 29.2, "lone_student": 28.9, "random_student": 28.5}
    value |= {"single": 29.8, "random": 29.9, "dac": 30.2} | psnr
    stage = CONQUERED | {"steps": 1000}
    tuned = stage | {"distill_steps": 1000, "total_steps": 6000}
    lone, chance = {"division": "single", "K": 1}, {"division": "random"}
    return [
        record(scene, "baseline-1x", value["once"], total_steps=1000),
        record(scene, "baseline-2x", value["twice"], total_steps=2000),
        record(scene, "baseline-6x", value["equal"], total_steps=6005),
        record(scene, "restart", value["restart"], total_steps=2000),
        record(scene, "experts", value["experts"], **(stage | {"mode": None}), **experts),
        record(scene, "distilled", value["distilled"], **stage),
        record(scene, "distilled", value["lone_student"], **(stage | lone)),
        record(scene, "distilled", value["random_student"], **(stage | chance)),
        record(scene, "dac", value["single"], **(tuned | lone)),
        record(scene, "dac", value["random"], **(tuned | chance)),
        record(scene, "dac", value["dac"], **tuned),
        record(scene, "dac", 30.1, **(tuned | {"mode": "paper"})),
    ]


def test_rows_in_their_order(record: Recorder, written: Written) -> None:
    other = CONQUERED | {"division": "louvain", "K": 3}
    records = [*_all(record), record("zoo", "dac", 35.0, **other)]
    written_table = written(module, records[::-1], divisions=AZIMUTH)
    table = written_table.csv
    assert table["name"].tolist() == [
        "KPlanes (1x)",
        "KPlanes (2x)",
        "KPlanes (6x)",
        "KPlanes (restart)",
        "Experts-KPlanes",
        "Oracle-KPlanes",
        "Distilled-KPlanes (single-1)",
        "Distilled-KPlanes (random-4)",
        "Distilled-KPlanes (azimuth-4)",
        "DaC-KPlanes (single-1, corrected)",
        "DaC-KPlanes (random-4, corrected)",
        "DaC-KPlanes (azimuth-4, paper)",
        "DaC-KPlanes (azimuth-4, corrected)",
    ]
    over = table["over_2x_psnr"].round(6)
    assert over[0] == -0.5 and np.isnan(over[1]) and over[12] == 0.7
    ahead = table["dac_over_psnr"].round(6)
    assert ahead[:3].tolist() == [1.2, 0.7, 0.2] and ahead[11:13].isna().all()
    assert table["dac_over_won"][:11].tolist() == [3, 3, 3, 3, 3, 1, 3, 3, 3, 3, 3]
    assert "DaC's PSNR (in the row's mode; else corrected)" in written_table.md
    rows = written_table.md.splitlines()
    assert "| **30.20** |" in rows[14] and "**" not in rows[7]  # the oracle's 31.73 is no model's
    assert "| 31.73 | -- | -- |" in rows[7]
    assert "- zoo, corrected mode: DaC over the 2x baseline: ahead" in written_table.md
    assert written_table.html.count("<li>") == 12 + 3
    text = written_table.tex
    assert text.startswith(r"\begin{tabular}{llrrrrrrrrrr}") and "ahead, " not in text
    assert {line.count(" & ") for line in text.splitlines() if line.endswith(r"\\")} == {11}


def test_the_oracle_takes_each_views_best_expert(record: Recorder) -> None:
    # The grid has other scores than the full views (-1, 0, 1 about 29.4): leads are what counts.
    grid = ((29.0, 25.0), (31.0, 30.0), (26.0, 31.0))
    path = record("zoo", "experts", 29.4, groups=(0, 1, 1), expert_psnr=grid)
    (row,) = load_rows([path])
    bound = oracle(row)
    assert bound is not None and bound.label.method == "oracle"
    assert bound.scores[0] == pytest.approx({"v-1": 28.4, "v0": 30.4, "v1": 30.4})
    assert bound.mean("psnr") == pytest.approx((28.4 + 30.4 + 30.4) / 3)
    assert bound.mean("ssim") is None and bound.spread("psnr") is None
    for more in ({}, {"groups": (0, 1, 2), "expert_psnr": grid}):
        (row,) = load_rows([record("zoo", "experts", 29.4, **more)])
        assert oracle(row) is None


def test_a_diagnosis_of_a_gain_that_is_the_methods(record: Recorder) -> None:
    text = sentences(controls(_all(record), AZIMUTH))
    assert [line.split(": ", 2)[1] for line in text[:12]] == [
        "the 2x baseline over the 1x baseline",
        "routed experts, each on its own views, over the 1x baseline",
        "the distilled student over the routed experts",
        "the distilled student of K = 1 over its one expert, the 1x baseline",
        "the distilled student over that of K = 1",
        "the distilled student over that of a random division",
        "DaC over the distilled student",
        "DaC over the 2x baseline",
        "DaC over DaC of a random division",
        "DaC over DaC of K = 1",
        "DaC over the baseline whose learning rate starts again",
        "DaC over the baseline (6x), of as many steps in all",
    ]
    assert [line.split(": ", 2)[:2] for line in text[12:]] == [
        ["zoo, paper mode", "DaC over the 2x baseline"],
        ["zoo, paper mode", "DaC over the baseline whose learning rate starts again"],
        ["zoo, paper mode", "DaC over the baseline (6x), of as many steps in all"],
    ]
    assert text[12].split(": ")[2].startswith("ahead, +0.60 dB")
    assert text[0] == (
        "zoo: the 2x baseline over the 1x baseline: ahead, +0.50 dB [+0.50, +0.50], "
        "ahead on 3/3 views, one seed. Nearly saturated (at most 0.6 dB)."
    )
    assert "behind, −0.20 dB" in text[2] and text[2].endswith("some of what the experts know.")
    assert "behind, −0.10 dB" in text[3] and text[3].endswith("own size is distilled.")
    assert "ahead, +0.30 dB" in text[4] and text[4].endswith("Several experts teach more than one.")
    assert "ahead, +0.70 dB" in text[5] and text[5].endswith("than as many of the whole.")
    assert text[6].endswith(
        "+1.00 dB [+1.00, +1.00], ahead on 3/3 views, one seed. Fine-tuning gains."
    )
    assert text[8].endswith("How the views are divided helps.")
    assert text[11].endswith("DaC gives more than its compute alone.")


def test_a_diagnosis_of_a_gain_that_is_not(record: Recorder) -> None:
    value = {"twice": 30.0, "equal": 31.0, "single": 30.5, "distilled": 30.4, "experts": 28.0}
    value |= {"lone_student": 30.6, "random_student": 30.5}
    text = sentences(controls(_all(record, **value), AZIMUTH))
    assert text[0].endswith("Not saturated (over 0.6 dB): what follows is about speed.")
    assert text[1].endswith("Experts fall behind even on their own views.")
    assert text[2].endswith("Distillation adds to what the experts know.")
    assert text[3].endswith("Distilling one model gains.")
    assert text[4].endswith("Several experts teach less than one.")
    assert text[5].endswith("it isn't their number.")
    assert text[6].endswith("Fine-tuning forgets.")
    assert text[9].endswith("One expert on all views does better.")
    assert text[11].endswith("The same compute spent on the baseline does better.")


def test_what_is_unsure_is_no_difference(record: Recorder) -> None:
    mixed = CONQUERED | {"spread": (1.1, 0.0, -1.0)}
    records = [record("zoo", "dac", 30.0, seed=seed, **mixed) for seed in (0, 1)]
    records += [record("zoo", "baseline-2x", 30.0, seed=seed, steps=50) for seed in (0, 1)]
    (line,) = sentences(controls(records, AZIMUTH))
    assert ": no difference, +0.03 dB [" in line and "ahead on 1/3 views, 2 seeds." in line
    assert line.endswith("In the paper's comparison no gain shows.")


def test_the_verdict_goes_by_the_interval() -> None:
    def of(low: float, high: float) -> str:
        return verdict(Paired(0.5, low, high, 1, 2, 1))

    assert of(np.nan, np.nan) == "no difference"
    assert of(0.01, 0.5) == "ahead"
    assert verdict(Paired(-0.5, -0.9, -0.1, 1, 2, 1)) == "behind"
    assert of(-0.01, 0.5) == of(0.0, 0.5) == of(-0.5, 0.0) == "no difference"


def test_of_one_view_nothing_is_sure(record: Recorder, written: Written) -> None:
    one = {"spread": [0.0]}
    records = [record("zoo", "baseline-2x", 29.5, seed=seed, **one) for seed in (0, 1)]
    records += [record("zoo", "dac", 30.0, seed=seed, **CONQUERED, **one) for seed in (0, 1)]
    written_table = written(module, records, divisions=AZIMUTH)
    table = written_table.csv
    assert table["over_2x_psnr"][1] == 0.5
    assert table[["over_2x_low", "over_2x_high"]].isna().all(axis=None)
    assert r"| +0.50 \[--\]† | 1/1 |" in written_table.md
    assert "of one test view there is no interval" in written_table.md
    assert r"no difference, +0.50 dB \[--\], ahead on 1/1 views" in written_table.md
    assert not any(word in written_table.files["csv"].read_text() for word in ("nan", "inf"))


def test_controls_share_the_mode_and_the_schedule_of_dac(record: Recorder) -> None:
    records = _all(record)
    found, paper = controls(records, AZIMUTH)
    assert paper.dac is not None and paper.dac.label.mode == paper.mode == "paper"
    assert paper.single is paper.random is paper.distilled is paper.lone_student is None
    assert paper.rows == found.rows
    assert found.dac is not None and found.dac.label.mode == "corrected"
    assert found.distilled is not None and found.lone_student is not None
    assert found.equal is not None
    (found,) = controls([*records[:5], record("zoo", "distilled", 1.0, **CONQUERED)], AZIMUTH)
    assert found.dac is found.distilled is None and len(found.rows) == 7
    later = record("zoo", "dac", 1.0, **CONQUERED, distill_steps=900)
    students = [record("zoo", "distilled", 1.0, steps=n, **CONQUERED) for n in (800, 900)]
    (found,) = controls([later, *students], AZIMUTH)
    assert found.distilled is not None and found.distilled.label.steps == 900


def test_scenes_apart(record: Recorder, written: Written) -> None:
    records = _all(record) + _all(record, "ant", dac=40.0)
    divisions = AZIMUTH | {"ant": ("random", 4)}
    written_table = written(module, records, divisions=divisions)
    assert written_table.tex.count(r"\midrule") == 2
    assert written_table.html.count('<tr class="ruled">') == 1
    # Where chance is the configured division, it is no control of itself.
    zoo, _, ant = controls(records, divisions)  # DaC of a random division has one mode
    assert zoo.random is not None and ant.random is None
    assert ant.dac is not None and ant.dac.label.division == "random"


def test_mistakes(record: Recorder) -> None:
    with pytest.raises(UserError, match="no configured division"):
        controls(_all(record), {"ant": ("azimuth", 4)})
    again = record("zoo", "dac", 1.0, **CONQUERED, steps=77)
    with pytest.raises(UserError, match="two runs of DaC in the division azimuth-4"):
        controls([*_all(record), again], AZIMUTH)
