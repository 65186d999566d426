"""EXIF orientation, handled once: which pixels do the cameras mean?

COLMAP, nerfstudio and instant-ngp read the pixels as they are stored, whatever the EXIF orientation
says; other tools turn images upright before they estimate cameras. The size that comes with the
intrinsics tells which; for this project's own structure from motion, which sees upright photos, it
is known. Where the cameras mean stored pixels and all images lie on the same side, pixels and
cameras are turned upright together, which changes no ray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dac.errors import UserError
from dac.scenes.photos.images import Header
from dac.scenes.views import Array, Views

# Rotations of the image plane, (a, b) -> (a', b'), by orientation; mirrored ones are no rotations.
_ROTATIONS = {
    3: np.array([[-1.0, 0.0], [0.0, -1.0]]),
    6: np.array([[0.0, -1.0], [1.0, 0.0]]),
    8: np.array([[0.0, 1.0], [-1.0, 0.0]]),
}


def match_pixels(views: Views, headers: Sequence[Header]) -> tuple[Views, tuple[int, ...]]:
    """Fit cameras to image files.

    Args:
        views: N views whose intrinsics refer to `views.sizes`.
        headers: of their N files.

    Returns:
        The views with intrinsics for the pixels after turning, and each image's turn.

    Raises:
        UserError: an image's shape is not its camera's.
    """
    turns, actual = [], []
    for i, header in enumerate(headers):
        stated = (int(views.sizes[i, 0]), int(views.sizes[i, 1]))
        fits = [
            (fit, turn, size)
            for turn, size in ((1, header.size), (header.orientation, header.upright))
            if (fit := _fit(stated, size)) < 2 and (turn == header.orientation or not views.upright)
        ]
        if not fits:
            raise UserError(
                views.files[i],
                f"the image has {_text(header.size)} pixels, its camera {_text(stated)}",
                "use the images that the cameras were made for",
            )
        _, turn, size = min(fits)
        turns.append(turn)
        actual.append(size)
    sizes = np.array(actual, np.int64)
    scale = sizes / views.sizes
    matched = replace(views, sizes=sizes, intrinsics=views.intrinsics * np.tile(scale, 2))
    if not (sizes == views.sizes).all():
        matched = matched.noting(
            f"Images have {_text(actual[0])} pixels, their cameras were made for "
            f"{_text((int(views.sizes[0, 0]), int(views.sizes[0, 1])))}: intrinsics are scaled."
        )
    common = {header.orientation for header in headers}
    stored = turns == [1] * len(turns)
    if stored and len(common) == 1 and common <= set(_ROTATIONS):
        orientation = common.pop()
        turns = [orientation] * len(turns)
        matched = turned(matched, orientation).noting(
            f"Images and cameras are turned upright together (EXIF orientation {orientation})."
        )
    return matched, tuple(turns)


def _fit(stated: tuple[int, int], actual: tuple[int, int]) -> int:
    """0: the same size; 1: the same shape, to a pixel of the smaller; 2: neither."""
    if stated == actual:
        return 0
    (w, h), (v, g) = stated, actual
    return 1 if abs(w * g - h * v) <= max(w, h, v, g) else 2


def turned(views: Views, orientation: int) -> Views:
    """The cameras of images that are rotated by EXIF orientation 3, 6 or 8."""
    rotation = _ROTATIONS[orientation]
    swap = orientation != 3
    sizes = views.sizes[:, ::-1] if swap else views.sizes
    focal, centre = views.intrinsics[:, :2], views.intrinsics[:, 2:]
    middle = (centre - views.sizes / 2) @ rotation.T + sizes / 2
    in_space = np.eye(3)
    in_space[:2, :2] = rotation
    poses = views.poses.copy()
    poses[:, :, :3] = views.poses[:, :, :3] @ in_space.T
    return replace(
        views,
        sizes=np.ascontiguousarray(sizes),
        intrinsics=np.column_stack([focal[:, ::-1] if swap else focal, middle]),
        distortion=_turned_distortion(views.distortion, rotation),
        poses=poses,
    )


def _turned_distortion(distortion: Array, rotation: Array) -> Array:
    # The tangential term is 2 (p . q) q + |q|^2 p with p = (p2, p1): p turns as the image does.
    result = distortion.copy()
    result[:, [3, 2]] = distortion[:, [3, 2]] @ rotation.T
    return result


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
