"""What a row's gain is over, what tells rows apart, and what older records lack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dac.report.rows import Row, load_rows, reference_of, row_names, trunk_share
from dac.report.tables import main

Recorder = Callable[..., Path]
Study = Callable[..., list[Path]]
GROWN: dict[str, Any] = {"division": "azimuth", "K": 4, "trunk": 25, "horizon": 100, "steps": 100}


def _references(rows: list[Row], method: str) -> list[str | None]:
    found = [reference_of(row, rows) for row in rows if row.label.method == method]
    return [None if row is None else row.label.method for row in found]


def test_models_of_specialists_are_held_against_the_baseline_of_their_path(
    equal_path_study: Study,
) -> None:
    rows = load_rows(equal_path_study())
    assert _references(rows, "routed") == ["baseline-1x"] * 6 + ["baseline-2x"]
    assert _references(rows, "merged") == ["baseline-2x"]
    assert _references(rows, "big_batch") == _references(rows, "wide") == ["baseline-1x"]
    assert _references(rows, "dac") == ["baseline-2x"]


@pytest.mark.parametrize(
    ("distilled", "tuned", "over"),
    [(None, 100, "baseline-2x"), (None, 50, "baseline-1.5x"), (20, 30, "baseline-1.5x")],
)
def test_a_merged_model_without_it_is_held_against_the_2x_baseline(
    record: Recorder, distilled: int | None, tuned: int, over: str
) -> None:
    files = [record("zoo", f"baseline-{n:g}x", 30.0, steps=round(100 * n)) for n in (1, 1.5, 2)]
    steps = {"distill_steps": distilled, "steps": tuned}
    merged = record("zoo", "merged", 31.0, **(GROWN | steps))
    assert _references(load_rows([*files, merged]), "merged") == [over]
    del files[1]
    assert _references(load_rows([*files, merged]), "merged") == ["baseline-2x"]
    # A routed model has no other reference than that of its path.
    routed = record("zoo", "routed", 31.0, **(GROWN | {"horizon": 70, "steps": 70}))
    assert _references(load_rows([*files, routed]), "routed") == [None]


def test_names_tell_routed_models_apart(equal_path_study: Study, record: Recorder) -> None:
    rows = load_rows(equal_path_study())
    names = dict(zip(row_names(rows), rows, strict=True))
    assert len(names) == len(rows)
    assert "DaC-KPlanes (routed, azimuth-4, trunk 0.25, 200 steps)" in names
    assert "DaC-KPlanes (routed, random-4, trunk 0.25, 100 steps)" in names
    assert "DaC-KPlanes (routed, azimuth-4, trunk 0, 100 steps)" in names
    assert {"DaC-KPlanes (merged)", "KPlanes (more rays, 4 x)", "KPlanes (2x)"} <= names.keys()
    more = [record("zoo", "big_batch", 31.0, K=8, steps=100)]
    more += [record("zoo", "merged", 31.0, **(GROWN | {"trunk": 50, "horizon": 200}))]
    more += [record("zoo", "merged", 31.0, **(GROWN | {"distill_steps": 20, "steps": 80}))]
    assert {
        *("KPlanes (more rays, 4 x)", "KPlanes (more rays, 8 x)"),
        *("DaC-KPlanes (merged, 100 + 100 steps)", "DaC-KPlanes (merged, 200 + 100 steps)"),
        "DaC-KPlanes (merged, 120 + 80 steps)",
    } <= set(row_names(load_rows([*equal_path_study(), *more])))


def test_path_and_bytes_are_all_records_or_none(record: Recorder) -> None:
    known = {"path_steps": 7, "model_bytes": 9}
    (row,) = load_rows([record("zoo", "dac", 30.0, seed=seed, **known) for seed in (0, 1)])
    assert (row.path_steps, row.model_bytes, trunk_share(row.label)) == (7, 9, None)
    older = [record("ant", "dac", 30.0, seed=seed, **(known if seed else {})) for seed in (0, 1)]
    (row,) = load_rows(older)
    assert row.path_steps is row.model_bytes is None


def test_the_main_table_with_routed_models_alone(
    record: Recorder, written: Callable[..., Any]
) -> None:
    files = [record("zoo", f"baseline-{n}x", 30.0 + n, steps=100 * n) for n in (1, 2)]
    files += [record("zoo", "routed", 33.0, **GROWN), record("zoo", "merged", 31.9, **GROWN)]
    table = written(main, files)
    rows = {row.method: row for row in table.csv.itertuples()}
    assert (rows["routed"].gain_psnr, rows["routed"].gain_over) == (2.0, "baseline-1x")
    assert rows["merged"].gain_over == "baseline-2x" and rows["routed"].trunk == 25
    # It is one model: it may be the best.
    assert "**33.00**" in next(row for row in table.rows if "(routed)" in row)
    assert "that of the same path" in table.md
    assert "same path" not in written(main, files[:2]).md
