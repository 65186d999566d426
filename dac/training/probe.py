"""The PSNR that a run's curve shows: of a fixed sample of test pixels."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from dac.fields.model import Model
from dac.fields.protocol import over
from dac.scenes.scene import Scene
from dac.training.batches import RayBatch, RayBatches
from dac.training.keys import Stream, mix

_CHUNK = 4096


def make_probe(model: Model, scene: Scene, *, count: int) -> Callable[[], float | None]:
    """PSNR in dB of the model's rendering of a fixed sample of test pixels; None without any.

    Args:
        count: pixels.
    """
    batch = probe_batch(scene, count=count, device=model.device)

    @torch.no_grad()
    def probe() -> float | None:
        if batch is None:
            return None
        rays = model.make_rays(batch.origins, batch.directions)
        squared = torch.zeros((), device=batch.rgb.device)
        for first in range(0, len(rays), _CHUNK):
            part = slice(first, first + _CHUNK)
            rgb = over(model.picture(rays[part]), batch.background).clamp(0.0, 1.0)
            squared += (rgb - batch.rgb[part]).square().sum()
        error = float(squared) / batch.rgb.numel()
        return -10.0 * math.log10(max(error, 1e-10))

    return probe


def probe_batch(scene: Scene, *, count: int, device: torch.device) -> RayBatch | None:
    """A fixed sample of test pixels, over the scene's background.

    The same for every run on a scene, so that curves compare. None where there is no test view.

    Args:
        count: pixels wanted; all of them where there are fewer.
    """
    if not scene.test:
        return None
    height, width = scene.images.shape[1:3]
    batches = RayBatches(
        scene,
        scene.test,
        rays=min(count, len(scene.test) * height * width),
        seed=mix(Stream.PROBE),
        background=scene.background,
        device=device,
    )
    return batches(0)
