from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dac.errors import UserError
from dac.report.ablation import ablation
from dac.report.table import Table
from dac.report.tables import ablation as module
from dac.report.tables.ablation import printed_ablation

Recorder = Callable[..., Path]
Written = Callable[..., Any]
SPREAD = (-1.5, -0.5, 0.5, 1.5)


def _baselines(record: Recorder, scene: str, once: float, twice: float, **more: int) -> list[Path]:
    return [
        record(scene, f"baseline-{times}x", psnr, steps=1000 * times, spread=SPREAD, **more)
        for times, psnr in ((1, once), (2, twice))
    ]


def _divided(record: Recorder, scene: str, psnr: dict[int, float], **more: object) -> list[Path]:
    more = {"division": "azimuth", "mode": "corrected", "spread": SPREAD} | more
    return [
        record(scene, "dac", value, K=K, total_steps=1000 * (K + 2), **more)
        for K, value in psnr.items()
    ]


def _printed(study: str, records: list[Path]) -> Table:
    return printed_ablation(ablation(study, records))


def _bold(table: Table) -> set[tuple[int, int]]:
    """(row, column) of the best values."""
    return {(i, j) for i, line in enumerate(table.cells) for j, c in enumerate(line) if c.best}


def test_the_papers_layout(record: Recorder, written: Written) -> None:
    records = _divided(record, "Chair", {4: 30.2, 2: 30.0, 3: 30.2})
    records += _divided(record, "Ship", {2: 20.0, 3: 19.9, 4: 20.1})
    records += _baselines(record, "Chair", 29.0, 29.5) + _baselines(record, "Ship", 19.0, 19.8)
    records += [record("Chair", "experts", 40.0, division="azimuth", K=4)]
    table = written(module, records, "partitions")
    rows = table.md.splitlines()
    assert rows[0] == "| K | Chair | Ship | Avg | − K = 4 | Steps |"
    assert rows[1] == "|---|---:|---:|---:|---:|---:|"
    assert rows[2].startswith("| KPlanes (1x) | 29.00 | 19.00 | 24.00 | −1.15 ")
    assert rows[3].startswith("| KPlanes (2x) | 29.50 | 19.80 | 24.65 | −0.50 ")
    assert rows[4].startswith("| 2 | 30.00 | 20.00 | 25.00 | −0.15 ")
    assert rows[5].startswith("| 3 | **30.20** | 19.90 | 25.05 | −0.10 ")
    assert rows[6] == "| 4 | **30.20** | **20.10** | **25.15** | -- | 6,000 |"
    note = r"Chair +0.50 \[+0.50, +0.50\], Ship +0.80 \[+0.80, +0.80\]."
    assert note + " Over 0.6 dB a comparison is about training speed: Ship." in table.md
    lines = table.tex.splitlines()
    assert lines[:3] == [
        r"\begin{tabular}{lrrrrr}",
        r"\toprule",
        r"K & Chair & Ship & Avg & $-$ K = 4 & Steps \\",
    ]
    assert [i for i, line in enumerate(lines) if line == r"\midrule"] == [3, 6]
    assert r"4 & \textbf{30.20} & \textbf{20.10} & \textbf{25.15} & -- & 6,000 \\" in lines
    assert table.html.count("<tr") == 6 and "<strong>25.15</strong>" in table.html


