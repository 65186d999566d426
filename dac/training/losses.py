"""The losses of training on images, each a named term already multiplied by its weight.

Notation: R rays, S bins; s (R, S+1) normalised edges, w (R, S) weights.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dac import ops
from dac.fields.model import Model
from dac.fields.protocol import Histogram, Rendering, over
from dac.settings import TrainSettings

Terms = dict[str, Tensor]


def photometric_loss(rendering: Rendering, rgb: Tensor, background: Tensor) -> Tensor:
    """Mean squared error of the rendered colours over the batch's background.

    Args:
        rgb: (R, 3) target over the same background.
        background: (3,).
    """
    return (over(rendering, background) - rgb).square().mean()


def interlevel_loss(s: Tensor, weights: Tensor, proposals: Sequence[Histogram]) -> Tensor:
    """Histogram loss of each proposal level against the final one, summed (mip-NeRF 360, Eq. 13).

    Only the proposals learn from it.
    """
    levels = [ops.histogram_loss(s, weights, level.s, level.weights) for level in proposals]
    total = levels[0]
    for level in levels[1:]:
        total = total + level
    return total


def regularisers(
    model: Model,
    settings: TrainSettings,
    s: Tensor,
    weights: Tensor,
    proposals: Sequence[Histogram],
    *,
    proposals_learn: bool,
) -> Terms:
    """L_orig of Eq. 8: all of K-Planes' losses but the photometric one.

    Terms of weight 0 are left out. In steps in which the proposals don't learn, neither their
    interlevel loss nor their total variation is a term, so that Adam leaves them alone.
    """
    terms: Terms = {}
    if settings.distortion:
        terms["distortion"] = settings.distortion * ops.distortion_loss(s, weights)
    if settings.interlevel and proposals_learn:
        terms["interlevel"] = settings.interlevel * interlevel_loss(s, weights, proposals)
    if settings.plane_tv or settings.proposal_tv:
        field, levels = model.plane_tv()
        if settings.plane_tv:
            terms["plane_tv"] = settings.plane_tv * field
        if settings.proposal_tv and proposals_learn:
            terms["proposal_tv"] = settings.proposal_tv * levels
    return terms
