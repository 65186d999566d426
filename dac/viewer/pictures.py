"""What a rendering looks like on the page: colour, depth or opacity, a split, an error."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dac.evaluation.pictures import OPAQUE, depth_picture, disparity_limits, to_uint8
from dac.ops.rays import Rendered

Image = NDArray[np.uint8]
Show = Literal["RGB", "depth", "accumulation"]
SHOWS: tuple[Show, ...] = ("RGB", "depth", "accumulation")

ERROR_GAIN = 4


def picture(rendered: Rendered, show: Show) -> Image:
    """(H, W, 3) of a rendered view.

    Args:
        rendered: rgb (H, W, 3), depth (H, W), accumulation (H, W).
        show: `depth` is coloured over the whole picture's range, `accumulation` is white where a
            ray is stopped altogether.
    """
    if show == "depth":
        return depth_picture(rendered.depth, rendered.accumulation)
    if show == "accumulation":
        return to_uint8(rendered.accumulation[..., None].expand(*rendered.accumulation.shape, 3))
    return to_uint8(rendered.rgb)


def depth_range(rendered: Rendered) -> tuple[float, float] | None:
    """Depths between which `depth_picture` spreads its colours; None where nothing is opaque."""
    if not (rendered.accumulation > OPAQUE).any():
        return None
    low, high = disparity_limits([(rendered.depth, rendered.accumulation)])
    return 1 / high, 1 / low


def depth_ramp(width: int = 256, height: int = 12) -> Image:
    """(height, width, 3) the colours of depth from near to far, even in 1 / depth."""
    depth = 1 / torch.linspace(2, 1, width).expand(height, width)
    return depth_picture(depth, torch.ones(height, width))


def draw_split(image: Image, column: int) -> None:
    """Draw the line between two models into a picture, in place."""
    image[:, column : column + max(1, image.shape[1] // 500)] = (255, 196, 0)


def error_picture(render: Tensor, truth: Tensor) -> Image:
    """(H, W, 3): |render - truth|, `ERROR_GAIN` times as bright."""
    return to_uint8((render.clamp(0, 1) - truth).abs() * ERROR_GAIN)
