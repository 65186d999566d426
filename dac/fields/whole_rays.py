"""Which models the whole-ray kernels serve, and how these know one.

They serve the hybrid decoder in float32 on the native backend; other models go operation by
operation in plain torch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dac.fields import space
from dac.ops.backend import backend, library
from dac.ops.rays import ModelShape
from dac.scenes.scene import Space
from dac.settings import ModelSettings

_MOST_SCALES = _MOST_COLOUR_LAYERS = 8  # of csrc/common/model.h


def served(settings: ModelSettings, parameter: Tensor) -> bool:
    """Whether the kernels run a model, in the number format and on the device of its parameter.

    Raises:
        UserError: the native backend is asked for and can't be had.
    """
    if settings.decoder != "hybrid" or parameter.dtype != torch.float32:
        return False
    if len(settings.scales) > _MOST_SCALES or settings.colour_layers > _MOST_COLOUR_LAYERS:
        return False
    if backend(parameter.device.type) == "reference":
        return False
    library()
    return True


def model_shape(settings: ModelSettings, where: Space) -> ModelShape:
    """The kernels' description of a hybrid model."""
    _, centre, half = space.box(where, torch.float32, torch.device("cpu"))
    return ModelShape(
        integers=(
            int(where.kind == "contraction"),
            *settings.proposal_samples,
            settings.samples,
            settings.hidden,
            settings.geometry_features,
            settings.colour_layers,
            settings.proposal_channels,
            *settings.proposal_resolutions,
            settings.channels,
            *(settings.resolution * scale for scale in settings.scales),
        ),
        space=(*centre.tolist(), *half.tolist()),
    )
