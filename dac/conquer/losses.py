"""The losses of the conquer phase (Eq. 5 to 7), each a function of what student and expert say.

Notation: R rays, S bins, the expert's; alpha (R, S) opacities, w (R, S) weights, c (R, S, 3)
colours, s (R, S+1) the expert's normalised edges. The expert's are constants. The student's alpha
comes from its density in the expert's bins and the expert's spacing, so equal fields give exactly
zero.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dac.fields.protocol import Histogram
from dac.training.losses import interlevel_loss


def alpha_loss(student: Tensor, expert: Tensor) -> Tensor:
    """Eq. 5: mean over the expert's samples of the squared difference of alpha.

    Args:
        student, expert: alpha, (R, S).
    """
    return (student - expert.detach()).square().mean()


def colour_loss(student: Tensor, expert: Tensor, weights: Tensor | None = None) -> Tensor:
    """Eq. 6: squared difference of the samples' colours.

    Args:
        student, expert: c, (R, S, 3).
        weights: None for the paper's mean over all samples, those in empty space included; the
            expert's w, (R, S), for the sum along each ray of w times the difference, mean over
            rays, which asks for colour only where there is something to see.
    """
    squared = (student - expert.detach()).square().mean(dim=-1)
    if weights is None:
        return squared.mean()
    return (weights.detach() * squared).sum(dim=-1).mean()


def proposal_histogram_loss(s: Tensor, mass: Tensor, proposals: Sequence[Histogram]) -> Tensor:
    """Eq. 7: the student's proposals must not lie below the expert's histogram.

    mip-NeRF 360's outer bound (its Eq. 13), summed over the student's proposal levels.

    Args:
        s: (R, S+1) the expert's edges.
        mass: (R, S) the expert's weights; in the paper's mode its alpha, which is no histogram: it
            does not add up over bins, and the bound then asks for more mass than a ray has.
        proposals: the student's, on the same rays.
    """
    return interlevel_loss(s, mass, proposals)


def rendered_colour_loss(student: Tensor, expert: Tensor) -> Tensor:
    """Mean squared difference of rendered colours (R, 3) over one background."""
    return (student - expert).square().mean()


def accumulation_loss(student: Tensor, expert: Tensor) -> Tensor:
    """Mean squared difference of accumulations (R,)."""
    return (student - expert).square().mean()
