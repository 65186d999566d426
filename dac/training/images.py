"""Training on images, as the baseline, the experts and fine-tuning share it.

Every phase reads folders and writes one: `model.safetensors`, `model.json`,
`optimizer.safetensors`, `curve.json`, whole or not at all. What a killed run needs to go on lies in
its `state` folder, which is removed at the end.

Seeds: baseline and experts of a seed start from the same initialisation; what they draw (pixels,
backgrounds, jitter) depends on (seed, group), so that no two of them share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from dac.fields.model import Model
from dac.ops.rays import TrainWeights, train_rays
from dac.scenes.scene import Scene
from dac.settings import TrainSettings
from dac.training.batches import RayBatches
from dac.training.checkpoints import make_optimizer
from dac.training.curve import Progress
from dac.training.keys import Use, mix
from dac.training.loop import Plan, Step, autograd_step
from dac.training.losses import Terms, photometric_loss, regularisers
from dac.training.native import KernelAdam, KernelPhase, kernel_step
from dac.training.parts import Part, split
from dac.training.run import Run, make_probe
from dac.training.schedules import learning_rate, proposal_anneal, proposals_learn


def fit(
    run: Run,
    model: Model,
    optimizer: torch.optim.Adam,
    scene: Scene,
    views: Sequence[int],
    train: TrainSettings,
    steps: int,
    *,
    group: int,
    start: Progress | None = None,
) -> None:
    """Train on the views' images and write the run's folder; group -1 is the baseline."""
    who = "baseline" if group < 0 else f"expert {group}"
    plan = Plan(
        label=f"{scene.name} {who}",
        steps=steps,
        rate=learning_rate(
            train.learning_rate,
            warmup=train.warmup_steps,
            horizon=steps,
            schedule=train.schedule,
        ),
        curve_points=train.curve_points,
        checkpoint_seconds=train.checkpoint_seconds,
    )
    steps_on_images = ImageSteps(model, scene, views, train, mix(run.seed, Use.GROUP, group + 1))
    device = next(model.parameters()).device
    probe = make_probe(model, scene, count=train.curve_rays, device=device)
    run.execute(model, optimizer, steps_on_images, probe, plan, start)


class ImageSteps:
    """What a step on images draws, and what it minimises: colours, and the regularisers.

    Args:
        views: indices of the views that are seen.
        seed: of batches and jitter.
        before: steps that the proposals' cadence has behind it.
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
        before: int = 0,
        anneal: bool = True,
    ) -> None:
        self._model = model
        self._train = train
        self._seed = seed
        self._before = before
        self._anneal = anneal
        self._weights = TrainWeights(1.0, train.distortion, train.interlevel)
        (self._whole,) = split(train.rays, 1)
        device = next(model.parameters()).device
        self._batches = RayBatches(
            scene, views, rays=train.rays, seed=seed, background=train.background, device=device
        )

    def losses(self, step: int, part: Part | None = None) -> Terms:
        """The terms of a step, as means over a part of its batch; None is all of it."""
        part = part or self._whole
        batch = self._batches(step)
        learn = self._proposals_learn(step)
        rendering = self._model.render(
            self._model.make_rays(batch.origins[part.rays], batch.directions[part.rays]),
            key=self._key(step),
            before=part.first,
            anneal=self._exponent(step),
            proposal_grad=learn,
        )
        return {
            "photometric": photometric_loss(rendering, batch.rgb[part.rays], batch.background),
            **regularisers(
                self._model,
                self._train,
                rendering.s,
                rendering.weights,
                rendering.proposals,
                proposals_learn=learn,
            ),
        }

    def updates(self, optimizer: torch.optim.Adam, parts: int) -> Step:
        """As `loop.Phase`; by the whole-ray kernels where they run it, else by autograd."""
        batch = split(self._train.rays, parts)
        if not self._model.whole_rays:
            return autograd_step(optimizer, self.losses, batch)
        adam = KernelAdam(self._model, optimizer, self._train)
        gradients = partial(self._gradients, adam)
        phase = KernelPhase(self._weights._asdict(), self._proposals_learn, self.inputs, gradients)
        return kernel_step(adam, phase, batch)

    def inputs(self, step: int, part: Part | None = None) -> dict[str, Tensor]:
        """What a step reads of a part of its batch; None is all of it."""
        part = part or self._whole
        batch = self._batches(step)
        rays = self._model.make_rays(batch.origins[part.rays], batch.directions[part.rays])
        packed = rays.packed()
        return {
            "rays": packed,
            "target": batch.rgb[part.rays],
            "background": batch.background,
            "key": torch.tensor([self._key(step)], device=packed.device),
            "anneal": torch.tensor([self._exponent(step)], device=packed.device),
        }

    def _gradients(
        self, adam: KernelAdam, inputs: Mapping[str, Tensor], part: Part, learn: bool
    ) -> Tensor:
        """The gradients of `losses` but for total variation's, by the kernels; and its terms."""
        return train_rays(
            adam.parameters,
            adam.gradients,
            self._model.shape,
            inputs["rays"],
            inputs["target"],
            inputs["background"],
            inputs["key"],
            inputs["anneal"],
            learn,
            TrainWeights(*(part.share * weight for weight in self._weights)),
            part.first,
        )

    def _key(self, step: int) -> int:
        return mix(self._seed, Use.JITTER, step)

    def _proposals_learn(self, step: int) -> bool:
        train = self._train
        return proposals_learn(
            self._before + step, every=train.proposal_update_every, ramp=train.proposal_update_ramp
        )

    def _exponent(self, step: int) -> float:
        if not self._anneal:
            return 1.0
        return proposal_anneal(step, slope=self._train.anneal_slope, steps=self._train.anneal_steps)


def image_optimizer(model: Model, train: TrainSettings, learning_rate: float) -> torch.optim.Adam:
    """A new Adam over the model's parameters."""
    return make_optimizer(model, learning_rate=learning_rate, eps=train.adam_eps)
