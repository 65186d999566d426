"""The pages under docs/results/: made of records and tables, nothing typed by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dac.errors import UserError
from dac.evaluation.records import Evaluation
from dac.workflow.plan import StepTimes
from docs.make_results import _costs, main, publish

Recorder = Callable[..., Path]


def results(record: Recorder, tmp_path: Path) -> Path:
    """A finished configuration: two records, a table, a figure and the cost of a job."""
    folder = tmp_path / "results"
    for seed in (0, 1):
        file = record("zoo", "dac", 30.0, seed=seed)
        (folder / "zoo").mkdir(parents=True, exist_ok=True)
        file.parent.rename(folder / "zoo" / f"seed{seed}")
    state = folder / "state" / "zoo"
    state.mkdir(parents=True)
    (state / "evaluation.json").write_text("half of a rec")  # not yet forgotten: not read
    (folder / "tables").mkdir()
    (folder / "tables" / "main.md").write_text("| the table |\n")
    (folder / "figures").mkdir()
    (folder / "figures" / "controls-study.png").write_bytes(b"picture")
    for name, seconds in (("one", 1800.0), ("two", 1800.0)):
        file = folder / "benchmarks" / "zoo" / f"{name}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\th:m:s\n{seconds}\t0:30:00\n")
    return folder


def test_a_page_holds_the_command_the_cost_and_the_tables(record: Recorder, tmp_path: Path) -> None:
    folder, out = results(record, tmp_path), tmp_path / "page"
    publish(folder, "The zoo", ["snakemake --cores 2"], out)
    text = (out / "README.md").read_text()
    assert text.startswith("# The zoo\n\n```sh\nsnakemake --cores 2\n```\n")
    assert "- 2 evaluation records; commit no checkout" in text
    assert "- 2 jobs took 1.00 hours together" in text
    assert "## The main table\n\n| the table |\n" in text
    assert "(controls-study.png)" in text
    assert (out / "controls-study.png").read_bytes() == b"picture"
    before = (out / "README.md").read_bytes()
    publish(folder, "The zoo", ["snakemake --cores 2"], out)
    assert (out / "README.md").read_bytes() == before


def test_costs_are_steps_times_the_time_of_a_step(record: Recorder) -> None:
    groups = {"division": "azimuth", "K": 4, "mode": "paper"}
    phases = {"steps": 20, "distill_steps": 10, "total_steps": 4 * 30 + 10 + 20}
    files = [
        record("zoo", "dac", 30.0, **groups, **phases),
        record("zoo", "baseline-1x", 30.0, steps=30, total_steps=30),
    ]
    model = {"resolution": 3}
    records = [
        replace(Evaluation.load(file), settings={"model": model | {"name": "kplanes"}})
        for file in files
    ]
    times = [StepTimes("a core", model, 8, training=1.0, distillation=100.0)]
    lines = "\n".join(_costs(records, times)).splitlines()
    first = lines.index("|---|---|---:|---:|---:|---:|") + 1
    assert lines[first : first + 2] == [
        "| KPlanes (1x) |  | 30 | 0 | 30 | 30 |",
        f"| DaC-KPlanes | azimuth-4 | 140 | 10 | {140 + 1000:,} | {30 + 20 + 1000:,} |",
    ]
    assert _costs([replace(records[0], settings={"model": {"resolution": 4}})], times) == []


def test_costs_of_specialists_are_those_of_their_path(record: Recorder) -> None:
    grown = {"division": "azimuth", "K": 4, "trunk": 10, "horizon": 30}
    totals = {"total_steps": 10 + 4 * 20, "path_steps": 30, "steps": 30}
    model = {"resolution": 3}
    found = Evaluation.load(record("zoo", "routed", 30.0, **grown, **totals))
    times = [StepTimes("a core", model, 8, training=1.0, distillation=100.0)]
    text = "\n".join(_costs([replace(found, settings={"model": model})], times))
    assert "| DaC-KPlanes (routed) | azimuth-4 | 90 | 0 | 90 | 30 |" in text


def test_the_numbers_of_equal_paths_are_gathered(record: Recorder, tmp_path: Path) -> None:
    folder, pages = results(record, tmp_path), tmp_path / "pages"
    numbers = folder / "tables" / "equal_path.csv"
    for name in ("zoo", "ant"):
        numbers.write_text(f"scene,method\n{name},baseline\n{name},routed\n")
        publish(folder, name, ["x"], pages / name)
    together = (pages / "equal_path.csv").read_text()
    assert together == "scene,method\nant,baseline\nant,routed\nzoo,baseline\nzoo,routed\n"
    publish(folder, "ant", ["x"], pages / "ant")
    assert (pages / "equal_path.csv").read_text() == together
    numbers.write_text("scene,K\nant,4\n")
    with pytest.raises(UserError, match=r"equal_path.csv of several forms; publish all pages"):
        publish(folder, "ant", ["x"], pages / "ant")


def test_an_unfinished_configuration_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="holds no records or no tables"):
        publish(tmp_path, "none", ["x"], tmp_path / "page")
    with pytest.raises(SystemExit, match=r"error: .*run the workflow first"):
        main([str(tmp_path), "--title", "none", "--command", "x"])
    assert not (tmp_path / "page").exists()