def test_the_csv_is_in_long_form(record: Recorder, written: Written) -> None:
    records = _divided(record, "zoo", {2: 30.0, 4: 30.25}) + _baselines(record, "zoo", 29.0, 29.5)
    records += _divided(record, "ant", {2: 20.0})
    found = written(module, records, "partitions")
    table = found.csv
    assert list(zip(table["scene"], table["setting"], strict=True)) == [
        ("zoo", "baseline-1x"),
        ("zoo", "baseline-2x"),
        ("zoo", "K = 2"),
        ("ant", "K = 2"),
        ("zoo", "K = 4"),
    ]
    assert table["over_2x_psnr"].round(6).tolist()[::2] == [-0.5, 0.5, 0.75]
    assert np.isnan(table["over_2x_psnr"][1]) and np.isnan(table["over_2x_psnr"][3])
    assert table["over_2x_won"][2] == table["over_2x_views"][2] == 4
    assert table["over_reference_psnr"].round(6)[2] == -0.25
    assert table["over_reference_psnr"].isna().tolist() == [True, True, False, True, True]
    assert table["total_steps"].tolist() == [3000, 6000, 4000, 4000, 6000]
    assert set(table["reference"]) == {"K = 4"}
    pooled = table["pooled_over_reference_psnr"].round(6)  # as printed; once a line, on its rows
    assert pooled[:4].tolist() == [-1.25, -0.75, -0.25, -0.25] and np.isnan(pooled[4])
    assert table["pooled_over_reference_views"][:4].tolist() == [4] * 4  # of zoo alone
    # What one scene lacks is no average, and no contest.
    assert found.rows[3] == r"| 4 | **30.25** | -- | -- | -- | 6,000 |"


def test_the_difference_is_over_the_scenes_that_both_have(record: Recorder) -> None:
    records = _divided(record, "zoo", {2: 30.0, 4: 30.5}) + _divided(
        record, "ant", {2: 10.0, 4: 10.1}
    )
    records += _divided(record, "bee", {2: 5.0})
    rows = _printed("partitions", records).texts
    assert rows[0][-2].startswith("−0.30 [")
    unsure = _divided(record, "owl", {2: 20.0}) + _divided(
        record, "owl", {4: 20.1}, spread=SPREAD[::-1]
    )
    printed = _printed("partitions", unsure)
    assert printed.texts[0][-2].endswith("†")
    assert "† the interval includes zero: no difference" in printed.notes[0]
    assert any("One seed" in note for note in printed.notes)
    assert any("nothing says whether they have stopped" in note for note in printed.notes)


def test_the_csv_pools_what_is_printed(record: Recorder, written: Written) -> None:
    records = _divided(record, "zoo", {2: 30.0, 4: 30.5}) + _divided(record, "ant", {4: 10.1})
    records += _divided(record, "ant", {2: 10.0}, spread=SPREAD[::-1])
    table = written(module, records, "partitions")
    line = table.csv.query("setting == 'K = 2'")
    names = [f"pooled_over_reference_{name}" for name in ("psnr", "low", "high", "won", "views")]
    assert len(line) == 2 and len(line[names].drop_duplicates()) == 1
    mean, low, high, won, views = line[names].iloc[0]
    assert mean == pytest.approx(-0.3) and (won, views) == (2, 8)
    assert f"{mean:+.2f} \\[{low:+.2f}, {high:+.2f}\\]".replace("-", "−") in table.md


def test_of_one_view_there_is_no_interval(record: Recorder, written: Written) -> None:
    records = _divided(record, "zoo", {2: 30.0, 4: 30.5}, spread=[0.0])
    table = written(module, records, "partitions")
    assert table.csv["pooled_over_reference_low"].isna().all()
    assert r"| −0.50 \[--\]† |" in table.md
    assert "of one test view there is no interval" in table.md


def test_seeds_are_averaged_with_their_spread(record: Recorder) -> None:
    records = []
    for seed, offset in enumerate((0.0, 1.0)):
        records += _divided(record, "zoo", {2: 30.0 + offset, 4: 30.5 + offset}, seed=seed)
        records += _divided(record, "ant", {2: 20.0 - offset, 4: 20.5}, seed=seed)
    printed = _printed("partitions", records)
    assert printed.texts[0][1:4] == ["30.50 ± 0.71", "19.50 ± 0.71", "25.00 ± 0.00"]
    assert printed.texts[1][3] == "25.75 ± 0.35"
    assert not any("One seed" in note for note in printed.notes)


