"""Loss curves of every phase: baseline, experts, distillation, fine-tuning.

Each term is drawn with its weight, as the phase minimised it: its mean between two points of the
curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from dac.report.figures import Inputs, Outputs, Settings, Wildcards
from dac.report.runs import SceneRuns, load_curve
from dac.report.style import STYLE, TWO_COLUMNS, group_colours, save_figure
from dac.report.text import for_figure
from dac.training.curve import Curve


def draw(inputs: Inputs, outputs: Outputs, settings: Settings, wildcards: Wildcards) -> None:
    """Draw the loss terms of each run's `curve.json`."""
    losses_figure(
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


# Terms of the conquer phase are solid, what regularises every phase is dashed.
REGULARISERS = ("interlevel", "distortion", "plane_tv", "proposal_tv")


def losses_figure(runs: SceneRuns, png: Path, pdf: Path) -> None:
    """Draw the loss terms of each phase over its steps; the experts' as mean and range.

    Args:
        runs: run folders; each holds curve.json.
        png, pdf: files to write.

    Raises:
        UserError: a curve is missing or damaged; the files can't be written.
    """
    phases = {
        "baseline 2x": [load_curve(runs.baseline_2x)],
        f"{len(runs.experts)} experts (mean, range)": [load_curve(run) for run in runs.experts],
        "distillation": [load_curve(runs.distill)],
        "fine-tuning": [load_curve(runs.finetune)],
    }
    names = _term_names([curve for curves in phases.values() for curve in curves])
    colours = dict(zip(names, group_colours(len(names)), strict=True))
    with rc_context(STYLE):
        figure = Figure(figsize=(TWO_COLUMNS, 2.5))
        panels: list[Any] = []
        for index, (title, curves) in enumerate(phases.items()):
            place = (0.072 + 0.234 * index, 0.33, 0.212, 0.50)
            axes: Any = figure.add_axes(place, sharey=panels[0] if panels else None)
            panels.append(axes)
            for name in names:
                _draw(axes, curves, name, colours[name])
            _dress(axes, title, first=index == 0)
        panels[0].set_ylabel("weighted loss")
        figure.text(0.072, 0.985, for_figure(runs.scene), ha="left", va="top", weight="bold")
        _legend(figure, colours)
        save_figure(figure, png, pdf, dpi=300)


def _term_names(curves: Sequence[Curve]) -> list[str]:
    """Every term's name, in order of appearance, regularisers last."""
    names = list(dict.fromkeys(name for curve in curves for name in curve.losses))
    return sorted(names, key=lambda name: name in REGULARISERS)


def _draw(axes: Any, curves: Sequence[Curve], name: str, colour: str) -> None:
    present = [curve for curve in curves if name in curve.losses]
    if not present:
        return
    length = min(len(curve.steps) for curve in present)
    steps = present[0].steps[:length]
    values = np.array([curve.losses[name][:length] for curve in present], np.float64)
    values[~(values > 0)] = np.nan  # a logarithmic axis has no zero
    measured = np.isfinite(values).all(axis=0)
    if not measured.any():
        return
    x, values = np.asarray(steps)[measured], values[:, measured]
    dashed = name in REGULARISERS
    axes.plot(x, values.mean(axis=0), "--" if dashed else "-", color=colour, lw=1.0, zorder=3)
    if len(present) > 1:
        low, high = values.min(axis=0), values.max(axis=0)
        axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0, zorder=2)


def _dress(axes: Any, title: str, *, first: bool) -> None:
    axes.set_yscale("log")
    axes.set_title(title, pad=4)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", lw=0.4, color="#DDDDDD")
    axes.set_axisbelow(True)
    axes.set_xlim(left=0)
    axes.set_xlabel("steps")
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_locator(LogLocator(numticks=8))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="y", which="minor", left=False)
    axes.tick_params(labelleft=first)


def _legend(figure: Figure, colours: dict[str, str]) -> None:
    handles = [
        Line2D(
            [],
            [],
            color=colour,
            ls="--" if name in REGULARISERS else "-",
            label=name.replace("_", " ").replace(" tv", " TV"),
        )
        for name, colour in colours.items()
    ]
    figure.legend(
        handles=handles,
        loc="lower center",
        ncols=min(len(handles), 7),
        frameon=False,
        handlelength=1.8,
        columnspacing=1.4,
        labelspacing=0.3,
        borderaxespad=0.1,
    )
