from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dac.errors import UserError
from dac.report.figures.convergence_study import budget_figure, budget_table, budgets, small_print

Recorder = Callable[..., Path]
OURS = {"division": "louvain", "K": 4, "model": "kplanes"}


def _study(
    record: Recorder, scene: str, seeds: int = 1, modes: tuple[str, ...] = ("paper",)
) -> list[Path]:
    """Baselines of 30k to 60k and 180k, DaC's 30k of distillation and up to 30k of fine-tuning."""
    files = []
    for seed in range(seeds):
        for times, psnr in ((1, 20.0), (4 / 3, 20.3), (5 / 3, 20.4), (2, 20.5), (6, 20.9)):
            steps = round(30_000 * times)
            method = f"baseline-{times:g}x"
            value = psnr + 0.1 * seed
            files.append(record(scene, method, value, seed=seed, steps=steps, total_steps=steps))
        for better, mode in enumerate(modes):
            ours = OURS | {"seed": seed, "mode": mode}
            value = 19.9 + 0.2 * better + 0.1 * seed
            files.append(
                record(scene, "distilled", value, steps=30_000, total_steps=150_000, **ours)
            )
            for steps in (10_000, 20_000, 30_000):
                kept = {"steps": steps, "distill_steps": 30_000, "total_steps": 150_000 + steps}
                files.append(record(scene, "dac", value + steps / 4e4, **kept, **ours))
    return files


def test_points_are_the_records(record: Recorder) -> None:
    (panel,) = budgets(_study(record, "train", seeds=3))
    assert [point.iterations for point in panel.standard] == [30_000, 40_000, 50_000, 60_000]
    assert [point.row.psnr.mean() for point in panel.standard] == pytest.approx(
        [20.1, 20.4, 20.5, 20.6]
    )
    (line,) = panel.dac.values()
    assert list(panel.dac) == ["DaC"]
    assert [point.iterations for point in line] == [30_000, 40_000, 50_000, 60_000]
    assert [point.label.method for point in line] == ["distilled", "dac", "dac", "dac"]
    assert line[2].row.psnr == pytest.approx([20.4, 20.5, 20.6])
    assert {point.total - point.iterations for point in line} == {120_000}
    assert [point.iterations for point in panel.beyond] == [180_000]


def test_the_table_holds_means_and_deviations(record: Recorder) -> None:
    table = budget_table(budgets(_study(record, "train", seeds=3)))
    assert list(table["line"]) == ["standard"] * 4 + ["DaC"] * 4 + ["beyond"]
    assert (table["seeds"] == 3).all() and table["psnr_std"].to_numpy() == pytest.approx(0.1)
    assert table["psnr"].iloc[-1] == pytest.approx(21.0)
    assert list(table["total_steps"].iloc[4:8]) == [150_000, 160_000, 170_000, 180_000]
    one = budget_table(budgets(_study(record, "train")))
    assert one["psnr_std"].isna().all()


def test_the_paper_shows_less(record: Recorder) -> None:
    files = _study(record, "train", modes=("corrected", "paper"))
    (full,), (paper,) = budgets(files), budgets(files, paper=True)
    assert list(full.dac) == ["DaC (corrected mode)", "DaC (paper mode)"] and full.beyond
    assert list(paper.dac) == ["DaC"] and not paper.beyond
    assert {point.label.mode for point in paper.dac["DaC"]} == {"paper"}
    assert [point.iterations for point in paper.standard] == [30_000, 40_000, 50_000, 60_000]


def test_each_distillation_is_a_line(record: Recorder) -> None:
    files = [
        record("a", "dac", 20.0, steps=60 - d, distill_steps=d, mode="paper", **OURS)
        for d in (20, 40)
    ]
    (panel,) = budgets(files)
    assert list(panel.dac) == ["DaC (distilled for 20)", "DaC (distilled for 40)"]
    assert all(line[0].iterations == 60 for line in panel.dac.values())


def test_small_print_names_the_steps_of_the_experts(record: Recorder) -> None:
    files = _study(record, "train", seeds=2)
    text = small_print(budgets(files))
    assert "120,000 (K\u00a0=\u00a04)" in text and "single seeds" in text
    alone = small_print(budgets(_study(record, "train")))
    assert "seeds" not in alone
    only = [record("m60", "baseline-1x", 20.0)]
    assert small_print(budgets(only)) == ""


def test_what_is_missing(record: Recorder, tmp_path: Path) -> None:
    # Without DaC nothing ends the axis; other methods are no part of this figure.
    (panel,) = budgets([record("a", "baseline-6x", 20.0), record("a", "experts", 21.0)])
    assert len(panel.standard) == 1 and not panel.beyond and not panel.dac
    with pytest.raises(UserError, match="no record is of a baseline or of DaC"):
        budgets([record("a", "experts", 20.0)])
    with pytest.raises(UserError, match="no evaluation record is given"):
        budgets([])
    with pytest.raises(UserError, match="how long the model was distilled"):
        budgets([record("a", "dac", 20.0, mode="paper", **OURS)])
    file = record("a", "baseline-1x", 20.0)
    with pytest.raises(UserError, match="another record holds too"):
        budgets([file, file])
    with pytest.raises(UserError, match="scores other views than"):
        budgets([file, record("a", "baseline-2x", 20.0, spread=(0, 1))])
    targets = [tmp_path / f"a.{kind}" for kind in ("csv", "png", "pdf")]
    with pytest.raises(UserError, match="no such file"):
        budget_figure([tmp_path / "none.json"], *targets)
    assert not any(target.exists() for target in targets)


@pytest.mark.parametrize("scenes", [1, 5])
def test_files_are_written_alike_twice(record: Recorder, tmp_path: Path, scenes: int) -> None:
    files = [file for i in range(scenes) for file in _study(record, f"scene{i}", seeds=1 + 2 * i)]
    for name in ("one", "two"):
        budget_figure(files, *(tmp_path / f"{name}.{kind}" for kind in ("csv", "png", "pdf")))
    for kind in ("csv", "png", "pdf"):
        one, two = (tmp_path / f"{name}.{kind}" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes() and one.stat().st_size > 500
    table = pd.read_csv(tmp_path / "one.csv")
    assert len(table) == 9 * scenes
    assert np.isclose(table["psnr"].iloc[3], 20.5)


@pytest.mark.filterwarnings("ignore:Glyph")
def test_hostile_names(record: Recorder, tmp_path: Path) -> None:
    for count, name in enumerate(("$x^{2$ \x1b\u202eשלום\n\\", "x" * 3000)):
        files = _study(record, name, modes=("$a$", "paper"))
        files.append(record(name, "baseline-1x", 20.0, model=name))
        folder = tmp_path / str(count)
        folder.mkdir()
        budget_figure(files, *(folder / f"a.{kind}" for kind in ("csv", "png", "pdf")))
        assert (folder / "a.png").stat().st_size > 5000
