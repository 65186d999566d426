from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dac.errors import UserError
from dac.report.tables import main
from dac.report.tables.main import format_main_table

Recorder = Callable[..., Path]
Written = Callable[..., Any]


def _three(record: Recorder, scene: str, *psnr: float, **more: object) -> list[Path]:
    methods = ("baseline-1x", "baseline-2x", "dac")
    return [
        record(scene, method, value, **more) for method, value in zip(methods, psnr, strict=True)
    ]


def test_rows_in_the_papers_order(record: Recorder, written: Written) -> None:
    records = _three(record, "zoo", 30.0, 30.5, 30.75) + _three(record, "ant", 20.0, 20.2, 20.1)
    records += [record("zoo", "experts", 31.0), record("zoo", "distilled", 29.0)]
    table = written(main, [*records[1:], records[0]]).csv
    assert list(zip(table["scene"], table["method"], strict=True)) == [
        ("zoo", "baseline-1x"),
        ("zoo", "baseline-2x"),
        ("zoo", "experts"),
        ("zoo", "distilled"),
        ("zoo", "dac"),
        ("ant", "baseline-1x"),
        ("ant", "baseline-2x"),
        ("ant", "dac"),
    ]


def test_columns(record: Recorder, written: Written) -> None:
    more = {"path_steps": 100, "model_bytes": 4_640_456}
    table = written(main, _three(record, "zoo", 30.0, 30.504, 30.6, **more), paper_values=True)
    assert list(table.csv) == [
        *("scene", "name", "model", "method", "division", "K", "mode", "distill_steps"),
        *("trunk", "horizon", "steps"),
        *("seeds", "psnr", "ssim", "ms_ssim", "psnr_std", "ssim_std", "ms_ssim_std"),
        *("total_steps", "training_seconds", "longest_path_seconds"),
        *("gain_over", "gain_psnr", "gain_low", "gain_high", "gain_won", "gain_views"),
        *("gain_seeds", "path_steps", "model_bytes"),
        *("seconds_per_db", "test_views", "test_views_available", "mean_image_psnr"),
        *("parameters", "memory_bytes", "rays_per_second"),
        *("paper_psnr", "paper_ssim", "paper_ms_ssim"),
    ]
    head = table.md.splitlines()[0]
    assert head == (
        "| Scene | Model | PSNR ↑ | SSIM ↑ | MS-SSIM ↑ | Paper | Gain | Won "
        "| Steps | Path | Seconds | MB | s/dB | Params | Memory | Mrays/s |"
    )
    assert table.rows[1] == (
        r"| zoo | KPlanes (2x) | 30.50 | 0.900 | 0.950 | -- "
        r"| +0.50 \[+0.50, +0.50\] over 1x | 3/3 "
        "| 300 | 100 | 61 | 4.6 | -- | 0.001 M | 2.0 GB | 0.05 |"
    )


def test_gains_are_over_the_row_before(record: Recorder, written: Written) -> None:
    table = written(main, _three(record, "zoo", 30.0, 30.5, 30.4)).csv.set_index("method")
    assert np.isnan(table["gain_psnr"]["baseline-1x"])
    assert table["gain_psnr"]["baseline-2x"] == pytest.approx(0.5)
    assert table["gain_psnr"]["dac"] == pytest.approx(-0.1)
    assert table["gain_over"]["dac"] == "baseline-2x"


def test_specialists_are_held_against_the_baseline_of_their_path(
    record: Recorder, written: Written
) -> None:
    """Routed ones have gone 100 steps, as the 1x baseline; merged ones 200, as the 2x; DaC 300.

    What a row costs stands beside it; a record of before, without path and bytes, has none.
    """
    label = {"division": "azimuth", "K": 4, "trunk": 25, "horizon": 100}
    records = [
        record("zoo", "baseline-1x", 30.0, path_steps=100, total_steps=100, model_bytes=4_600_000),
        record("zoo", "baseline-2x", 31.0, steps=200, path_steps=200, total_steps=200),
        record("zoo", "merged", 31.1, path_steps=200, total_steps=425, **label),
        record(
            "zoo", "routed", 31.8, path_steps=100, total_steps=325, model_bytes=2 * 10**6, **label
        ),
        record("zoo", "dac", 30.9, mode="corrected", division="azimuth", K=4),
    ]
    table = written(main, records)
    rows = table.csv.set_index("method")
    assert rows["gain_over"].fillna("").to_dict() == {
        "baseline-1x": "",
        "baseline-2x": "baseline-1x",
        "dac": "baseline-2x",
        "merged": "baseline-2x",
        "routed": "baseline-1x",
    }
    assert rows["gain_psnr"]["routed"] == pytest.approx(1.8)
    assert rows["gain_psnr"]["merged"] == pytest.approx(0.1)
    routed = table.rows[list(rows.index).index("routed")]
    assert "over 1x" in routed and "| 325 | 100 | 61 | 2.0 |" in routed
    assert "| 300 | -- | 61 | -- |" in table.rows[list(rows.index).index("dac")]
    assert "models and their controls that of the same path" in table.md
    assert "that of the same path" not in written(main, records[:2]).md


