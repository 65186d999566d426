"""How much of a group's pictures is the generalist's.

Notation: of a group's pixels, e and g are the mean squared errors of its specialist and of the
generalist, d is that of one from the other. Pictures with a share t of the generalist err by

    (1 - t) e + t g - t (1 - t) d,

whatever the errors' correlation, and by least at t = 1/2 + (e - g) / (2 d).

On views that it has not learnt from, a specialist of n views errs more, by about 1 + 4 / n, beyond
what the generalist does. Measured: 1.10 (45 views, the mean of four groups of an object), 1.14 (31
views) and 1.09 (28 views of a place), 2.8 (four views).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from dac.fields.model import Model
from dac.fields.protocol import over
from dac.scenes.scene import Scene
from dac.training.batches import RayBatches
from dac.training.keys import Stream, mix

Floats = NDArray[np.float64]

_RAYS, _BATCHES = 2048, 8  # pixels that are looked at in each group
_UNSEEN = 4.0
# A smaller share gains less than 0.1 dB, and takes the time of a second model in every picture.
_LEAST = 0.25


def generalist_shares(
    scene: Scene,
    groups: Sequence[Sequence[str]],
    specialists: Sequence[Model],
    generalist: Model,
    seed: int,
) -> Floats:
    """(K,) the generalist's share in each group's pictures, from 0 to 1.

    Args:
        scene: with the training views.
        groups: K, the names of the views that each specialist learnt from.
        specialists: K.
        seed: of the pixels that are looked at.
    """
    found = []
    for group, (names, specialist) in enumerate(zip(groups, specialists, strict=True)):
        views = scene.indices(list(names))
        key = mix(seed, Stream.GROUP, group, Stream.PROBE)
        error, general, apart = _errors(scene, views, specialist, generalist, key)
        found.append(best_share((1 + _UNSEEN / len(views)) * error, general, apart))
    shares = np.array(found)
    return np.where(shares < _LEAST, 0.0, shares)


def best_share(error: float, general: float, apart: float) -> float:
    """The t in [0, 1] of least error; 0 where both render the same.

    Args:
        error, general, apart: e, g and d.
    """
    if apart == 0:
        return 0.0
    return min(1.0, max(0.0, 0.5 + (error - general) / (2 * apart)))


def _errors(
    scene: Scene, views: Sequence[int], specialist: Model, generalist: Model, seed: int
) -> tuple[float, float, float]:
    """e, g and d on some of the views' pixels."""
    batches = RayBatches(
        scene,
        views,
        rays=_RAYS,
        seed=seed,
        background=scene.background,
        device=specialist.device,
    )
    sums = torch.zeros(3, dtype=torch.float64)
    for number in range(_BATCHES):
        batch = batches(number)
        rays = specialist.make_rays(batch.origins, batch.directions)
        ours, its = (
            over(model.picture(rays), batch.background).clamp(0, 1)
            for model in (specialist, generalist)
        )
        for i, difference in enumerate((ours - batch.rgb, its - batch.rgb, ours - its)):
            sums[i] += difference.double().square().mean().cpu()
    error, general, apart = (sums / _BATCHES).tolist()
    return error, general, apart
