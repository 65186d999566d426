from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dac.errors import UserError
from dac.report.figures import convergence_study
from dac.report.figures.convergence_study import panels_of, small_print

Recorder = Callable[..., Path]
Drawn = Callable[..., dict[str, Path]]
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
    (panel,) = panels_of(_study(record, "train", seeds=3))
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


def test_the_table_holds_means_and_deviations(record: Recorder, drawn: Drawn) -> None:
    table = pd.read_csv(drawn(convergence_study, records=_study(record, "train", seeds=3))["csv"])
    assert list(table) == [
        *("scene", "model", "line", "method", "division", "K", "mode", "iterations"),
        *("total_steps", "psnr", "psnr_std", "seeds"),
    ]
    assert list(table["line"]) == ["standard"] * 4 + ["DaC"] * 4 + ["beyond"]
    assert (table["seeds"] == 3).all() and table["psnr_std"].to_numpy() == pytest.approx(0.1)
    assert table["psnr"].iloc[-1] == pytest.approx(21.0)
    assert list(table["total_steps"].iloc[4:8]) == [150_000, 160_000, 170_000, 180_000]
    one = pd.read_csv(drawn(convergence_study, records=_study(record, "train"))["csv"])
    assert one["psnr_std"].isna().all()


def test_each_mode_is_a_line(record: Recorder) -> None:
    (panel,) = panels_of(_study(record, "train", modes=("corrected", "paper")))
    assert list(panel.dac) == ["DaC (corrected mode)", "DaC (paper mode)"] and panel.beyond
    assert {point.label.mode for point in panel.dac["DaC (paper mode)"]} == {"paper"}


def test_each_distillation_is_a_line(record: Recorder) -> None:
    files = [
        record("a", "dac", 20.0, steps=60 - d, distill_steps=d, mode="paper", **OURS)
        for d in (20, 40)
    ]
    (panel,) = panels_of(files)
    assert list(panel.dac) == ["DaC (distilled for 20)", "DaC (distilled for 40)"]
    assert all(line[0].iterations == 60 for line in panel.dac.values())


def test_small_print_names_the_steps_of_the_experts(record: Recorder) -> None:
    files = _study(record, "train", seeds=2)
    text = small_print(panels_of(files))
    assert "120,000 (K\u00a0=\u00a04)" in text and "single seeds" in text
    alone = small_print(panels_of(_study(record, "train")))
    assert "seeds" not in alone
    only = [record("m60", "baseline-1x", 20.0)]
    assert small_print(panels_of(only)) == ""


def test_what_is_missing(record: Recorder, tmp_path: Path, drawn: Drawn) -> None:
    # Without DaC nothing ends the axis; other methods are no part of this figure.
    (panel,) = panels_of([record("a", "baseline-6x", 20.0), record("a", "experts", 21.0)])
    assert len(panel.standard) == 1 and not panel.beyond and not panel.dac
    with pytest.raises(UserError, match="no record is of a baseline or of DaC"):
        panels_of([record("a", "experts", 20.0)])
    with pytest.raises(UserError, match="no evaluation record is given"):
        panels_of([])
    with pytest.raises(UserError, match="how long the model was distilled"):
        panels_of([record("a", "dac", 20.0, mode="paper", **OURS)])
    file = record("a", "baseline-1x", 20.0)
    with pytest.raises(UserError, match="another record holds too"):
        panels_of([file, file])
    with pytest.raises(UserError, match="scores other views than"):
        panels_of([file, record("a", "baseline-2x", 20.0, spread=(0, 1))])
    with pytest.raises(UserError, match="no such file"):
        drawn(convergence_study, records=[tmp_path / "none.json"])
    assert not list(tmp_path.glob("*.p*")) + list(tmp_path.glob("*.csv"))


@pytest.mark.parametrize("scenes", [1, 5])
def test_figures(record: Recorder, drawn: Drawn, scenes: int) -> None:
    files = [file for i in range(scenes) for file in _study(record, f"scene{i}", seeds=1 + 2 * i)]
    written = drawn(convergence_study, twice=True, records=files)
    with Image.open(written["png"]) as picture:
        assert picture.size[0] == (1005 if scenes == 1 else 2100)
    table = pd.read_csv(written["csv"])
    assert len(table) == 9 * scenes and np.isclose(table["psnr"].iloc[3], 20.5)