def test_means_over_seeds_and_paired_gains(record: Recorder, written: Written) -> None:
    records = []
    for seed, offset in enumerate((0.0, 1.0, 4.0)):
        values = (30 + offset, 31 + offset, 31.5 + offset + 0.1 * seed)
        records += _three(record, "zoo", *values, seed=seed)
    table = written(main, records)
    dac = table.csv.set_index("method").loc["dac"]
    values = [31.5, 32.6, 35.7]
    assert dac["seeds"] == 3
    assert dac["psnr"] == pytest.approx(np.mean(values), abs=1e-4)
    assert dac["psnr_std"] == pytest.approx(np.std(values, ddof=1), abs=1e-4)
    assert dac["gain_psnr"] == pytest.approx(0.6)
    assert dac["gain_low"] < 0.6 < dac["gain_high"]
    assert (dac["gain_won"], dac["gain_views"], dac["gain_seeds"]) == (3, 3, 3)
    assert "**33.27 ± 2.18**" in table.rows[2] and r"33.27 $\pm$ 2.18" in table.tex
    assert "(One seed: " not in table.md
    fewer = written(main, records[:-3] + records[-1:]).csv.set_index("method").loc["dac"]
    assert fewer["gain_psnr"] == pytest.approx(0.55)  # over the seeds that both have


def test_the_terminals_table(record: Recorder, written: Written) -> None:
    records = []
    for seed in range(3):
        more = {"seed": seed, "steps": 60_000, "seconds": 21_234.0}
        more |= {"path_steps": 120_000, "model_bytes": 4_640_456}
        values = (25.86 + seed, 27.65 + seed, 27.91 + seed)
        records += _three(record, "pocket_lighthouse", *values, mode="paper", **more)
        records += [record("pocket_lighthouse", "dac", 26.9, mode="corrected", **more)]
    text = format_main_table(written(main, records, paper_values=True).files["csv"])
    lines = text.splitlines()[:6]
    assert len({len(line) for line in lines}) == 1 and len(lines[0]) <= 132
    assert "28.91 ± 1.00*" in text and "28.65 ± 1.00 " in text and "Paper" not in text
    assert "0.900 " in text and "0.900 ±" not in text
    assert "mean image: pocket_lighthouse 12.50 dB" in text


def test_modes_side_by_side_are_named(record: Recorder, written: Written) -> None:
    records = _three(record, "zoo", 30.0, 30.5, 30.4, mode=None)[:2]
    records += [record("zoo", "dac", 31.0, mode=mode) for mode in ("paper", "corrected")]
    records += [record("ant", "dac", 31.0, mode="paper", division="louvain", K=3)]
    records += [record("ant", "dac", 31.0, mode="paper", division="louvain", K=4)]
    assert list(written(main, records).csv["name"])[2:] == [
        "DaC-KPlanes (paper)",
        "DaC-KPlanes (corrected)",
        "DaC-KPlanes (louvain-3)",
        "DaC-KPlanes (louvain-4)",
    ]


def test_the_best_of_a_scene_is_bold_but_not_the_experts(
    record: Recorder, written: Written
) -> None:
    records = [*_three(record, "zoo", 30.0, 30.504, 30.501), record("zoo", "experts", 40.0)]
    table = written(main, records + _three(record, "ant", 20.0, 20.2, 20.6, ms_ssim=None))
    bold = ["**" in row for row in table.rows]
    assert bold == [False, True, False, True, False, False, True]
    assert table.csv["ms_ssim"].isna().tolist() == [False] * 4 + [True] * 3
    assert table.tex.count(r"\midrule") == 2 and table.html.count('<tr class="ruled">') == 1


