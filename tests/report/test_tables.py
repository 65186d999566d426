from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dac.errors import UserError
from dac.report.tables import format_main_table, main_table, read_main_table, write_main_table

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
    assert dac["gain_std"] == pytest.approx(0.1)
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
    assert "| +0.20 |" in rows[6] and "| +0.40 |" in rows[7]
    assert {row.count("|") - row.count(r"\|") for row in rows[:8]} == {10}
    text = latex.read_text()
    for part in (r"\toprule", r"\bottomrule", r"a\_b", r"R\&D\_50\%", r"\textbf{20.60}", " -- "):
        assert part in text
    assert text.count(r"\midrule") == 2
    assert not re.search(r"(?<!\\)[_%#]", text)


def test_escape_of_a_hostile_name(record: Recorder, tmp_path: Path) -> None:
    name = r"x|y*<b>\z_$1^~{}"
    csv, markdown, latex, html = _files(tmp_path)
    write_main_table(_three(record, name, 1.0, 2.0, 3.0), csv, markdown, latex, html)
    row = markdown.read_text().splitlines()[2]
    assert row.startswith(r"| x\|y\*\<b\>\\z\_\$1^\~\{\} |")
    assert r"\$1\textasciicircum \textasciitilde \{\}" in latex.read_text().replace("  ", " ")
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
