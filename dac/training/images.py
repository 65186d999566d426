"""Training on images, as the baseline, the experts and fine-tuning share it.

Every phase reads folders and writes one: `model.safetensors`, `model.json`,
`optimizer.safetensors`, `curve.json`, whole or not at all. What a killed run needs to go on lies in
its `state` folder, which is removed at the end.

Seeds: baseline and experts of a seed start from the same initialisation; what they draw (pixels,
backgrounds, jitter) depends on (seed, group), so that no two of them share it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from dac.fields.model import Model
from dac.scenes.scene import Scene
from dac.settings import TrainSettings
from dac.training.batches import RayBatches
from dac.training.checkpoints import make_optimizer
from dac.training.curve import Progress
from dac.training.keys import Use, mix
from dac.training.loop import Plan, autograd_step
from dac.training.losses import Terms, photometric_loss, regularisers
from dac.training.run import Run, make_probe
from dac.training.schedules import learning_rate_factor, proposal_anneal, proposals_learn


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
        rate=lambda step: (
            train.learning_rate
            * learning_rate_factor(
                step, warmup=train.warmup_steps, horizon=steps, schedule=train.schedule
            )
        ),
        curve_points=train.curve_points,
        checkpoint_seconds=train.checkpoint_seconds,
    )
    losses = image_losses(model, scene, views, train, mix(run.seed, Use.GROUP, group + 1))
    device = next(model.parameters()).device
    probe = make_probe(model, scene, count=train.curve_rays, device=device)
    make_step = partial(autograd_step, optimizer, losses)
    run.execute(model, optimizer, make_step, probe, plan, start)


def image_losses(
    model: Model,
    scene: Scene,
    views: Sequence[int],
    train: TrainSettings,
    seed: int,
    *,
    before: int = 0,
    anneal: bool = True,
) -> Callable[[int], Terms]:
    """The terms of a step: colours against the images, and the regularisers.

    Args:
        seed: of batches and jitter.
        before: steps that the proposals' cadence has behind it.
        anneal: whether the proposals' weights are annealed at first.
    """
    device = next(model.parameters()).device
    batches = RayBatches(
        scene, views, rays=train.rays, seed=seed, background=train.background, device=device
    )

    def terms(step: int) -> Terms:
        batch = batches(step)
        learn = proposals_learn(
            before + step, every=train.proposal_update_every, ramp=train.proposal_update_ramp
        )
        exponent = (
            proposal_anneal(step, slope=train.anneal_slope, steps=train.anneal_steps)
            if anneal
            else 1.0
        )
        rendering = model.render(
            model.make_rays(batch.origins, batch.directions),
            key=mix(seed, Use.JITTER, step),
            anneal=exponent,
            proposal_grad=learn,
        )
        return {
            "photometric": photometric_loss(rendering, batch.rgb, batch.background),
            **regularisers(
                model,
                train,
                rendering.s,
                rendering.weights,
                rendering.proposals,
                proposals_learn=learn,
            ),
        }

    return terms


def image_optimizer(model: Model, train: TrainSettings, learning_rate: float) -> torch.optim.Adam:
    """A new Adam over the model's parameters."""
    return make_optimizer(model, learning_rate=learning_rate, eps=train.adam_eps)
