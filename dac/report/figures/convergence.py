"""Convergence (the paper's Fig. 2): held-out PSNR over steps, and over seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

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

_TINTS = ("#F3F6F5", "#FCF4E6", "#FBECE9")  # of the phases


def draw(inputs: Inputs, outputs: Outputs, settings: Settings, wildcards: Wildcards) -> None:
    """Draw the held-out PSNR of the baselines, the experts and the conquered model.

    Args:
        inputs: `curve.json` of the runs `baseline_1x`, `baseline_2x`, `experts`, `distill` and
            `finetune`.
        outputs, settings: see `dac.report.figures`.
        wildcards: `scene`.

    Raises:
        UserError: a curve is missing or damaged; the files can't be written.
    """
    runs = ("baseline_1x", "baseline_2x", "distill", "finetune")
    once, twice, distill, finetune = (load_curve(inputs[run][0]) for run in runs)
    conquered, phases = pipeline(
        [load_curve(file) for file in inputs["experts"]], distill, finetune
    )
    baselines = [placed("baseline-1x", once), placed("baseline-2x", twice)]
    experts = len(inputs["experts"])
    lines = [*conquered[:experts], *baselines, *conquered[experts:]]
    with drawing(outputs, TWO_COLUMNS, 2.7) as figure:
        left: Any = figure.add_axes((0.075, 0.25, 0.50, 0.60))
        right: Any = figure.add_axes((0.63, 0.25, 0.355, 0.60), sharey=left)
        for axes, key in ((left, "steps"), (right, "seconds")):
            for line in lines:
                _draw(axes, getattr(line, key), line)
            dress(axes)
            axes.set_xlim(left=0)
            count_steps(axes, 5)
            axes.yaxis.set_major_locator(MaxNLocator(6))
        _limit(left, lines)
        _shade(left, phases)
        left.set(xlabel="steps, experts side by side", ylabel="held-out PSNR (dB)")
        right.set(xlabel="seconds of training, experts side by side")
        right.tick_params(labelleft=False)
        headline(figure, 0.075, for_figure(wildcards["scene"]))
        _legend(figure, experts)


def _draw(axes: Any, x: Sequence[float], line: PlacedCurve) -> None:
    colour, psnr = METHOD_COLOURS[line.method], line.psnr
    if line.method == "experts":
        axes.plot(x, psnr, color=colour, lw=0.7, alpha=0.8, zorder=2)
        return
    axes.plot(x, psnr, color=colour, lw=1.4, zorder=3)
    axes.plot(x[-1:], psnr[-1:], "o", color=colour, ms=3.2, zorder=4)
    if np.isfinite(psnr[-1]):
        below = line.method == "distilled"
        align, up = ("center top", -4) if below else ("center bottom", 4)
        write_at(axes, f"{psnr[-1]:.2f}", (x[-1], psnr[-1]), align, shift=(0, up), color=colour)


def _limit(axes: Any, lines: Sequence[PlacedCurve]) -> None:
    limits = shown_range([line.psnr for line in lines])
    if limits is None:
        axes.text(0.5, 0.5, "no held-out views", transform=axes.transAxes, ha="center", va="center")
    else:
        axes.set_ylim(*limits)


def _shade(axes: Any, phases: Sequence[Phase]) -> None:
    """Bands of the three phases that lead to the conquered model."""
    for phase, tint in zip(phases, _TINTS, strict=True):
        axes.axvspan(phase.start, phase.end, color=tint, lw=0, zorder=0)
        options: Any = {"share": "y", "shift": (0, 2), "size": 7, "color": "#555555"}
        write_at(axes, phase.name, ((phase.start + phase.end) / 2, 1.0), "center bottom", **options)
    axes.set_xlim(0, phases[-1].end * 1.03)


def _legend(figure: Figure, experts: int) -> None:
    names = {
        "baseline-1x": "baseline 1x",
        "baseline-2x": "baseline 2x",
        "experts": f"{experts} experts, {EXPERTS_LEGEND}",
        "distilled": "DaC, distilled",
        "dac": "DaC, fine-tuned",
    }
    handles = [
        Line2D([], [], color=METHOD_COLOURS[m], lw=0.7 if m == "experts" else 1.4, label=name)
        for m, name in names.items()
    ]
    figure.legend(
        handles=handles,
        loc="lower center",
        ncols=len(handles),
        frameon=False,
        handlelength=1.4,
        columnspacing=1.6,
        borderaxespad=0.2,
    )
