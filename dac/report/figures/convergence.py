"""Convergence (the paper's Fig. 2): held-out PSNR over steps, and over seconds.

Experts are independent, so they are drawn side by side; distillation and fine-tuning follow them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from dac.report.figures import Inputs, Outputs, Settings, Wildcards
from dac.report.methods import METHOD_COLOURS
from dac.report.runs import SceneRuns, Stretch, load_curve, shifted, stretch
from dac.report.style import STYLE, TWO_COLUMNS, save_figure
from dac.report.text import for_figure


def draw(inputs: Inputs, outputs: Outputs, settings: Settings, wildcards: Wildcards) -> None:
    """Draw held-out PSNR of each run's `curve.json`."""
    convergence_figure(
        SceneRuns(
            scene=wildcards["scene"],
            baseline_1x=inputs["baseline_1x"][0].parent,
            baseline_2x=inputs["baseline_2x"][0].parent,
            experts=[file.parent for file in inputs["experts"]],
            distill=inputs["distill"][0].parent,
            finetune=inputs["finetune"][0].parent,
        ),
        outputs["png"],
        outputs["pdf"],
    )


# What lies further below the best value is the start of training and would flatten the rest.
SHOWN_DECIBELS = 12.0


def convergence_figure(runs: SceneRuns, png: Path, pdf: Path) -> None:
    """Draw the held-out PSNR of the baselines, the experts and the conquered model.

    Args:
        runs: run folders; each holds curve.json.
        png, pdf: files to write.

    Raises:
        UserError: a curve is missing or damaged, or holds no PSNR; the files can't be written.
    """
    experts = [load_curve(run) for run in runs.experts]
    distill = stretch(load_curve(runs.distill), experts)
    finetune = shifted(stretch(load_curve(runs.finetune)), distill)
    lines = [("experts", stretch(expert)) for expert in experts]
    lines += [
        ("baseline-1x", stretch(load_curve(runs.baseline_1x))),
        ("baseline-2x", stretch(load_curve(runs.baseline_2x))),
        ("distilled", distill),
        ("dac", finetune),
    ]
    phases = [
        max(expert.steps[-1] for expert in experts),
        distill.steps[-1],
        finetune.steps[-1],
    ]
    with rc_context(STYLE):
        figure = Figure(figsize=(TWO_COLUMNS, 2.7))
        left: Any = figure.add_axes((0.075, 0.25, 0.50, 0.60))
        right: Any = figure.add_axes((0.63, 0.25, 0.355, 0.60), sharey=left)
        for axes, key in ((left, "steps"), (right, "seconds")):
            for method, line in lines:
                _draw(axes, getattr(line, key), line.psnr, method)
            _dress(axes)
        _limit(left, [line for _, line in lines])
        _shade(left, phases)
        left.set(xlabel="steps, experts side by side", ylabel="held-out PSNR (dB)")
        right.set(xlabel="seconds of training, experts side by side")
        right.tick_params(labelleft=False)
        figure.text(0.075, 0.985, for_figure(runs.scene), ha="left", va="top", weight="bold")
        _legend(figure, len(experts))
        save_figure(figure, png, pdf, dpi=300)


def _draw(axes: Any, x: list[float], psnr: list[float], method: str) -> None:
    colour = METHOD_COLOURS[method]
    if method == "experts":
        axes.plot(x, psnr, color=colour, lw=0.7, alpha=0.8, zorder=2)
        return
    axes.plot(x, psnr, color=colour, lw=1.4, zorder=3)
    axes.plot(x[-1:], psnr[-1:], "o", color=colour, ms=3.2, zorder=4)
    if np.isfinite(psnr[-1]):
        axes.annotate(
            f"{psnr[-1]:.2f}",
            (x[-1], psnr[-1]),
            xytext=(0, -4 if method == "distilled" else 4),
            textcoords="offset points",
            ha="center",
            va="top" if method == "distilled" else "bottom",
            fontsize=6,
            color=colour,
        )


def _dress(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", lw=0.4, color="#DDDDDD")
    axes.set_axisbelow(True)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(6))


def _limit(axes: Any, lines: list[Stretch]) -> None:
    """Both panels' range: the best value, and what lies less than `SHOWN_DECIBELS` below it."""
    values = np.concatenate([np.asarray(line.psnr, np.float64) for line in lines])
    values = values[np.isfinite(values)]
    if len(values) == 0:
        axes.text(0.5, 0.5, "no held-out views", transform=axes.transAxes, ha="center", va="center")
        return
    top = float(values.max())
    bottom = max(float(values.min()), top - SHOWN_DECIBELS)
    margin = 0.06 * max(top - bottom, 0.5)
    axes.set_ylim(bottom - margin, top + 2 * margin)


def _shade(axes: Any, ends: list[float]) -> None:
    """Bands of the three phases that lead to the conquered model."""
    start = 0.0
    for end, name, tint in zip(
        ends,
        ("experts", "distillation", "fine-tuning"),
        ("#F3F6F5", "#FCF4E6", "#FBECE9"),
        strict=True,
    ):
        axes.axvspan(start, end, color=tint, lw=0, zorder=0)
        place = (start + end) / 2
        axes.annotate(
            name,
            (place, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=7,
            color="#555555",
        )
        start = end
    axes.set_xlim(0, ends[-1] * 1.03)


def _legend(figure: Figure, experts: int) -> None:
    names = {
        "baseline-1x": "baseline 1x",
        "baseline-2x": "baseline 2x",
        "experts": f"{experts} experts, each alone on all held-out views",
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
