"""Models of the toy scene whose densities and colours vary, and some of its rays."""

from __future__ import annotations

import torch
import toy

from dac.fields.model import Model, build_model
from dac.fields.protocol import Rays
from dac.settings import Mode
from dac.training.batches import RayBatches

MODEL = toy.model_settings()
CPU = torch.device("cpu")
MODES: list[Mode] = ["paper", "corrected"]


def some_rays(model: Model, count: int = 64) -> Rays:
    scene = toy.scene()
    batch = RayBatches(scene, scene.train, rays=count, seed=0, background="white", device=CPU)(0)
    return model.make_rays(batch.origins, batch.directions)


def lively(seed: int) -> Model:
    """A model whose densities vary enough for alpha to be neither 0 nor 1."""
    model = build_model(MODEL, toy.scene(size=2).space, seed)
    with torch.no_grad():
        for plane in model.field.planes:
            plane.mul_(4).sub_(1)
    return model


def opaque(seed: int) -> Model:
    """A model with surfaces: weights gather in few bins."""
    model = lively(seed)
    with torch.no_grad():
        model.field.density[-1][0].mul_(8)
    return model
