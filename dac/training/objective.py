"""What a training step minimises, on images and on experts alike.

A step goes one way: the loop calls an update (`training.update`), which has the objective draw a
batch and then minimises its terms: by autograd or, where the whole-ray kernels run the model, by
gradients that these add. Nothing here, or below, knows of the update or the loop.

Where memory does not hold a batch whole, it is taken in parts, one after another. Every term is a
mean over the batch's rays or does not depend on them. So the gradients of the parts' terms, each
weighted by its part's share of the rays, add up to the whole batch's; and as rays keep their number
in the batch, by which their samples are jittered, the sum differs from it by rounding alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from dac.fields.model import Model
from dac.fields.protocol import Rays
from dac.ops.rays import KernelModel
from dac.training.losses import Terms


class Part(NamedTuple):
    """The rays [first, end) of a batch of `of` rays."""

    first: int
    end: int
    of: int

    @property
    def rays(self) -> slice:
        """Which ones they are."""
        return slice(self.first, self.end)

    @property
    def share(self) -> float:
        """Of the batch's rays."""
        return (self.end - self.first) / self.of


def split(rays: int, count: int) -> tuple[Part, ...]:
    """A batch in so many parts, or as many as it has rays."""
    count = min(count, rays)
    cuts = [rays * i // count for i in range(count + 1)]
    return tuple(Part(*ends, rays) for ends in pairwise(cuts))


class Tensors(Protocol):
    """A named tuple of tensors."""

    def _asdict(self) -> dict[str, Any]: ...


Supervision = TypeVar("Supervision", bound=Tensors)


@dataclass(frozen=True)
class Batch(Generic[Supervision]):
    """A step's rays, all or a part of them, and all else that the step reads.

    Attributes:
        part: which of the step's rays these are.
        rays: R of them.
        supervision: what they should show, as their objective has it.
        background: (3,) the colour behind them.
        key: jitters their samples (see `ops.jitter`).
        anneal: exponent of the proposals' weights before they are resampled.
        learn: whether the proposals learn in this step.
    """

    part: Part
    rays: Rays
    supervision: Supervision
    background: Tensor
    key: int
    anneal: float
    learn: bool

    def tensors(self) -> dict[str, Tensor]:
        """What the kernels read of it: its supervision, and the fields of `ops.rays.StepRays`."""
        packed = self.rays.packed()
        return {
            **self.supervision._asdict(),
            "rays": packed,
            "background": self.background,
            "key": torch.tensor([self.key], device=packed.device),
            "anneal": torch.tensor([self.anneal], device=packed.device),
        }


class Objective(Protocol[Supervision]):
    """What a step draws, and what it minimises.

    Attributes:
        model: the one that is trained.
        rays: of a whole batch.
        weights: of all terms by name, `plane_tv` and `proposal_tv` among them. A term of weight 0
            is left out.
        kernel_terms: those that `add_gradients` gives, in its order. Where another one has a
            weight, but for total variation, steps go by autograd.
    """

    model: Model
    rays: int
    weights: dict[str, float]
    kernel_terms: tuple[str, ...]

    def draw(self, step: int, part: Part | None = None) -> Batch[Supervision]:
        """A part of a step's batch, a function of the two alone; None is all of it."""

    def terms(self, batch: Batch[Supervision]) -> Terms:
        """The terms whose sum is minimised, weighted, as means over the batch's rays."""

    def add_gradients(
        self,
        model: KernelModel,
        gradients: Tensor,
        inputs: Mapping[str, Tensor],
        part: Part,
        learn: bool,
    ) -> Tensor:
        """By the kernels, the gradients of `terms` but for total variation's.

        They read nothing else that changes from step to step, so a CUDA graph may replay them.

        Args:
            model: as the kernels take it.
            gradients: (copies, length), added to; see `ops.rays`.
            inputs: a batch's `tensors`, with its `part` and `learn`.

        Returns:
            (terms,) those of `kernel_terms`, weighted also by the part's share of the rays.
        """