def test_mistakes(record: Recorder, written: Written, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no evaluation record"):
        written(main, [])
    with pytest.raises(UserError, match="another record holds too"):
        written(main, [record("zoo", "dac", 1.0), record("zoo", "dac", 2.0)])
    with pytest.raises(UserError, match="no such file"):
        written(main, [tmp_path / "evaluation.json"])
    with pytest.raises(UserError, match="no such file"):
        format_main_table(tmp_path / "main.csv")
    (tmp_path / "main.csv").write_text("scene,psnr\na,1\n")
    with pytest.raises(UserError, match="no column 'name'"):
        format_main_table(tmp_path / "main.csv")
    (tmp_path / "main.csv").write_text("")
    with pytest.raises(UserError, match="is no table"):
        format_main_table(tmp_path / "main.csv")


def test_gains_whose_interval_holds_zero_are_marked(record: Recorder, written: Written) -> None:
    spread = (0.0, 1.0, 2.0, 3.0)
    records = [record("zoo", "baseline-1x", 29.0, spread=spread)]
    records += [record("zoo", "baseline-2x", 30.0, spread=spread)]
    records += [record("zoo", "dac", 30.1, spread=(2.0, 3.0, 0.0, 1.0))]
    table = written(main, records)
    assert "†" not in table.rows[1] and r"\]† over 2x | 2/4 |" in table.rows[2]
    assert "† the interval includes zero: not a gain." in table.md and "(One seed: " in table.md
    assert r"]$\dagger$ over 2x & 2/4" in table.tex and "]†" in table.html
    text = format_main_table(table.files["csv"])
    assert "+0.10 [−" in text and "]†" in text


def test_of_one_view_there_is_no_interval(record: Recorder, written: Written) -> None:
    table = written(main, _three(record, "zoo", 30.0, 30.5, 30.9, spread=[0.0]))
    assert table.csv["gain_psnr"][1:].tolist() == [0.5, 0.4]
    assert table.csv[["gain_low", "gain_high", "seconds_per_db"]].isna().all(axis=None)
    for text in (table.md, format_main_table(table.files["csv"]), table.html):
        assert "+0.40 " in text and "--" in text and "not a gain" in text
        assert "of one test view there is no interval" in text
    numbers = table.files["csv"].read_text() + table.tex
    assert "inf" not in numbers and "nan" not in numbers


def test_what_a_sure_decibel_costs(record: Recorder, written: Written) -> None:
    records = [record("zoo", "baseline-1x", 30.0, seconds=10.0)]
    records += [record("zoo", "baseline-2x", 30.5, seconds=20.0)]
    records += [record("zoo", "restart", 30.4, seconds=40.0)]  # behind
    records += [record("zoo", "dac", 30.75, seconds=70.0)]
    prices = written(main, records).csv.set_index("method")["seconds_per_db"]
    assert prices["baseline-2x"] == pytest.approx(10 / 0.5)
    assert prices["dac"] == pytest.approx(50 / 0.25)
    assert prices[["baseline-1x", "restart"]].isna().all()
    unsure = [*records[:2], record("zoo", "dac", 30.6, spread=(1.0, 0.0, -1.0), seconds=70.0)]
    assert written(main, unsure).csv["seconds_per_db"].isna().tolist() == [True, False, True]
    cheaper = [*records[:2], record("zoo", "dac", 30.6, seconds=5.0)]
    assert np.isnan(written(main, cheaper).csv["seconds_per_db"].iloc[-1])


def test_any_methods_in_their_order_and_over_their_references(
    record: Recorder, written: Written
) -> None:
    methods = ["dac", "baseline-6x", "distilled", "restart", "baseline-2x", "experts"]
    methods += ["baseline-1x", "baseline-3x"]
    records = [record("zoo", name, 30.0 + i, steps=100 * i + 1) for i, name in enumerate(methods)]
    table = written(main, records).csv
    expected = ["baseline-1x", "baseline-2x", "baseline-6x", "baseline-3x"]
    expected += ["restart", "experts", "distilled", "dac"]
    assert list(table["method"]) == expected  # 6x has fewer steps than 3x here
    over = table.set_index("method")["gain_over"]
    assert over["experts"] == over["baseline-2x"] == "baseline-1x"
    assert set(over[2:].drop("experts")) == {"baseline-2x"}


def test_the_papers_values_beside_ours(record: Recorder, written: Written) -> None:
    records = _three(record, "M60", 18.0, 18.2, 18.3) + _three(record, "zoo", 30.0, 30.5, 30.4)
    records += [record("M60", "dac", 18.1, division="random", K=4)]
    table = written(main, records, paper_values=True)
    assert table.csv["paper_psnr"][:3].tolist() == [18.43, 18.59, 19.14]
    assert table.csv["paper_ssim"][1] == 0.872 and table.csv["paper_ms_ssim"][2] == 0.772
    assert table.csv["paper_psnr"][3:].isna().all()
    assert "| 18.59 |" in table.rows[1] and "| -- |" in table.rows[4]
    assert "printed 0.872, is very likely 0.672" in table.md


def test_scenes_on_which_the_baseline_still_learns_fast_are_named(
    record: Recorder, written: Written
) -> None:
    records = _three(record, "slow", 30.0, 30.5, 30.7) + _three(record, "fast", 20.0, 20.7, 20.8)
    assert "so that rows compare training speed, on: fast." in written(main, records).md
    assert "training speed" not in written(main, records[:3]).md
