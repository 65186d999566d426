"""Loss curves of every phase: baseline, experts, distillation, fine-tuning.

Each term is drawn with its weight, as the phase minimised it: its mean between two points of the
curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from dac.report.curves import load_curve
from dac.report.figures import Inputs, Outputs, Settings, Wildcards
from dac.report.style import TWO_COLUMNS, count_steps, drawing, dress, group_colours, headline
from dac.report.text import for_figure
from dac.training.curve import Curve

# Terms of the conquer phase are solid, what regularises every phase is dashed.
REGULARISERS = ("interlevel", "distortion", "plane_tv", "proposal_tv")


def draw(inputs: Inputs, outputs: Outputs, settings: Settings, wildcards: Wildcards) -> None:
    """Draw the loss terms of each phase over its steps; the experts' as mean and range.

    Args:
        inputs: `curve.json` of the runs `baseline_2x`, `experts`, `distill` and `finetune`.
        outputs, settings: see `dac.report.figures`.
        wildcards: `scene`.

    Raises:
        UserError: a curve is missing or damaged; the files can't be written.
    """
    titles = {
        "baseline_2x": "baseline 2x",
        "experts": f"{len(inputs['experts'])} experts (mean, range)",
        "distill": "distillation",
        "finetune": "fine-tuning",
    }
    phases = {title: [load_curve(file) for file in inputs[of]] for of, title in titles.items()}
    names = _term_names([curve for curves in phases.values() for curve in curves])
    colours = dict(zip(names, group_colours(len(names)), strict=True))
    with drawing(outputs, TWO_COLUMNS, 2.5) as figure:
        panels: list[Any] = []
        for index, (title, curves) in enumerate(phases.items()):
            box = (0.072 + 0.234 * index, 0.33, 0.212, 0.50)
            axes: Any = figure.add_axes(box, sharey=panels[0] if panels else None)
            panels.append(axes)
            for name in names:
                _draw(axes, curves, name, colours[name])
            _dress(axes, title, first=index == 0)
        panels[0].set_ylabel("weighted loss")
        headline(figure, 0.072, for_figure(wildcards["scene"]))
        _legend(figure, colours)


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
    dress(axes)
    axes.set_xlim(left=0)
    axes.set_xlabel("steps")
    count_steps(axes, 3)
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
