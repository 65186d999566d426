"""Experts against the baseline: does an expert beat it on its own sector, and what of the others?

Notation: K experts; a test view is owned by the expert that renders it (Eq. 4). Gains are in dB of
PSNR over the baseline of as many steps as an expert has. Of a routed model, the owner's gain is the
model's own, which blends two experts near a border.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dac.errors import UserError
from dac.evaluation.records import Evaluation
from dac.report.figures import Inputs, Outputs, Settings, Wildcards
from dac.report.methods import METHOD_COLOURS
from dac.report.style import TWO_COLUMNS, drawing, dress, group_colours, headline
from dac.report.text import for_figure, signed

Floats = NDArray[np.float64]

# From the baseline's colour where it is ahead to DaC's.
_GAIN = LinearSegmentedColormap.from_list(
    "gain", [METHOD_COLOURS["baseline-2x"], "white", METHOD_COLOURS["dac"]]
)


@dataclass(frozen=True)
class ExpertGains:
    """Experts against a baseline on the V views that both records score.

    Attributes:
        scene: its name.
        owner: (V,) the expert that owns each view.
        gain: (V,) PSNR of the owner minus the baseline's.
        oracle: (V,) PSNR of the best expert of the view minus the baseline's.
        matrix: (K, K) mean gain of expert i (row) on the views that expert j (column) owns; NaN
            where it owns no scored view.
    """

    scene: str
    owner: NDArray[np.int64]
    gain: Floats
    oracle: Floats
    matrix: Floats


def expert_gains(experts: Path, baseline: Path) -> ExpertGains:
    """Compare an evaluation of experts, or of a routed model, with one of a baseline.

    An expert's PSNR on a view of others may come from a grid of pixels (`expert_stride`). What is
    compared there is the difference to the owner on the same grid, added to the owner's gain.

    Raises:
        UserError: a record is missing or damaged, is not of routed experts, or they share no view.
    """
    ours, theirs = Evaluation.load(experts), Evaluation.load(baseline)
    reference = {image.name: image.psnr for image in theirs.images}
    views = [image for image in ours.images if image.name in reference]
    if not views:
        raise UserError(experts, f"shares no view with {baseline}", "score the same test views")
    owners, scores = [], []
    for image in views:
        if image.group is None or not image.expert_psnr:
            raise UserError(experts, "is no record of routed experts", "run its evaluation again")
        owners.append(image.group)
        scores.append(image.expert_psnr)
    owner, grid = np.array(owners), np.array(scores, np.float64)
    gain = np.array([image.psnr - reference[image.name] for image in views])
    mine = grid[np.arange(len(views)), owner]
    each = gain[:, None] + grid - mine[:, None]
    K = grid.shape[1]
    matrix = np.full((K, K), np.nan)
    for sector in np.unique(owner):
        matrix[:, sector] = each[owner == sector].mean(axis=0)
    return ExpertGains(ours.scene, owner, gain, each.max(axis=1), matrix)


def draw(inputs: Inputs, outputs: Outputs, settings: Settings, wildcards: Wildcards) -> None:
    """Draw each view's gain by sector, and every expert's mean gain on every sector.

    Args:
        inputs: the records of the `experts`, or of the routed model, and of the `baseline` of as
            many steps.
        outputs, settings, wildcards: see `dac.report.figures`.

    Raises:
        UserError: as `expert_gains`; the files can't be written.
    """
    gains = expert_gains(inputs["experts"][0].parent, inputs["baseline"][0].parent)
    with drawing(outputs, TWO_COLUMNS, 2.7) as figure:
        _draw_views(figure.add_axes((0.085, 0.15, 0.53, 0.70)), gains)
        _draw_matrix(figure, gains)
        headline(figure, 0.085, for_figure(gains.scene))


def _draw_views(axes: Any, gains: ExpertGains) -> None:
    K = len(gains.matrix)
    ticks = []
    for group, colour in enumerate(group_colours(K)):
        values = np.sort(gains.gain[gains.owner == group])
        if len(values) == 0:
            ticks.append(f"sector {group}\nno view")
            continue
        x = group + (np.linspace(-0.3, 0.3, len(values)) if len(values) > 1 else np.zeros(1))
        axes.vlines(x, 0, values, color=colour, lw=0.8, alpha=0.35)
        axes.scatter(x, values, s=11, c=colour, linewidths=0, zorder=3)
        mean = values.mean()
        axes.hlines(mean, group - 0.4, group + 0.4, color=colour, lw=1.8, zorder=4)
        ticks.append(f"sector {group}\n{signed(mean, 2)} dB")
    axes.axhline(0, color="black", lw=0.6)
    axes.set_xticks(range(K), ticks)
    axes.set_xlim(-0.6, K - 0.4)
    axes.margins(y=0.12)
    axes.tick_params(axis="x", length=0)
    dress(axes, bare=("bottom",))
    axes.set_ylabel("expert minus baseline (dB)")
    routed, oracle = signed(gains.gain.mean(), 2), signed(gains.oracle.mean(), 2)
    axes.set_title(
        f"own expert, view by view: mean {routed} dB, oracle {oracle} dB", loc="left", pad=5
    )


def _draw_matrix(figure: Figure, gains: ExpertGains) -> None:
    K = len(gains.matrix)
    axes: Any = figure.add_axes((0.70, 0.15, 0.28, 0.70))
    # Off its sector an expert may be lost altogether: the colours are for differences one can see.
    reach = max(1.0, float(np.nanmax(np.diag(gains.matrix), initial=0.0)))
    axes.imshow(gains.matrix, cmap=_GAIN, vmin=-3 * reach, vmax=3 * reach, aspect="auto")
    for expert in range(K):
        for sector in range(K):
            value = gains.matrix[expert, sector]
            text = "–" if np.isnan(value) else signed(value, 1)
            dark = abs(value) > 1.8 * reach
            axes.text(
                sector,
                expert,
                text,
                ha="center",
                va="center",
                fontsize=7 if K <= 6 else 5,
                color="white" if dark else "black",
                weight="bold" if expert == sector else "normal",
            )
    axes.set_xticks(range(K), [str(sector) for sector in range(K)])
    axes.set_yticks(range(K), [str(expert) for expert in range(K)])
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        for label, colour in zip(labels, group_colours(K), strict=True):
            label.set(color=colour, weight="bold")
    axes.tick_params(length=0)
    axes.set(xlabel="sector of the test views", ylabel="expert")
    axes.set_title("mean gain over the baseline (dB)", pad=5)
