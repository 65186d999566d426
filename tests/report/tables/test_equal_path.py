from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dac.report.tables import equal_path as module

Study = Callable[..., list[Path]]
Written = Callable[..., Any]
SETUP = ["azimuth", 4, 0.25]
FIRST = [
    *("scene", "method", "K", "path", "compute", "bytes", "seeds", "views", "psnr"),
    *("gain_over_baseline_same_path", "low", "high"),
]


def test_the_csv_begins_with_what_readers_want(equal_path_study: Study, written: Written) -> None:
    table = written(module, equal_path_study(), routed={"zoo": SETUP}).csv
    assert list(table.columns[: len(FIRST)]) == FIRST
    rows = {(r.method, r.K, r.trunk_share, r.path): r for r in table.itertuples()}
    ours = rows["routed_trunk", 4, 0.25, 1.0]
    assert (ours.bytes, ours.seeds, ours.views, ours.compute) == (4000, 2, 4, 3.25)
    assert ours.psnr == pytest.approx(32.005)
    gain = (ours.gain_over_baseline_same_path, ours.low, ours.high, ours.baseline_path)
    assert gain == pytest.approx((2.0, 2.0, 2.0, 1.0))
    assert ours.gain_over_baseline_same_compute == pytest.approx(0.2)
    assert (ours.baseline_compute, ours.gain_over_more_rays) == pytest.approx((3.25, 0.5))
    student = table[table.method == "distilled"].iloc[0]
    assert (student.path, student.baseline_path) == (2.1, 3.25)
    baselines = table[table.method == "baseline"]
    assert baselines["gain_over_baseline_same_path"].isna().all() and baselines.K.isna().all()


def test_the_printed_table(equal_path_study: Study, written: Written) -> None:
    found = written(module, equal_path_study(), routed={"zoo": SETUP})
    # The best of each path is bold, where it has a rival.
    assert [row.split(" | ")[4] for row in found.rows if "**" in row] == ["1x", "2x"]
    assert "azimuth-8" in next(row for row in found.rows if "**33.0" in row)
    assert any("4 x | -- | 1x | 4x" in row for row in found.rows)
    assert "(3.25x) | 0/4" in found.md  # the student's gain is over a longer baseline
    assert "the paper's student after its fine-tuning" in found.md
    assert found.html.count("<li>") == 15 and "dividing pays" not in found.tex
    assert {line.count(" & ") for line in found.tex.splitlines() if line.endswith(r"\\")} == {12}


def test_scenes_and_seeds(equal_path_study: Study, written: Written) -> None:
    files = equal_path_study(seeds=[0]) + equal_path_study("ant", seeds=[0])
    found = written(module, files, routed={"zoo": SETUP, "ant": SETUP})
    assert "(One seed: how much another training would differ" in found.md
    assert found.tex.count(r"\midrule") == 2 and list(found.csv.scene.unique()) == ["zoo", "ant"]
