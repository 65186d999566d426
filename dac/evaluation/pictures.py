"""Renders and depth maps as PNG files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

OPAQUE = 0.5
Limits = tuple[float, float]
_LONGEST_NAME = 80
# From far (dark) to near (bright), growing in lightness throughout; read at equal distances.
_RAMP = np.array(
    [
        (24, 16, 52),
        (58, 32, 108),
        (112, 44, 132),
        (170, 58, 122),
        (218, 88, 92),
        (244, 138, 70),
        (252, 194, 96),
        (252, 248, 196),
    ],
    np.float64,
)


def to_uint8(image: Tensor) -> NDArray[np.uint8]:
    """An image in [0, 1], clamped and rounded to 8 bits."""
    rounded: NDArray[np.uint8] = image.clamp(0.0, 1.0).mul(255.0).round().byte().cpu().numpy()
    return rounded


def save_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write (H, W, 3) uint8 as PNG."""
    from PIL import Image

    Image.fromarray(image).save(path, format="PNG", optimize=True)


def picture_name(position: int, name: str) -> str:
    """File name of a view's pictures: its position among the scored views, then its own name."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", name.rsplit(".", 1)[0]).strip("_")[-_LONGEST_NAME:]
    return f"{position:03d}_{stem}.png"


def disparity_limits(views: Iterable[tuple[Tensor, Tensor]]) -> Limits:
    """The 2nd and 98th percentile of the disparity 1 / depth over the opaque pixels of some views.

    Args:
        views: depth and accumulation, (H, W) each.

    Returns:
        (0, 1) where nothing is opaque.
    """
    values = np.concatenate([_disparity(depth)[_opaque(seen)] for depth, seen in views])
    if len(values) == 0:
        return 0.0, 1.0
    low, high = np.percentile(values, (2, 98))
    return float(low), float(high)


def depth_picture(
    depth: Tensor, accumulation: Tensor, limits: Limits | None = None
) -> NDArray[np.uint8]:
    """A depth map in colours: bright is near, white is where the model is mostly transparent.

    Colours follow the disparity. Between the picture's own limits, pictures show shape and are not
    to be compared in absolute depth.

    Args:
        depth, accumulation: (H, W).
        limits: of the disparity; None takes the picture's own (see `disparity_limits`).

    Returns:
        (H, W, 3) uint8.
    """
    disparity, opaque = _disparity(depth), _opaque(accumulation)
    picture = np.full((*disparity.shape, 3), 255, np.uint8)
    if opaque.any():
        low, high = limits or disparity_limits([(depth, accumulation)])
        shade = np.clip((disparity[opaque] - low) / max(high - low, 1e-9), 0, 1)
        stops = np.linspace(0, 1, len(_RAMP))
        colours = [np.interp(shade, stops, _RAMP[:, channel]) for channel in range(3)]
        picture[opaque] = np.stack(colours, axis=-1).round().astype(np.uint8)
    return picture


def _disparity(depth: Tensor) -> NDArray[np.float64]:
    return np.asarray(1.0 / np.maximum(depth.double().cpu().numpy(), 1e-6))


def _opaque(accumulation: Tensor) -> NDArray[np.bool_]:
    return np.asarray(accumulation.cpu().numpy() > OPAQUE)
