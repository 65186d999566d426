from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dac.errors import UserError
from dac.report.tables.main import format_main_table, main_table, read_main_table, write_main_table

Recorder = Callable[..., Path]


def _three(record: Recorder, scene: str, *psnr: float, **more: object) -> list[Path]:
    methods = ("baseline-1x", "baseline-2x", "dac")
    return [
        record(scene, method, value, **more) for method, value in zip(methods, psnr, strict=True)
    ]


def _files(folder: Path) -> tuple[Path, Path, Path, Path]:
    return (
        folder / "main.csv",
        folder / "main.md",
        folder / "main.tex",
        folder / "main.html",
    )


def test_rows_in_the_papers_order(record: Recorder) -> None:
    records = _three(record, "zoo", 30.0, 30.5, 30.75) + _three(record, "ant", 20.0, 20.2, 20.1)
    records += [record("zoo", "experts", 31.0), record("zoo", "distilled", 29.0)]
    table = main_table([*records[1:], records[0]])
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


def test_gains_are_over_the_row_before(record: Recorder) -> None:
    table = main_table(_three(record, "zoo", 30.0, 30.5, 30.4)).set_index("method")
    assert np.isnan(table["gain_psnr"]["baseline-1x"])
    assert table["gain_psnr"]["baseline-2x"] == pytest.approx(0.5)
    assert table["gain_psnr"]["dac"] == pytest.approx(-0.1)
    assert table["gain_over"]["dac"] == "baseline-2x"


def test_means_over_seeds_and_paired_gains(record: Recorder) -> None:
    records = []
    for seed, offset in enumerate((0.0, 1.0, 4.0)):
        values = (30 + offset, 31 + offset, 31.5 + offset + 0.1 * seed)
        records += _three(record, "zoo", *values, seed=seed)
    dac = main_table(records).set_index("method").loc["dac"]
    values = [31.5, 32.6, 35.7]
    assert dac["seeds"] == 3
    assert dac["psnr"] == pytest.approx(np.mean(values))
    assert dac["psnr_std"] == pytest.approx(np.std(values, ddof=1))
    assert dac["gain_psnr"] == pytest.approx(0.6)
    assert dac["gain_low"] < 0.6 < dac["gain_high"]
    assert (dac["gain_won"], dac["gain_views"], dac["gain_seeds"]) == (3, 3, 3)
    fewer = main_table(records[:-3] + records[-1:]).set_index("method").loc["dac"]
    assert fewer["gain_psnr"] == pytest.approx(0.55)  # over the seeds that both have


def test_the_files(record: Recorder, tmp_path: Path) -> None:
    records = _three(record, "a_b", 30.0, 30.504, 30.501, ms_ssim=None)
    records += _three(record, "R&D_50%", 20.0, 20.2, 20.6)
    csv, markdown, latex, html = _files(tmp_path)
    write_main_table(records, csv, markdown, latex, html)
    page = html.read_text()
    assert "R&amp;D_50%" in page and "R&D_50%" not in page
    assert "<td><b>30.50</b></td>" in page and page.count("<tr") == 7
    table = pd.read_csv(csv)
    assert len(table) == 6 and set(table["method"]) == {"baseline-1x", "baseline-2x", "dac"}
    assert np.isfinite(table[["psnr", "ssim", "steps", "test_views"]].to_numpy()).all()
    assert table["ms_ssim"].isna().tolist() == [True] * 3 + [False] * 3
    rows = markdown.read_text().splitlines()
    assert rows[2].startswith(r"| a\_b | KPlanes (1x) | 30.00 | 0.900 | -- |")
    assert "**30.50**" in rows[3] and "**30.50**" in rows[4]  # equal as printed: both
    assert "**20.60**" in rows[7] and "**" not in rows[6] + rows[2]
    assert r"| +0.20 \[+0.20, +0.20\] | 3/3 |" in rows[6] and "| +0.40 " in rows[7]
    assert {row.count("|") - row.count(r"\|") for row in rows[:8]} == {15}
    text = latex.read_text()
    for part in (r"\toprule", r"\bottomrule", r"a\_b", r"R\&D\_50\%", r"\textbf{20.60}", " -- "):
        assert part in text
    assert text.count(r"\midrule") == 2
    assert not re.search(r"(?<!\\)[_%#]", text)
    assert {line.count(" & ") for line in text.splitlines() if line.endswith(r"\\")} == {13}
    assert text.startswith(r"\begin{tabular}{llrrrrrrrrrrrr}")


def test_escape_of_a_hostile_name(record: Recorder, tmp_path: Path) -> None:
    name = r"x|y*<b>\z_$1^~{}"
    csv, markdown, latex, html = _files(tmp_path)
    write_main_table(_three(record, name, 1.0, 2.0, 3.0), csv, markdown, latex, html)
    row = markdown.read_text().splitlines()[2]
    assert row.startswith(r"| x\|y\*\<b\>\\z\_\$1^\~\{\} |")
    assert r"\textless{}b\textgreater{}\textbackslash{}z\_\$1" in latex.read_text()
    assert r"\$1\textasciicircum{}\textasciitilde{}\{\}" in latex.read_text()
    assert read_main_table(csv)["scene"][0] == name


