"""Lessons: rays, each with the expert that teaches it (Eq. 4), and what the experts say of them.

Notation: K experts, R rays a batch, S samples of the expert.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dac.conquer.novel_rays import NovelRays
from dac.divide.partition import Partition
from dac.divide.routing import owners_of_views
from dac.fields.model import Model
from dac.fields.protocol import Rays
from dac.ops.rays import Lesson
from dac.scenes.scene import Scene
from dac.settings import DistillSettings, TrainSettings
from dac.training.batches import RayBatches
from dac.training.keys import Stream, mix


class TaughtBatch(NamedTuple):
    """Rays ordered by expert.

    Attributes:
        origins, directions: (R, 3), unit directions.
        background: (3,) the colour behind them.
        counts: how many of them each expert teaches.
    """

    origins: Tensor
    directions: Tensor
    background: Tensor
    counts: list[int]


class TaughtRays:
    """Rays ordered by expert: those of training pixels, and a share of novel ones."""

    def __init__(
        self,
        scene: Scene,
        partition: Partition,
        train: TrainSettings,
        settings: DistillSettings,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self._experts = partition.count
        self._owners = owners_of_views(scene, partition)
        self._device = device
        novel = round(settings.novel_share * settings.rays)
        taught = [view for view in scene.train if scene.names[view] in partition.owner]
        self._seen = RayBatches(
            scene,
            taught,
            rays=settings.rays - novel,
            seed=mix(seed, Stream.STUDENT),
            background=train.background,
            device=device,
        )
        self._novel = NovelRays(scene, partition, rays=novel, seed=seed) if novel else None

    def __call__(self, step: int) -> TaughtBatch:
        """The batch of a step."""
        view, pixel = self._seen.pixels(step)
        parts = [(*self._seen.cast(view, pixel), self._owners[view])]
        if self._novel is not None:
            parts.append(self._novel(step))
        origins, directions, owner = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.argsort(owner, kind="stable")
        whole = np.concatenate(
            [origins[order], directions[order], self._seen.background(step)[None]]
        )
        moved = torch.from_numpy(whole).to(self._device)
        rays_o, rays_d = moved[:-1].view(2, len(owner), 3).unbind(0)
        counts = np.bincount(owner, minlength=self._experts).tolist()
        return TaughtBatch(rays_o, rays_d, moved[-1], counts)


@torch.no_grad()
def ask_experts(
    teachers: Sequence[Model],
    rays: Rays,
    counts: Sequence[int],
    keys: Sequence[int],
    first_ray: int = 0,
) -> Lesson:
    """Render rays by their experts, with jittered samples.

    Args:
        rays: of a batch ordered by expert, all or some side by side.
        counts: rays of each expert in the batch; at most K calls are made.
        keys: of each expert's jitter.
        first_ray: the number of the first of these in the batch.
    """
    said = []
    first = -first_ray  # where an expert's rays begin, among these
    for teacher, count, key in zip(teachers, counts, keys, strict=True):
        here = slice(max(first, 0), min(first + count, len(rays)))
        if here.start < here.stop:
            seen, samples = teacher.sample(rays[here], key=key, first_ray=here.start - first)
            said.append(Lesson(*samples, seen.rgb, seen.accumulation))
        first += count
    return Lesson(*(torch.cat(parts) for parts in zip(*said, strict=True)))
