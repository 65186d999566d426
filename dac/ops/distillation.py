"""How far a student's samples are from an expert's, at the same points, in plain torch.

Notation: R rays, S bins; the expert's values are constants.
"""

from __future__ import annotations

from torch import Tensor


def alpha_loss(student: Tensor, expert: Tensor) -> Tensor:
    """Mean squared difference of opacities (R, S)."""
    return (student - expert.detach()).square().mean()


def colour_loss(student: Tensor, expert: Tensor, weights: Tensor | None = None) -> Tensor:
    """Squared difference of colours (R, S, 3), mean over a colour's channels.

    Args:
        weights: None for the mean over all samples; or w (R, S), for the sum along each ray of w
            times the difference, mean over rays.
    """
    squared = (student - expert.detach()).square().mean(dim=-1)
    if weights is None:
        return squared.mean()
    return (weights.detach() * squared).sum(dim=-1).mean()
