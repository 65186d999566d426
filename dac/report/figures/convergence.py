"""Convergence (the paper's Fig. 2): held-out PSNR over steps, and over seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dac.evaluation.records import Evaluation
from dac.report.curves import (
    EXPERTS_LEGEND,
    Phase,
    PlacedCurve,
    load_curve,
    pipeline,
    placed,
    shown_range,
)
from dac.report.figures import Inputs, Outputs, Settings, Wildcards
from dac.report.methods import METHOD_COLOURS
from dac.report.style import TWO_COLUMNS, count_steps, drawing, dress, headline, write_at
from dac.report.text import for_figure

_SCORED = "*"
# Of the phases.
_TINTS = {
    "trunk": "#F4F4F6",
    "experts": "#F3F6F5",
    "distillation": "#FCF4E6",
    "fine-tuning": "#FBECE9",
}


def draw(inputs: Inputs, outputs: Outputs, settings: Settings, wildcards: Wildcards) -> None:
    """Draw the held-out PSNR of the baselines, the experts and the conquered model.

    Args:
        inputs: `curve.json` of the runs `baseline_1x`, `baseline_2x` and `experts`, and of those of
            `trunk`, `distill` and `finetune` that there are; `scored`, records of models that have
            no curve, and of what they are held against.
        outputs, settings: see `dac.report.figures`.
        wildcards: `scene` and `mode`.

    Raises:
        UserError: a curve is missing or damaged; the files can't be written.
    """
    experts = [load_curve(file) for file in inputs["experts"]]
    trunk, distill, finetune = (
        load_curve(inputs[run][0]) if inputs.get(run) else None
        for run in ("trunk", "distill", "finetune")
    )
    last = "merged" if wildcards["mode"] == "merged" else "dac"
    later = ({"distilled": distill} if distill else {}) | {last: finetune}
    conquered, phases = pipeline(experts, later, trunk)
    once, twice = (
        placed(f"baseline-{n}x", load_curve(inputs[f"baseline_{n}x"][0])) for n in (1, 2)
    )
    before = [line for line in conquered if line.method in ("trunk", "experts")]
    lines = [*before, once, twice, *conquered[len(before) :]]
    scored = [Evaluation.load(file) for file in inputs.get("scored", ())]
    with drawing(outputs, TWO_COLUMNS, 2.7) as figure:
        left: Any = figure.add_axes((0.075, 0.25, 0.50, 0.60))
        right: Any = figure.add_axes((0.63, 0.25, 0.355, 0.60), sharey=left)
        for axes, key in ((left, "steps"), (right, "seconds")):
            for line in lines:
                _draw(axes, getattr(line, key), line, below=bool(scored))
            dress(axes)
            axes.set_xlim(left=0)
            count_steps(axes, 5)
            axes.yaxis.set_major_locator(MaxNLocator(6))
        _limit(left, [*(line.psnr for line in lines), [run.mean.psnr for run in scored]])
        _shade(left, phases)
        left.set_xlim(0, 1.03 * max(phases[-1].end, twice.steps[-1]))
        for run in scored:
            _draw_score(left, run)
        left.set(xlabel="steps, experts side by side", ylabel="held-out PSNR (dB)")
        right.set(xlabel="seconds of training, experts side by side")
        right.tick_params(labelleft=False)
        headline(figure, 0.075, for_figure(wildcards["scene"]))
        _legend(figure, lines, scored)


def _draw_score(axes: Any, run: Evaluation) -> None:
    """What a model reaches on whole test views, which has another mean than held-out pixels."""
    method = run.label.method
    colour, at = METHOD_COLOURS[method], (run.label.steps, run.mean.psnr)
    axes.plot(*at, _SCORED, color=colour, mfc="white", ms=6, zorder=5)
    text = f"{method.replace('-', ' ')} {run.mean.psnr:.2f}"
    write_at(axes, text, at, "right center", shift=(-5, 1), color=colour)


def _draw(axes: Any, x: Sequence[float], line: PlacedCurve, *, below: bool) -> None:
    """A curve, and what it ends at.

    Args:
        below: whether that is written below its end.
    """
    colour, psnr = METHOD_COLOURS[line.method], line.psnr
    if line.method == "experts":
        axes.plot(x, psnr, color=colour, lw=0.7, alpha=0.8, zorder=2)
        return
    axes.plot(x, psnr, color=colour, lw=1.4, zorder=3)
    if line.method == "trunk":
        return
    axes.plot(x[-1:], psnr[-1:], "o", color=colour, ms=3.2, zorder=4)
    if np.isfinite(psnr[-1]):
        below = below or line.method in ("distilled", "merged")
        align, up = ("center top", -4) if below else ("center bottom", 4)
        write_at(axes, f"{psnr[-1]:.2f}", (x[-1], psnr[-1]), align, shift=(0, up), color=colour)


def _limit(axes: Any, psnr: Sequence[Sequence[float]]) -> None:
    limits = shown_range(psnr)
    if limits is None:
        axes.text(0.5, 0.5, "no held-out views", transform=axes.transAxes, ha="center", va="center")
    else:
        axes.set_ylim(*limits)


def _shade(axes: Any, phases: Sequence[Phase]) -> None:
    """Bands of the phases that lead to the conquered model."""
    for phase in phases:
        axes.axvspan(phase.start, phase.end, color=_TINTS[phase.name], lw=0, zorder=0)
        options: Any = {"share": "y", "shift": (0, 2), "size": 7, "color": "#555555"}
        write_at(axes, phase.name, ((phase.start + phase.end) / 2, 1.0), "center bottom", **options)


def _legend(figure: Figure, lines: Sequence[PlacedCurve], scored: Sequence[Evaluation]) -> None:
    experts = len([line for line in lines if line.method == "experts"])
    names = {
        "baseline-1x": "baseline 1x",
        "baseline-2x": "baseline 2x",
        "trunk": "trunk",
        "experts": f"{experts} experts, {EXPERTS_LEGEND}",
        "distilled": "DaC, distilled",
        "dac": "DaC, fine-tuned",
        "merged": "DaC, merged",
    }
    shown = {line.method for line in lines}
    handles = [
        Line2D([], [], color=METHOD_COLOURS[m], lw=0.7 if m == "experts" else 1.4, label=name)
        for m, name in names.items()
        if m in shown
    ]
    if scored:
        look: Any = {"color": "#555555", "mfc": "white", "ls": "", "marker": _SCORED, "ms": 6}
        handles.append(Line2D([], [], label="scored on whole views", **look))
    figure.legend(
        handles=handles,
        loc="lower center",
        ncols=len(handles),
        frameon=False,
        handlelength=1.4,
        columnspacing=1.6,
        borderaxespad=0.2,
    )
