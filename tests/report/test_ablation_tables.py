from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dac.errors import UserError
from dac.report.ablation import Study, ablation
from dac.report.tables.ablation import printed_ablation, write_ablation_table

Recorder = Callable[..., Path]
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


def _files(folder: Path) -> list[Path]:
    return [folder / f"study.{kind}" for kind in ("csv", "md", "tex", "html")]


def test_the_papers_layout(record: Recorder, tmp_path: Path) -> None:
    records = _divided(record, "Chair", {4: 30.2, 2: 30.0, 3: 30.2})
    records += _divided(record, "Ship", {2: 20.0, 3: 19.9, 4: 20.1})
    records += _baselines(record, "Chair", 29.0, 29.5) + _baselines(record, "Ship", 19.0, 19.8)
    records += [record("Chair", "experts", 40.0, division="azimuth", K=4)]
    csv, markdown, latex, html = _files(tmp_path)
    write_ablation_table("partitions", records, csv, markdown, latex, html)
    rows = markdown.read_text().splitlines()
    assert rows[0] == "| K | Chair | Ship | Avg | − K = 4 | Steps |"
    assert rows[1] == "|---|---:|---:|---:|---:|---:|"
    assert rows[2].startswith("| KPlanes (1x) | 29.00 | 19.00 | 24.00 | −1.15 ")
    assert rows[3].startswith("| KPlanes (2x) | 29.50 | 19.80 | 24.65 | −0.50 ")
    assert rows[4].startswith("| 2 | 30.00 | 20.00 | 25.00 | −0.15 ")
    assert rows[5].startswith("| 3 | **30.20** | 19.90 | 25.05 | −0.10 ")
    assert rows[6] == "| 4 | **30.20** | **20.10** | **25.15** | -- | 6,000 |"
    note = r"Chair +0.50 \[+0.50, +0.50\], Ship +0.80 \[+0.80, +0.80\]."
    assert note + " Over 0.6 dB a comparison is about training speed: Ship." in markdown.read_text()
    lines = latex.read_text().splitlines()
    assert lines[:3] == [
        r"\begin{tabular}{lrrrrr}",
        r"\toprule",
        r"K & Chair & Ship & Avg & $-$ K = 4 & Steps \\",
    ]
    assert [i for i, line in enumerate(lines) if line == r"\midrule"] == [3, 6]
    assert r"4 & \textbf{30.20} & \textbf{20.10} & \textbf{25.15} & -- & 6,000 \\" in lines
    assert html.read_text().count("<tr") == 6 and "<b>25.15</b>" in html.read_text()


def test_the_csv_is_in_long_form(record: Recorder, tmp_path: Path) -> None:
    records = _divided(record, "zoo", {2: 30.0, 4: 30.25}) + _baselines(record, "zoo", 29.0, 29.5)
    records += _divided(record, "ant", {2: 20.0})
    csv, *others = _files(tmp_path)
    write_ablation_table("partitions", records, csv, *others)
    table = pd.read_csv(csv)
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
    rows = others[0].read_text().splitlines()
    assert rows[5] == r"| 4 | **30.25** | -- | -- | -- | 6,000 |"


def test_the_difference_is_over_the_scenes_that_both_have(record: Recorder) -> None:
    records = _divided(record, "zoo", {2: 30.0, 4: 30.5}) + _divided(
        record, "ant", {2: 10.0, 4: 10.1}
    )
    records += _divided(record, "bee", {2: 5.0})
    rows = printed_ablation(ablation("partitions", records)).rows
    assert rows[0][-2].startswith("−0.30 [")
    unsure = _divided(record, "owl", {2: 20.0}) + _divided(
        record, "owl", {4: 20.1}, spread=SPREAD[::-1]
    )
    printed = printed_ablation(ablation("partitions", unsure))
    assert printed.rows[0][-2].endswith("†")
    assert "† the interval includes zero: no difference" in printed.notes[0]
    assert any("One seed" in note for note in printed.notes)
    assert any("nothing says whether they have stopped" in note for note in printed.notes)


def test_the_csv_pools_what_is_printed(record: Recorder, tmp_path: Path) -> None:
    records = _divided(record, "zoo", {2: 30.0, 4: 30.5}) + _divided(record, "ant", {4: 10.1})
    records += _divided(record, "ant", {2: 10.0}, spread=SPREAD[::-1])
    csv, markdown, *others = _files(tmp_path)
    write_ablation_table("partitions", records, csv, markdown, *others)
    line = pd.read_csv(csv).query("setting == 'K = 2'")
    names = [f"pooled_over_reference_{name}" for name in ("psnr", "low", "high", "won", "views")]
    assert len(line) == 2 and len(line[names].drop_duplicates()) == 1
    mean, low, high, won, views = line[names].iloc[0]
    assert mean == pytest.approx(-0.3) and (won, views) == (2, 8)
    assert f"{mean:+.2f} \\[{low:+.2f}, {high:+.2f}\\]".replace("-", "−") in markdown.read_text()


def test_of_one_view_there_is_no_interval(record: Recorder, tmp_path: Path) -> None:
    records = _divided(record, "zoo", {2: 30.0, 4: 30.5}, spread=[0.0])
    csv, markdown, *others = _files(tmp_path)
    write_ablation_table("partitions", records, csv, markdown, *others)
    assert pd.read_csv(csv)["pooled_over_reference_low"].isna().all()
    assert r"| −0.50 \[--\]† |" in markdown.read_text()
    assert "of one test view there is no interval" in markdown.read_text()