def test_schedules(record: Recorder) -> None:
    def run(distill: int, finetune: int, psnr: float) -> Path:
        more = {"division": "azimuth", "K": 4, "mode": "corrected"}
        return record("zoo", "dac", psnr, steps=finetune, distill_steps=distill, **more)

    records = [run(2000, 1000, 30.1), run(500, 2500, 30.0), run(1500, 1500, 30.3)]
    printed = _printed("schedule", records)
    assert list(printed.head) == ["DST", "FT", "zoo", "− 1,500 + 1,500", "Steps"]
    assert [list(row[:3]) for row in printed.texts] == [
        ["500", "2,500", "30.00"],
        ["1,500", "1,500", "30.30"],
        ["2k", "1k", "30.10"],
    ]
    assert _bold(printed) == {(1, 2)} and not any(map(printed.ruled, range(3)))
    first = _printed("schedule", records[:2])
    assert first.head[3] == "− 500 + 2,500"


@pytest.mark.parametrize("study", ["division", "overlap"])
def test_divisions_come_as_they_are_given(record: Recorder, study: str) -> None:
    records = _divided(record, "zoo", {3: 30.0}, division="spectral")
    records += _divided(record, "zoo", {4: 30.2, 3: 30.1}, division="azimuth")
    printed = _printed(study, records)
    assert list(printed.head) == ["Division", "K", "zoo", "− spectral-3", "Steps"]
    settings = [("spectral", "3"), ("azimuth", "3"), ("azimuth", "4")]
    assert [tuple(row[:2]) for row in printed.texts] == settings


def test_modes_are_rows_of_their_own(record: Recorder) -> None:
    records = _divided(record, "zoo", {2: 30.0, 4: 30.5}, mode="paper")
    records += _divided(record, "zoo", {2: 31.0, 4: 31.1}, mode="corrected")
    records += _baselines(record, "zoo", 29.0, 29.5)
    printed = _printed("partitions", records)
    assert list(printed.head[:2]) == ["Mode", "K"] and printed.left == 2
    assert [tuple(row[:2]) for row in printed.texts[2:]] == [
        ("paper", "2"),
        ("paper", "4"),
        ("corrected", "2"),
        ("corrected", "4"),
    ]
    assert [i for i in range(6) if printed.ruled(i)] == [2, 4] and _bold(printed) == {(5, 2)}
    assert printed.texts[4][-2].startswith("−0.10 [")  # from its own mode's K = 4


def test_the_papers_values_beside_ours(record: Recorder, written: Written) -> None:
    scenes = ("chair", "ficus", "hotdog", "materials", "Ship")
    records = [path for scene in scenes for path in _divided(record, scene, {2: 30.0, 4: 30.5})]
    records += _baselines(record, "chair", 29.0, 29.5)
    table = written(module, records, "partitions", paper_values=True)
    assert "| 29.00 (35.05) |" in table.rows[0]
    assert "| 30.00 (35.52) | 30.00 (32.80) |" in table.rows[2]
    assert "| 30.00 (33.39) |" in table.rows[2] and "**30.50 (38.08)**" in table.rows[3]
    assert "In parentheses: the paper's values (Table 3" in table.md
    assert "printed 33.39, is 33.99 by its own values" in table.md
    assert table.csv["paper_psnr"][0] == 35.05
    fewer = written(module, records[:4], "partitions", paper_values=True)
    assert "33.39 " not in fewer.md.split("In parentheses")[0]  # not its five scenes
    other = written(module, records, "division", paper_values=True)
    assert "In parentheses" not in other.md


def test_two_models_of_one_scene_are_two_columns(record: Recorder) -> None:
    records = _divided(record, "zoo", {2: 30.0}) + _divided(record, "zoo", {2: 31.0}, model="large")
    records += _baselines(record, "zoo", 29.0, 29.5)
    printed = _printed("partitions", records)
    assert list(printed.head[1:3]) == ["zoo (KPlanes)", "zoo (large)"]
    assert printed.texts[0][:3] == ["Baseline (1x)", "29.00", "--"]


def test_mistakes(record: Recorder) -> None:
    with pytest.raises(UserError, match="no record of DaC for the study 'partitions'"):
        ablation("partitions", _baselines(record, "zoo", 29.0, 29.5))
    doubled = _divided(record, "zoo", {4: 30.0}) + _divided(
        record, "zoo", {4: 30.0}, division="random"
    )
    with pytest.raises(UserError, match=r"two runs for one cell \(4\)"):
        ablation("partitions", doubled)
    assert len(ablation("division", doubled).settings) == 2
