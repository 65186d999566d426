"""The figures of training curves, and how curves are laid end to end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from dac.errors import UserError
from dac.report.curves import SHOWN_DECIBELS, load_curve, pipeline, placed, shown_range
from dac.report.figures import convergence, losses

Curves = dict[str, list[Path]]


def test_phases_are_laid_end_to_end(curves: Curves) -> None:
    experts = [load_curve(file) for file in curves["experts"]]
    distill, finetune = (load_curve(curves[name][0]) for name in ("distill", "finetune"))
    lines, phases = pipeline(experts, {"distilled": distill, "dac": finetune})
    assert [line.method for line in lines] == ["experts"] * 3 + ["distilled", "dac"]
    assert [line.steps[-1] for line in lines] == [100, 120, 140, 220, 280]
    assert lines[3].steps == [140 + step for step in (20, 40, 60, 80)]
    assert lines[3].seconds == [14 + step / 10 for step in (20, 40, 60, 80)]
    assert lines[4].steps == [220 + step for step in (15, 30, 45, 60)]
    assert lines[4].seconds[-1] == pytest.approx(28.0)
    assert [(phase.name, phase.start, phase.end) for phase in phases] == [
        ("experts", 0, 140),
        ("distillation", 140, 220),
        ("fine-tuning", 220, 280),
    ]
    cut = {"distilled": None, "dac": finetune}
    assert pipeline(experts, cut) == (lines[:3], phases[:1])
    alone, phase = pipeline([], {"distilled": distill, "dac": None})
    assert alone == [placed("distilled", distill)] and (phase[0].start, phase[0].end) == (0, 80)


def test_specialists_go_on_where_their_trunk_ends(curves: Curves) -> None:
    trunk = load_curve(curves["distill"][0])  # 80 steps in 8 seconds
    experts = [load_curve(file) for file in curves["experts"]]
    finetune = load_curve(curves["finetune"][0])
    lines, phases = pipeline(experts, {"merged": finetune}, trunk)
    assert [line.method for line in lines] == ["trunk", *["experts"] * 3, "merged"]
    # An expert's curve counts the trunk's steps already, but not its seconds.
    assert lines[1].steps == experts[0].steps and lines[3].seconds[-1] == pytest.approx(8 + 14)
    assert lines[4].steps[-1] == 140 + 60 and lines[4].seconds[-1] == pytest.approx(22 + 6)
    assert [(phase.name, phase.start, phase.end) for phase in phases] == [
        ("trunk", 0, 80),
        ("experts", 80, 140),
        ("fine-tuning", 140, 200),
    ]
    alone, _ = pipeline([], {"merged": finetune}, trunk)
    assert alone[1].steps[-1] == 80 + 60


def test_what_is_far_below_the_best_is_cut_off() -> None:
    nan = float("nan")
    assert shown_range([[nan], []]) is None
    assert shown_range([[20.0, nan], [22.0]]) == pytest.approx((20 - 0.12, 22 + 0.24))
    assert shown_range([[5.0, 30.0]]) == pytest.approx(
        (30 - 1.06 * SHOWN_DECIBELS, 30 + 0.12 * SHOWN_DECIBELS)
    )
    assert np.ptp(shown_range([[20.0]]) or ()) == pytest.approx(0.09)


@pytest.mark.parametrize("figure", [convergence, losses])
def test_figures(figure: Any, curves: Curves, drawn: Callable[..., dict[str, Path]]) -> None:
    files = drawn(figure, twice=True, **curves)
    assert files["png"].stat().st_size > 20_000


@pytest.mark.parametrize("mode", ["routed", "merged"])
def test_convergence_of_specialists(
    curves: Curves,
    record: Callable[..., Path],
    drawn: Callable[..., dict[str, Path]],
    figures: list[Figure],
    mode: str,
) -> None:
    grown = {name: curves[name] for name in ("baseline_1x", "baseline_2x", "experts")}
    grown["trunk"] = curves["distill"]
    if mode == "merged":
        grown["finetune"] = curves["finetune"]
    else:
        routed = record("zoo", "routed", 24.56, trunk=80, horizon=140, steps=140)
        grown["scored"] = [record("zoo", "baseline-1x", 22.0), routed]
    drawn(convergence, mode=mode, **grown)
    texts = {text.get_text() for text in figures[-1].findobj(Text)}
    assert {"trunk", "experts", "baseline 1x", "baseline 2x"} <= texts
    assert {"fine-tuning", "DaC, merged"} <= texts or mode == "routed"
    assert {"routed 24.56", "baseline 1x 22.00", "scored on whole views"} <= texts or (
        mode == "merged"
    )
    assert "DaC, distilled" not in texts
    left: Any = figures[-1].axes[0]
    assert left.get_xlim()[1] >= 200 and left.get_ylim()[1] > (24.56 if mode == "routed" else 21)


def test_a_scene_without_held_out_views(
    curves: Curves, drawn: Callable[..., dict[str, Path]]
) -> None:
    whole = drawn(convergence, **curves)["png"].stat().st_size
    for file in (file for files in curves.values() for file in files):
        data = json.loads(file.read_text())
        data["psnr"] = [None] * len(data["psnr"])
        file.write_text(json.dumps(data))
    assert drawn(convergence, **curves)["png"].stat().st_size < whole


def test_damaged_curves(
    curves: Curves, tmp_path: Path, drawn: Callable[..., dict[str, Path]]
) -> None:
    with pytest.raises(UserError, match="no such file"):
        drawn(convergence, **(curves | {"distill": [tmp_path / "none"]}))
    curves["finetune"][0].write_text('{"steps": [1, 2], "psnr": [1.0], "seconds": [1, 2]}')
    for figure in (convergence, losses):
        with pytest.raises(UserError, match="is no curve"):
            drawn(figure, **curves)
    assert not list(tmp_path.glob("*.p*"))
