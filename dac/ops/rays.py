"""Whole rays of the hybrid model at once: rendering, a training step's gradients, a distillation's.

The native operations keep a few rays' every intermediate value in the cache, from the first sample
to the last gradient. What they compute is what `dac.fields.model.Model` and the losses compute in
plain torch, operation by operation; there is no twin of their own. They take part in no autograd
graph: gradients are added into a buffer that `adam_step` reads.

Notation: R rays, S samples a ray of the field; parameters in the order of `model.parameters()`; the
flat gradient is (copies, length), each parameter's start rounded up to `memory.ALIGN` floats, one
copy for each thread. Rays may be part of a larger batch, in which the first of them has the number
`first_ray`: jitter goes by a ray's number in the batch, so that parts draw what the whole would.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dac.ops import memory


class ModelShape(NamedTuple):
    """Sizes and space of a hybrid K-Planes model.

    Attributes:
        integers: [0 box or 1 contraction, samples of the two levels and the field, hidden width,
            geometry features, hidden colour layers, proposal channels, sides of the two levels'
            planes, field channels, sides of the field's planes].
        space: [centre (3), half lengths (3)] of the box.
    """

    integers: tuple[int, ...]
    space: tuple[float, ...]


class KernelModel(NamedTuple):
    """A model as the kernels take it: its parameters, detached, and its shape."""

    parameters: Sequence[Tensor]
    shape: ModelShape


class StepRays(NamedTuple):
    """Rays of a training or distillation step.

    Attributes:
        rays: (R, 8) float32: origin, unit direction, near, far.
        background: (3,) the colour behind them.
        key, anneal: as in `render_rays`.
    """

    rays: Tensor
    background: Tensor
    key: Tensor
    anneal: Tensor


class TrainWeights(NamedTuple):
    """Weights of a training step's terms."""

    photometric: float
    distortion: float
    interlevel: float


class DistillWeights(NamedTuple):
    """Weights of a distillation step's terms (Eq. 5 to 8)."""

    alpha: float
    colour: float
    histogram: float
    rendered: float
    accumulation: float
    distortion: float
    interlevel: float


class Rendered(NamedTuple):
    """What rays show: rgb (..., 3), expected depth (...,) along the ray, accumulation (...,).

    Whether the colours stand over a background, whoever renders says.
    """

    rgb: Tensor
    depth: Tensor
    accumulation: Tensor


class Sampled(NamedTuple):
    """The field's samples: s, t (R, S+1) edges; alpha, weights (R, S); colours (R, S, 3)."""

    s: Tensor
    t: Tensor
    alpha: Tensor
    weights: Tensor
    colours: Tensor


class Lesson(NamedTuple):
    """What experts say about a batch of rays, all constants.

    Attributes:
        s, t: (R, S+1) edges.
        alpha, weights: (R, S).
        colours: (R, S, 3).
        rgb: (R, 3) without background.
        accumulation: (R,).
    """

    s: Tensor
    t: Tensor
    alpha: Tensor
    weights: Tensor
    colours: Tensor
    rgb: Tensor
    accumulation: Tensor


def new_gradients(parameters: Sequence[Tensor]) -> Tensor:
    """A zero gradient buffer (copies, length) for the parameters, with a copy for each thread."""
    first = parameters[0]
    length = memory.length(parameters)
    if first.device.type == "cpu":
        return memory.zeros(torch.get_num_threads(), length)
    return first.new_zeros(1, length)


def render_rays(model: KernelModel, rays: Tensor, key: Tensor | None, anneal: Tensor) -> Rendered:
    """Render without gradients, without background.

    Args:
        rays: (R, 8) float32: origin, unit direction, near, far.
        key: (1,) int64, jitters the samples (see `ops.jitter`); None places them evenly.
        anneal: (1,) exponent of the proposals' weights before they are resampled.
    """
    rendered, _ = _render(model, rays, key, anneal, samples=False, first_ray=0)
    return rendered


def sample_rays(
    model: KernelModel, rays: Tensor, key: Tensor | None, anneal: Tensor, first_ray: int = 0
) -> tuple[Rendered, Sampled]:
    """As `render_rays`, with the field's samples."""
    rendered, samples = _render(model, rays, key, anneal, samples=True, first_ray=first_ray)
    return rendered, Sampled(*samples)


def _render(
    model: KernelModel,
    rays: Tensor,
    key: Tensor | None,
    anneal: Tensor,
    *,
    samples: bool,
    first_ray: int,
) -> tuple[Rendered, list[Tensor]]:
    rgb, accumulation, depth, *values = torch.ops.dac.render_rays(
        model.parameters, *model.shape, rays, key, anneal, samples, first_ray
    )
    return Rendered(rgb, depth, accumulation), values


def train_rays(
    model: KernelModel,
    gradients: Tensor,
    batch: StepRays,
    target: Tensor,
    learn: bool,
    weights: TrainWeights,
    first_ray: int = 0,
) -> Tensor:
    """Add the gradients of a training step's terms, total variation left out.

    Args:
        gradients: (copies, length), added to.
        target: (R, 3) colours over the batch's background.
        learn: whether the proposals get gradient; if not, the interlevel term is 0.

    Returns:
        (3,) the terms, weighted: photometric, distortion, interlevel.
    """
    result: Tensor = torch.ops.dac.train_rays(
        model.parameters, gradients, *model.shape, **batch._asdict(),
        target=target, learn=learn, weights=weights, before=first_ray,
    )  # fmt: skip
    return result


def distill_rays(
    model: KernelModel,
    gradients: Tensor,
    batch: StepRays,
    lesson: Lesson,
    paper: bool,
    weights: DistillWeights,
    first_ray: int = 0,
) -> Tensor:
    """Add the gradients of a distillation step's terms, total variation left out.

    Args:
        gradients: (copies, length), added to.
        batch: its background is behind experts and student alike, its key and exponent are the
            student's proposals'.
        paper: colour unweighted, histogram against alpha, no accumulation term.

    Returns:
        (7,) the terms, weighted, in the order of `DistillWeights`.
    """
    result: Tensor = torch.ops.dac.distill_rays(
        model.parameters, gradients, *model.shape, **batch._asdict(),
        lesson=lesson, paper=paper, weights=weights, before=first_ray,
    )  # fmt: skip
    return result


def adam_step(
    parameters: Sequence[Tensor],
    exp_avg: Sequence[Tensor],
    exp_avg_sq: Sequence[Tensor],
    gradients: Tensor,
    tv: Sequence[float],
    active: Sequence[bool],
    rates: Tensor,
    betas: tuple[float, float],
    eps: float,
) -> tuple[Tensor, Tensor]:
    """One update of Adam, in place, total variation included; clears the gradients it took.

    A number whose gradient is not finite, or too large for its square, stays as it is, and so do
    its moments; the norm then is not finite.

    Args:
        exp_avg, exp_avg_sq: the parameters' moments.
        gradients: (copies, length), as the operations above left it.
        tv: each parameter's weight of total variation; read for planes only.
        active: which parameters are updated; the others, and their moments, stay as they are.
        rates: (parameters, 2): learning rate / (1 - beta1^n), 1 / sqrt(1 - beta2^n).

    Returns:
        (parameters,) total variation of each active plane before the update, not weighted, else 0;
        () the norm of the active parameters' whole gradient, total variation included.
    """
    variations, norm = torch.ops.dac.adam_tv(
        parameters, exp_avg, exp_avg_sq, gradients, tv, active, rates, (*betas, eps)
    )
    return variations, norm


def query_points(
    model: KernelModel, points: Tensor, directions: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """The field at given points of the world, without gradient.

    Args:
        points: (N, 3) float32.
        directions: (R, 3) unit, each for N / R points that follow one another; None asks for no
            colours.

    Returns:
        sigma (N,), and colours (N, 3) or None.
    """
    parameters, shape = model
    sigma, *colours = torch.ops.dac.query_points(
        parameters, shape.integers, shape.space, points, directions
    )
    return sigma, colours[0] if colours else None
