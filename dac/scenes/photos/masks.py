"""Which pixels may be used: masks that the user gives, and where the lens model fails.

Masks are (H, W) uint8, 255 where a pixel may be used, else 0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from dac.cameras import Cameras
from dac.errors import UserError
from dac.scenes.photos.images import Pixels, decode, read_header
from dac.storage.files import inside, is_file

FURTHEST_PIXELS = 0.5


def find_mask(folder: Path, name: str) -> Path:
    """The mask of an image: of the same name, with `.png` appended, or with `.png` instead.

    Raises:
        UserError: there is none.
    """
    for candidate in (name, name + ".png", str(Path(name).with_suffix(".png"))):
        file = inside(folder, candidate, folder)
        if is_file(file):
            return file
    raise UserError(folder, f"holds no mask for {name}", "add one, white where the image is used")


def read_mask(file: Path, turn: int, size: tuple[int, int], factor: int) -> Pixels:
    """Decode a mask.

    Args:
        file: the mask; from half white on, a pixel is used.
        turn: EXIF orientation that was applied to its image.
        size: width and height of its image after turning.
        factor: the image's downscale; a block is used if all its pixels are.

    Returns:
        (H // factor, W // factor) uint8, 0 or 255.

    Raises:
        UserError: missing or damaged, or another size than the image's.
    """
    stored = read_header(file).size
    if stored == size and (turn < 5 or size[0] != size[1]):
        mask = decode(file, 1, turn if turn < 5 else 1)
    elif turn >= 5 and stored == (size[1], size[0]):
        mask = decode(file, 1, turn)
    else:
        raise UserError(
            file,
            f"the mask has {stored[0]} x {stored[1]} pixels, its image {size[0]} x {size[1]}",
            "masks need their images' size",
        )
    height, width = size[1] // factor, size[0] // factor
    blocks = mask[: height * factor, : width * factor, 0].reshape(height, factor, width, factor)
    return np.where(blocks.min(axis=(1, 3)) >= 128, 255, 0).astype(np.uint8)


def lens_masks(cameras: Cameras) -> tuple[list[int], list[Pixels]]:
    """Pixels that some ray reaches, for each distinct lens.

    Where a distortion polynomial folds back inside the image, as one that was fitted to few points
    near the corners may, no ray leads to the pixels behind the fold.

    Returns:
        N indices into the list of (H, W) masks, one mask a distinct lens.
    """
    lens = torch.cat([cameras.intrinsics, cameras.distortion], dim=1).numpy()
    _, first, index = np.unique(lens, axis=0, return_index=True, return_inverse=True)
    masks = []
    for view in first:
        camera = cameras.select([int(view)])
        reached = _reached(camera, 1 + max(camera.width, camera.height) // 32)
        if reached.all():
            masks.append(np.full((camera.height, camera.width), 255, np.uint8))
        else:
            masks.append(np.where(_reached(camera, 1), 255, 0).astype(np.uint8))
    return index.reshape(-1).tolist(), masks


def _reached(camera: Cameras, step: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Whether its ray leads back to a pixel; every `step`-th row and column, and the last."""
    xs, ys = (
        torch.unique(torch.cat([torch.arange(0, side, step), torch.tensor([side - 1])])) + 0.5
        for side in (camera.width, camera.height)
    )
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    view = torch.zeros(x.numel(), dtype=torch.int64)
    _, rays_d = camera.rays(view, x.flatten(), y.flatten())
    pixels, _ = camera.project(0, rays_d.double() + camera.centres[0])
    miss = (pixels - torch.stack([x.flatten(), y.flatten()], dim=1)).norm(dim=1)
    found: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = (miss < FURTHEST_PIXELS).numpy()
    return found.reshape(len(ys), len(xs))
