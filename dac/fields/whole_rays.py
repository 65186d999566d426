"""A model's rays through the whole-ray kernels, where these serve it.

They serve the hybrid decoder in float32 on the native backend; other models go operation by
operation in plain torch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dac.fields import space
from dac.fields.protocol import Rays
from dac.ops import rays as kernels
from dac.ops.backend import backend, library
from dac.ops.rays import ModelShape, Rendered, Sampled
from dac.scenes.scene import Space
from dac.settings import ModelSettings

_MOST_SCALES = _MOST_COLOUR_LAYERS = 8  # of csrc/common/model.h


def whole_rays(model: nn.Module, settings: ModelSettings) -> bool:
    """Whether the whole-ray kernels run this model, as it is and where it lies.

    Raises:
        UserError: the native backend is asked for and can't be had.
    """
    first = next(model.parameters())
    if settings.decoder != "hybrid" or first.dtype != torch.float32:
        return False
    if len(settings.scales) > _MOST_SCALES or settings.colour_layers > _MOST_COLOUR_LAYERS:
        return False
    if backend(first.device.type) == "reference":
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


def sample(
    model: nn.Module, shape: ModelShape, rays: Rays, key: int | None, before: int
) -> tuple[Rendered, Sampled]:
    """Render rays (R), and the field's samples."""
    return kernels.sample_rays(*_arguments(model, shape, rays, key), before)


def picture(model: nn.Module, shape: ModelShape, rays: Rays) -> Rendered:
    """Render rays (R), not jittered."""
    return kernels.render_rays(*_arguments(model, shape, rays, None))


def query(
    model: nn.Module, shape: ModelShape, points: Tensor, directions: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """The field at points (N, 3) of the world, seen along directions (R, 3) or without colours."""
    return kernels.query_points(_parameters(model), shape, points, directions)


def _parameters(model: nn.Module) -> list[Tensor]:
    return [parameter.detach() for parameter in model.parameters()]


def _arguments(
    model: nn.Module, shape: ModelShape, rays: Rays, key: int | None
) -> tuple[list[Tensor], ModelShape, Tensor, Tensor | None, Tensor]:
    packed = rays.packed()
    jitter = None if key is None else torch.tensor([key], device=packed.device)
    return _parameters(model), shape, packed, jitter, packed.new_ones(1)
