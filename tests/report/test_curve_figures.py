from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dac.errors import UserError
from dac.report.figures.convergence import convergence_figure
from dac.report.figures.losses import losses_figure
from dac.report.runs import SceneRuns, load_curve, shifted, stretch


def test_phases_are_laid_end_to_end(runs: SceneRuns) -> None:
    experts = [load_curve(run) for run in runs.experts]
    distill = stretch(load_curve(runs.distill), experts)
    finetune = shifted(stretch(load_curve(runs.finetune)), distill)
    assert distill.steps == [140 + step for step in (20, 40, 60, 80)]
    assert distill.seconds == [14 + step / 10 for step in (20, 40, 60, 80)]
    assert finetune.steps == [220 + step for step in (15, 30, 45, 60)]
    assert finetune.seconds[-1] == pytest.approx(28.0)


@pytest.mark.parametrize("figure", [convergence_figure, losses_figure])
def test_figures_are_written_alike_twice(figure, runs: SceneRuns, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for name in ("one", "two"):
        figure(runs, tmp_path / f"{name}.png", tmp_path / f"{name}.pdf")
    for kind in ("png", "pdf"):
        one, two = (tmp_path / f"{name}.{kind}" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes() and one.stat().st_size > 5000


def test_a_scene_without_held_out_views(runs: SceneRuns, tmp_path: Path) -> None:
    every = [*runs.experts, runs.baseline_1x, runs.baseline_2x, runs.distill, runs.finetune]
    for run in every:
        data = json.loads((run / "curve.json").read_text())
        data["psnr"] = [None] * len(data["psnr"])
        (run / "curve.json").write_text(json.dumps(data))
    convergence_figure(runs, tmp_path / "a.png", tmp_path / "a.pdf")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_damaged_curves(runs: SceneRuns, tmp_path: Path) -> None:
    targets = (tmp_path / "a.png", tmp_path / "a.pdf")
    with pytest.raises(UserError, match="no such file"):
        convergence_figure(replace(runs, distill=tmp_path / "none"), *targets)
    (runs.finetune / "curve.json").write_text('{"steps": [1, 2], "psnr": [1.0], "seconds": [1, 2]}')
    for figure in (convergence_figure, losses_figure):
        with pytest.raises(UserError, match="is no curve"):
            figure(runs, *targets)
    assert not targets[0].exists() and not targets[1].exists()
