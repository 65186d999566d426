"""The models of a scene by what the page calls them, loaded when they are looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from dac.catalogue import TrainedModel
from dac.conquer.routed import AnyModel, load
from dac.fields.model import default_device

KEPT = 4


def labels(models: Sequence[TrainedModel]) -> dict[str, TrainedModel]:
    """Distinct names for people, in the models' order.

    Variant and seed stand before it where there are several, the path behind it where that isn't
    enough.
    """
    variants = len({model.model for model in models}) > 1
    seeds = len({model.seed for model in models}) > 1

    def label(model: TrainedModel) -> str:
        prefix = [model.model] * variants + [f"seed {model.seed}"] * seeds
        return f"{', '.join(prefix)}: {model.title}" if prefix else model.title

    often = Counter(map(label, models))
    return {
        label(model) if often[label(model)] == 1 else f"{label(model)} [{model.name}]": model
        for model in models
    }


@lru_cache(maxsize=KEPT)
def loaded(folder: Path) -> AnyModel:
    """A model on the device that renders; the last few are kept.

    Raises:
        UserError: as of `load`.
    """
    return load(folder, default_device())
