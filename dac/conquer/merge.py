"""Merging: the specialists' mean as one set of weights, then fine-tuned on all views.

Specialists that grew from one trunk lie near each other, so that their plain mean renders; experts
that began anew do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from dac.errors import UserError
from dac.fields.model import Model, default_device, load_model
from dac.scenes.scene import Scene
from dac.settings import FinetuneSettings, TrainSettings
from dac.training.finetune import finetune_rate
from dac.training.images import ImageObjective
from dac.training.keys import Stream, mix
from dac.training.phase import Phase, scene_inputs, train_phase


def merge(
    scene: Path,
    experts: Sequence[Path],
    train: TrainSettings,
    settings: FinetuneSettings,
    *,
    seed: int,
    out: Path,
    state: Path,
) -> None:
    """Train the specialists' mean on all training views, with a new optimiser.

    Args:
        scene: a scene's folder.
        experts: the specialists' folders.
        train: losses, rays and background; its learning rate and steps are not read.
        settings: steps, learning rate and warm-up; its start is fresh.

    Raises:
        UserError: no expert, or experts of several models; and as in `train_phase`.
    """
    views = Scene.load(scene)
    model = mean_of([load_model(folder, default_device()) for folder in experts])
    inputs = scene_inputs(scene)
    for group, folder in enumerate(experts):
        inputs[f"expert{group}/model.safetensors"] = folder / "model.safetensors"
    # Their proposals are trained: they are not annealed again.
    objective = ImageObjective(
        model, views, views.train, train, mix(seed, Stream.FINETUNE), anneal=False
    )
    train_phase(
        Phase(
            stage="merge",
            module=__name__,
            seed=seed,
            settings={"train": train, "finetune": settings},
            inputs=inputs,
            out=out,
            state=state,
        ),
        views,
        objective,
        train,
        label=f"{views.name} merged",
        steps=settings.steps,
        rate=finetune_rate(settings, None),
    )


@torch.no_grad()
def mean_of(experts: Sequence[Model]) -> Model:
    """One model whose every weight is the experts' mean; the first expert is overwritten.

    Raises:
        UserError: there is none, or they are of several models.
    """
    if not experts or any(expert.settings != experts[0].settings for expert in experts):
        raise UserError("merge", "needs experts of one model", "train all with the same settings")
    merged = experts[0]
    every = [list(expert.parameters()) for expert in experts]
    for i, parameter in enumerate(merged.parameters()):
        parameter.copy_(torch.stack([parameters[i] for parameters in every]).mean(dim=0))
    return merged
