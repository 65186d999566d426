"""Training on images, as the baseline, the experts and fine-tuning share it.

Seeds: baseline and experts of a seed start from the same initialisation; what they draw (pixels,
backgrounds, jitter) depends on (seed, group), so that no two of them share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from dac.fields.model import Model
from dac.ops.rays import KernelModel, StepRays, TrainWeights, train_rays
from dac.scenes.scene import Scene
from dac.settings import TrainSettings
from dac.training.batches import RayBatches
from dac.training.keys import Stream, mix
from dac.training.losses import Terms, photometric_loss, regularisers
from dac.training.objective import Batch, Part, split
from dac.training.schedules import proposal_anneal, proposals_learn


class Pixels(NamedTuple):
    """Colours (R, 3) of pixels, over their batch's background."""

    target: Tensor


class ImageObjective:
    """Pixels' colours, and the regularisers.

    Args:
        views: indices of the views that are seen.
        seed: of batches and jitter.
        steps_done: steps that the proposals' cadence has behind it.
        anneal: whether the proposals' weights are annealed at first.
    """

    def __init__(
        self,
        model: Model,
        scene: Scene,
        views: Sequence[int],
        train: TrainSettings,
        seed: int,
        *,
        steps_done: int = 0,
        anneal: bool = True,
    ) -> None:
        self.model = model
        self.rays = train.rays
        self.weights = {
            **TrainWeights(1.0, train.distortion, train.interlevel)._asdict(),
            "plane_tv": train.plane_tv,
            "proposal_tv": train.proposal_tv,
        }
        self.kernel_terms: tuple[str, ...] = TrainWeights._fields
        self._train, self._seed = train, seed
        self._steps_done, self._anneal = steps_done, anneal
        (self._whole,) = split(train.rays, 1)
        self._batches = RayBatches(
            scene,
            views,
            rays=train.rays,
            seed=seed,
            background=train.background,
            device=model.device,
        )

    def draw(self, step: int, part: Part | None = None) -> Batch[Pixels]:
        """As of `Objective`."""
        part, train = part or self._whole, self._train
        pixels, here = self._batches(step), part.rays
        anneal = proposal_anneal(step, slope=train.anneal_slope, steps=train.anneal_steps)
        return Batch(
            part=part,
            rays=self.model.make_rays(pixels.origins[here], pixels.directions[here]),
            supervision=Pixels(pixels.rgb[here]),
            background=pixels.background,
            key=mix(self._seed, Stream.JITTER, step),
            anneal=anneal if self._anneal else 1.0,
            learn=proposals_learn(
                self._steps_done + step,
                every=train.proposal_update_every,
                ramp=train.proposal_update_ramp,
            ),
        )

    def terms(self, batch: Batch[Pixels]) -> Terms:
        """As of `Objective`."""
        rendering = self.model.render(
            batch.rays,
            key=batch.key,
            first_ray=batch.part.first,
            anneal=batch.anneal,
            proposal_grad=batch.learn,
        )
        return {
            "photometric": photometric_loss(rendering, batch.supervision.target, batch.background),
            **regularisers(
                self.model,
                self._train,
                rendering.s,
                rendering.weights,
                rendering.proposals,
                proposals_learn=batch.learn,
            ),
        }

    def add_gradients(
        self,
        model: KernelModel,
        gradients: Tensor,
        inputs: Mapping[str, Tensor],
        part: Part,
        learn: bool,
    ) -> Tensor:
        """As of `Objective`."""
        rays = StepRays(*(inputs[name] for name in StepRays._fields))
        share = part.share
        weights = TrainWeights(*(share * self.weights[name] for name in TrainWeights._fields))
        return train_rays(model, gradients, rays, inputs["target"], learn, weights, part.first)
