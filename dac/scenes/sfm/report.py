"""What structure from motion has found, in numbers and sentences, and why it failed."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dac.errors import UserError
from dac.settings import SfmSettings

_LOG = logging.getLogger("dac.sfm")
_NAMES_SHOWN = 5


def some_names(names: Sequence[str]) -> str:
    """The first few names and how many more, e.g. `a.jpg, b.jpg and 7 more`."""
    shown = ", ".join(names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return shown if more <= 0 else f"{shown} and {more} more"


def check_registered(
    photos: Path, names: Sequence[str], model: Any, settings: SfmSettings, how: str
) -> None:
    """Refuse a model that holds too few of the photos.

    Args:
        photos: the photo folder, for the message.
        names: all photos.
        model: the largest `pycolmap.Reconstruction`, or None.
        settings: says how many are needed.
        how: `all`, `promising` or `sequential`, as matched.

    Raises:
        UserError: how many were registered, which not, and what to try.
    """
    registered = set() if model is None else registered_names(model)
    needed = max(2, math.ceil(settings.minimum_registered * len(names)))
    if len(registered) >= needed:
        return
    missing = [name for name in names if name not in registered]
    matching = "sequential (for a video's frames)" if how == "all" else "exhaustive"
    raise UserError(
        photos,
        f"structure from motion registered {len(registered)} of {len(names)} photos, fewer than "
        f"the {needed} that sfm.minimum_registered asks for; not registered: {some_names(missing)}",
        f"try sharper photos with more overlap, sfm.matching: {matching}, more sfm.max_features",
    )


def registered_names(model: Any) -> set[str]:
    """Names of a reconstruction's registered images."""
    return {model.images[i].name for i in model.reg_image_ids()}


def make_report(
    names: Sequence[str],
    models: Sequence[Any],
    seconds: Mapping[str, float],
    log: Sequence[str],
    version: str,
) -> dict[str, Any]:
    """The report that stands beside the model.

    Args:
        names: all photos.
        models: reconstructions, the largest, which was kept, first.
        seconds: per step.
        log: what was decided so far, one sentence each.
        version: of pycolmap.
    """
    best = models[0]
    registered = registered_names(best)
    unregistered = [name for name in names if name not in registered]
    sizes = [model.num_reg_images() for model in models]
    if len(sizes) == 1:
        kept = f"Structure from motion made one model, of {sizes[0]} of {len(names)} photos."
    else:
        listed = ", ".join(map(str, sizes))
        kept = f"Structure from motion made {len(sizes)} models, of {listed} photos: kept the"
        kept = f"{kept} largest, {sizes[0]} of {len(names)} photos."
    sentences = [*log, kept]
    if unregistered:
        sentences.append(f"Not registered: {some_names(unregistered)}.")
    for sentence in sentences[len(log) :]:
        _LOG.info(sentence)
    return {
        "images": len(names),
        "registered": len(registered),
        "unregistered": unregistered,
        "models": sizes,
        "points": best.num_points3D(),
        "mean_reprojection_error": best.compute_mean_reprojection_error(),
        "mean_track_length": best.compute_mean_track_length(),
        "seconds": {step: round(value, 2) for step, value in seconds.items()},
        "cameras": [
            {
                "model": camera.model_name,
                "width": camera.width,
                "height": camera.height,
                "params": [float(value) for value in camera.params],
                "params_info": camera.params_info,
            }
            for _, camera in sorted(best.cameras.items())
        ],
        "pycolmap": version,
        "log": sentences,
    }