def test_several_seeds_are_printed_with_their_spread(record: Recorder, tmp_path: Path) -> None:
    records = _three(record, "zoo", 30, 31, 32) + _three(record, "zoo", 31, 31, 32, seed=1)
    csv, markdown, latex, html = _files(tmp_path)
    write_main_table(records, csv, markdown, latex, html)
    assert "30.50 ± 0.71" in markdown.read_text()
    assert r"30.50 $\pm$ 0.71" in latex.read_text()
    assert "30.50 ± 0.71" in format_main_table(csv)


def test_equal_inputs_give_equal_bytes(record: Recorder, tmp_path: Path) -> None:
    records = _three(record, "zoo", 30.0, 30.5, 30.4)
    for name in ("one", "two"):
        write_main_table(records, *_files(tmp_path / name))
    for one, two in zip(_files(tmp_path / "one"), _files(tmp_path / "two"), strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_the_terminals_table(record: Recorder, tmp_path: Path) -> None:
    csv, markdown, latex, html = _files(tmp_path)
    write_main_table(_three(record, "a_b", 30.0, 30.5, 30.9), csv, markdown, latex, html)
    text = format_main_table(csv)
    assert "30.90*" in text and "30.50 " in text and "+0.40" in text
    assert "mean image: a_b 12.50 dB" in text
    lines = text.splitlines()[:5]
    assert len({len(line) for line in lines}) == 1


def test_modes_side_by_side_are_named(record: Recorder) -> None:
    records = _three(record, "zoo", 30.0, 30.5, 30.4, mode=None)[:2]
    records += [record("zoo", "dac", 31.0, mode=mode) for mode in ("paper", "corrected")]
    records += [record("ant", "dac", 31.0, mode="paper", division="louvain", K=3)]
    records += [record("ant", "dac", 31.0, mode="paper", division="louvain", K=4)]
    names = list(main_table(records)["name"])
    assert names[2:] == [
        "DaC-KPlanes (paper)",
        "DaC-KPlanes (corrected)",
        "DaC-KPlanes (louvain-3)",
        "DaC-KPlanes (louvain-4)",
    ]


def test_experts_are_not_bold(record: Recorder, tmp_path: Path) -> None:
    records = [*_three(record, "zoo", 30.0, 30.5, 30.4), record("zoo", "experts", 40.0)]
    csv, markdown, latex, html = _files(tmp_path)
    write_main_table(records, csv, markdown, latex, html)
    assert "**30.50**" in markdown.read_text() and "**40.00**" not in markdown.read_text()


def test_mistakes(record: Recorder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no evaluation record"):
        main_table([])
    with pytest.raises(UserError, match="another record holds too"):
        main_table([record("zoo", "dac", 1.0), record("zoo", "dac", 2.0)])
    with pytest.raises(UserError, match="no such file"):
        main_table([tmp_path / "evaluation.json"])
    with pytest.raises(UserError, match="no such file"):
        format_main_table(tmp_path / "main.csv")
    (tmp_path / "main.csv").write_text("scene,psnr\na,1\n")
    with pytest.raises(UserError, match="no column"):
        format_main_table(tmp_path / "main.csv")
    (tmp_path / "main.csv").write_text("")
    with pytest.raises(UserError, match="is no table"):
        format_main_table(tmp_path / "main.csv")


def test_gains_whose_interval_holds_zero_are_marked(record: Recorder, tmp_path: Path) -> None:
    spread = (0.0, 1.0, 2.0, 3.0)
    records = [record("zoo", "baseline-1x", 29.0, spread=spread)]
    records += [record("zoo", "baseline-2x", 30.0, spread=spread)]
    records += [record("zoo", "dac", 30.1, spread=(2.0, 3.0, 0.0, 1.0))]
    csv, markdown, latex, html = _files(tmp_path)
    write_main_table(records, csv, markdown, latex, html)
    rows = markdown.read_text().splitlines()
    assert "†" not in rows[3] and r"\]† | 2/4 |" in rows[4]
    assert "† the interval includes zero: not a gain." in markdown.read_text()
    assert "(One seed: " in markdown.read_text()
    assert r"]$\dagger$ & 2/4" in latex.read_text() and "]†</td>" in html.read_text()
    assert "+0.10 [−" in format_main_table(csv) and "]†" in format_main_table(csv)
    again = [
        record("zoo", "baseline-2x", 30.0, spread=spread, seed=1),
        record("zoo", "baseline-1x", 29.0, spread=spread, seed=1),
        record("zoo", "dac", 30.5, spread=spread, seed=1),
    ]
    write_main_table([*records, *again], csv, markdown, latex, html)
    assert "(One seed: " not in markdown.read_text()


def test_of_one_view_there_is_no_interval(record: Recorder, tmp_path: Path) -> None:
    csv, markdown, latex, html = _files(tmp_path)
    write_main_table(
        _three(record, "zoo", 30.0, 30.5, 30.9, spread=[0.0]), csv, markdown, latex, html
    )
    table = read_main_table(csv)
    assert table["gain_psnr"][1:].tolist() == [0.5, 0.4]
    assert table[["gain_low", "gain_high", "seconds_per_db"]].isna().all(axis=None)
    for text in (markdown.read_text(), format_main_table(csv), html.read_text()):
        assert "+0.40 " in text and "--" in text and "not a gain" in text
        assert "of one test view there is no interval" in text
    assert not any("inf" in file.read_text() for file in (csv, markdown, latex))
    assert "nan" not in csv.read_text() + latex.read_text()


def test_what_a_sure_decibel_costs(record: Recorder) -> None:
    records = [record("zoo", "baseline-1x", 30.0, seconds=10.0)]
    records += [record("zoo", "baseline-2x", 30.5, seconds=20.0)]
    records += [record("zoo", "restart", 30.4, seconds=40.0)]  # behind
    records += [record("zoo", "dac", 30.75, seconds=70.0)]
    prices = main_table(records).set_index("method")["seconds_per_db"]
    assert prices["baseline-2x"] == pytest.approx(10 / 0.5)
    assert prices["dac"] == pytest.approx(50 / 0.25)
    assert prices[["baseline-1x", "restart"]].isna().all()
    unsure = [*records[:2], record("zoo", "dac", 30.6, spread=(1.0, 0.0, -1.0), seconds=70.0)]
    assert main_table(unsure)["seconds_per_db"].isna().tolist() == [True, False, True]
    cheaper = [*records[:2], record("zoo", "dac", 30.6, seconds=5.0)]
    assert np.isnan(main_table(cheaper)["seconds_per_db"].iloc[-1])


def test_any_methods_in_their_order_and_over_their_references(record: Recorder) -> None:
    methods = ["dac", "baseline-6x", "distilled", "restart", "baseline-2x", "experts"]
    methods += ["baseline-1x", "baseline-3x"]
    records = [record("zoo", name, 30.0 + i, steps=100 * i + 1) for i, name in enumerate(methods)]
    table = main_table(records)
    expected = ["baseline-1x", "baseline-2x", "baseline-6x", "baseline-3x"]
    expected += ["restart", "experts", "distilled", "dac"]
    assert list(table["method"]) == expected  # 6x has fewer steps than 3x here
    over = table.set_index("method")["gain_over"]
    assert over["experts"] == over["baseline-2x"] == "baseline-1x"
    assert set(over[2:].drop("experts")) == {"baseline-2x"}


def test_the_papers_values_beside_ours(record: Recorder, tmp_path: Path) -> None:
    records = _three(record, "M60", 18.0, 18.2, 18.3) + _three(record, "zoo", 30.0, 30.5, 30.4)
    records += [record("M60", "dac", 18.1, division="random", K=4)]
    csv, markdown, latex, html = _files(tmp_path)
    write_main_table(records, csv, markdown, latex, html, paper=True)
    table = read_main_table(csv)
    assert table["paper_psnr"][:3].tolist() == [18.43, 18.59, 19.14]
    assert table["paper_ssim"][1] == 0.872 and table["paper_ms_ssim"][2] == 0.772
    assert table["paper_psnr"][3:].isna().all()
    rows = markdown.read_text().splitlines()
    assert "| Paper |" in rows[0] and "| 18.59 |" in rows[3] and "| -- |" in rows[6]
    assert "printed 0.872, is very likely 0.672" in markdown.read_text()
    assert "Paper" not in format_main_table(csv)


def test_scenes_on_which_the_baseline_still_learns_fast_are_named(
    record: Recorder, tmp_path: Path
) -> None:
    records = _three(record, "slow", 30.0, 30.5, 30.7) + _three(record, "fast", 20.0, 20.7, 20.8)
    csv, markdown, *others = _files(tmp_path)
    write_main_table(records, csv, markdown, *others)
    assert "so that rows compare training speed, on: fast." in markdown.read_text()
    write_main_table(records[:3], csv, markdown, *others)
    assert "training speed" not in markdown.read_text()


def test_whole_numbers_stay_whole(record: Recorder, tmp_path: Path) -> None:
    records = _three(record, "zoo", 30.0, 30.5, 30.4)
    records += [record("ant", "dac", 30.0, steps=1_234_567, distill_steps=7_654_321, K=4)]
    csv, *others = _files(tmp_path)
    write_main_table(records, csv, *others)
    last = pd.read_csv(csv, dtype=str).iloc[-1]
    assert (last["steps"], last["distill_steps"], last["K"]) == ("1234567", "7654321", "4")


def test_the_terminals_table_fits_a_screen(record: Recorder, tmp_path: Path) -> None:
    records = []
    for seed in range(3):
        more = {"seed": seed, "steps": 60_000, "seconds": 21_234.0}
        values = (25.86 + seed, 27.65 + seed, 27.91 + seed)
        records += _three(record, "pocket_lighthouse", *values, mode="paper", **more)
        records += [record("pocket_lighthouse", "dac", 26.9, mode="corrected", **more)]
    csv, *others = _files(tmp_path)
    write_main_table(records, csv, *others)
    lines = format_main_table(csv).splitlines()[:6]
    assert len({len(line) for line in lines}) == 1 and len(lines[0]) <= 132