def test_seeds_are_averaged_with_their_spread(record: Recorder) -> None:
    records = []
    for seed, offset in enumerate((0.0, 1.0)):
        records += _divided(record, "zoo", {2: 30.0 + offset, 4: 30.5 + offset}, seed=seed)
        records += _divided(record, "ant", {2: 20.0 - offset, 4: 20.5}, seed=seed)
    printed = printed_ablation(ablation("partitions", records))
    assert printed.rows[0][1:4] == ["30.50 ± 0.71", "19.50 ± 0.71", "25.00 ± 0.00"]
    assert printed.rows[1][3] == "25.75 ± 0.35"
    assert not any("One seed" in note for note in printed.notes)


def test_schedules(record: Recorder) -> None:
    def run(distill: int, finetune: int, psnr: float) -> Path:
        more = {"division": "azimuth", "K": 4, "mode": "corrected"}
        return record("zoo", "dac", psnr, steps=finetune, distill_steps=distill, **more)

    records = [run(2000, 1000, 30.1), run(500, 2500, 30.0), run(1500, 1500, 30.3)]
    printed = printed_ablation(ablation("schedule", records))
    assert list(printed.head) == ["DST", "FT", "zoo", "− 1,500 + 1,500", "Steps"]
    assert [list(row[:3]) for row in printed.rows] == [
        ["500", "2,500", "30.00"],
        ["1,500", "1,500", "30.30"],
        ["2k", "1k", "30.10"],
    ]
    assert printed.bold == {(1, 2)} and printed.rules == set()
    first = printed_ablation(ablation("schedule", records[:2]))
    assert first.head[3] == "− 500 + 2,500"


@pytest.mark.parametrize("study", ["division", "overlap"])
def test_divisions_come_as_they_are_given(record: Recorder, study: Study) -> None:
    records = _divided(record, "zoo", {3: 30.0}, division="spectral")
    records += _divided(record, "zoo", {4: 30.2, 3: 30.1}, division="azimuth")
    printed = printed_ablation(ablation(study, records))
    assert list(printed.head) == ["Division", "K", "zoo", "− spectral-3", "Steps"]
    settings = [("spectral", "3"), ("azimuth", "3"), ("azimuth", "4")]
    assert [tuple(row[:2]) for row in printed.rows] == settings


def test_modes_are_rows_of_their_own(record: Recorder) -> None:
    records = _divided(record, "zoo", {2: 30.0, 4: 30.5}, mode="paper")
    records += _divided(record, "zoo", {2: 31.0, 4: 31.1}, mode="corrected")
    records += _baselines(record, "zoo", 29.0, 29.5)
    printed = printed_ablation(ablation("partitions", records))
    assert list(printed.head[:2]) == ["Mode", "K"] and printed.left == 2
    assert [tuple(row[:2]) for row in printed.rows[2:]] == [
        ("paper", "2"),
        ("paper", "4"),
        ("corrected", "2"),
        ("corrected", "4"),
    ]
    assert printed.rules == {2, 4} and printed.bold == {(5, 2)}
    assert printed.rows[4][-2].startswith("−0.10 [")  # from its own mode's K = 4


def test_the_papers_values_beside_ours(record: Recorder, tmp_path: Path) -> None:
    scenes = ("chair", "ficus", "hotdog", "materials", "Ship")
    records = [path for scene in scenes for path in _divided(record, scene, {2: 30.0, 4: 30.5})]
    records += _baselines(record, "chair", 29.0, 29.5)
    csv, markdown, *others = _files(tmp_path)
    write_ablation_table("partitions", records, csv, markdown, *others, paper=True)
    text = markdown.read_text()
    rows = text.splitlines()
    assert "| 29.00 (35.05) |" in rows[2]
    assert "| 30.00 (35.52) | 30.00 (32.80) |" in rows[4] and "| 30.00 (33.39) |" in rows[4]
    assert "**30.50 (38.08)**" in rows[5]
    assert "In parentheses: the paper's values (Table 3" in text
    assert "printed 33.39, is 33.99 by its own values" in text
    assert pd.read_csv(csv)["paper_psnr"][0] == 35.05
    write_ablation_table("partitions", records[:4], csv, markdown, *others, paper=True)
    assert "33.39 " not in markdown.read_text().split("In parentheses")[0]  # not its five scenes
    write_ablation_table("division", records, csv, markdown, *others, paper=True)
    assert "In parentheses" not in markdown.read_text()


def test_two_models_of_one_scene_are_two_columns(record: Recorder) -> None:
    records = _divided(record, "zoo", {2: 30.0}) + _divided(record, "zoo", {2: 31.0}, model="large")
    records += _baselines(record, "zoo", 29.0, 29.5)
    printed = printed_ablation(ablation("partitions", records))
    assert list(printed.head[1:3]) == ["zoo (KPlanes)", "zoo (large)"]
    assert printed.rows[0][:3] == ["Baseline (1x)", "29.00", "--"]


def test_equal_inputs_give_equal_bytes(record: Recorder, tmp_path: Path) -> None:
    records = _divided(record, "zoo", {2: 30.0, 4: 30.5}) + _divided(
        record, "ant", {2: 10.0, 4: 10.1}
    )
    for name in ("one", "two"):
        write_ablation_table("partitions", records, *_files(tmp_path / name))
    for one, two in zip(_files(tmp_path / "one"), _files(tmp_path / "two"), strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_mistakes(record: Recorder) -> None:
    with pytest.raises(UserError, match="no record of DaC for the study 'partitions'"):
        ablation("partitions", _baselines(record, "zoo", 29.0, 29.5))
    doubled = _divided(record, "zoo", {4: 30.0}) + _divided(
        record, "zoo", {4: 30.0}, division="random"
    )
    with pytest.raises(UserError, match=r"two runs for one cell \(4\)"):
        ablation("partitions", doubled)
    assert len(ablation("division", doubled).lines) == 2
