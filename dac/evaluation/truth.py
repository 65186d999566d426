"""What a render is scored against: a scene's views as float images, and their mean.

Notation: H x W pixels; colours in [0, 1]. RGBA images are straight (not premultiplied) and stand
over the scene's background.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dac.errors import UserError
from dac.evaluation.metrics import BORDER
from dac.scenes.scene import Scene

BACKGROUNDS = {"white": 1.0, "black": 0.0}


def background_colour(scene: Scene) -> Tensor:
    """(3,) the colour behind the scene's views."""
    return torch.full((3,), BACKGROUNDS[scene.background])


def truth_image(scene: Scene, view: int) -> Tensor:
    """(H, W, 3) float32: a view's image over the scene's background."""
    return torch.from_numpy(_composited(scene, view))


def usable_pixels(scene: Scene, view: int) -> Tensor | None:
    """(H, W) bool: the pixels that a view's mask leaves, or None where the scene has no masks.

    Raises:
        UserError: the mask leaves nothing to score.
    """
    kept = scene.usable(view)
    if kept is None:
        return None
    usable = torch.from_numpy(kept)
    if not bool(usable[BORDER:-BORDER, BORDER:-BORDER].any()):
        raise UserError(
            f"scene {scene.name}: {scene.names[view]}",
            "its mask leaves no pixel to score",
            "mend the mask or leave the view out (scene.exclude)",
        )
    return usable


def mean_image(scene: Scene) -> Tensor:
    """(H, W, 3) float32: the mean of the training views, pixel by pixel.

    Masked-out pixels don't count; a pixel that no training view may use gets the mean colour of all
    the others. It is the picture that knows the training images' colours and nothing of the scene's
    shape: a method that doesn't clearly beat it has learnt nothing.
    """
    height, width = scene.images.shape[1:3]
    total = np.zeros((height, width, 3))
    count = np.zeros((height, width, 1))
    for view in scene.train:
        usable = scene.usable(view)
        kept = 1.0 if usable is None else usable[..., None]
        total += _composited(scene, view) * kept
        count += kept
    overall = total.sum(axis=(0, 1)) / max(count.sum(), 1.0)
    mean = np.where(count > 0, total / np.maximum(count, 1.0), overall)
    return torch.from_numpy(mean.astype(np.float32))


def _composited(scene: Scene, view: int) -> NDArray[np.float32]:
    image = np.asarray(scene.images[view], np.float32) / np.float32(255.0)
    return over_background(image, scene.background)


def over_background(image: NDArray[np.float32], background: str) -> NDArray[np.float32]:
    """(..., 3) colours of RGB or straight RGBA pixels in [0, 1] over a colour of `BACKGROUNDS`."""
    if image.shape[-1] == 3:
        return image
    colour, alpha = image[..., :3], image[..., 3:]
    behind = np.float32(BACKGROUNDS[background])
    composited: NDArray[np.float32] = colour * alpha + behind * (np.float32(1.0) - alpha)
    return composited
