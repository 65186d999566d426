"""Which frames of a video to take: far enough apart in motion, and sharp.

All is told from small grey copies of the frames. Notation: F frames; grey is (H, W) float, 0 to
255; distances are in units of the picture's longer side, whatever its resolution.

Sharpness is the root mean square of second differences along an axis, over the standard deviation
of the picture: the variance of the Laplacian, without what brightness and contrast add to it. Of
the two axes the worse one counts, since motion blurs along one. It compares frames that show much
the same.

Motion is the mean length of the affine displacement field that carries one picture onto another:
the shift by phase correlation, the rest by Gauss-Newton from coarse to fine (Bergen et al. 1992).
So a step forwards or a turn about the optical axis count, in which the picture's centre stays where
it is. It is measured from a *reference* frame; a new one is taken when the picture has moved on, so
that trembling adds up to nothing.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, rfft2
from scipy.ndimage import map_coordinates

Floats = NDArray[np.float64]

LONGER_SIDE = 640  # pixels of the copies that sharpness is told from
_MOTION_SIDE = 128  # pixels of the copies that motion is told from
_COARSEST = 12  # pixels, shorter side
_STEPS = 3  # of Gauss-Newton at each scale
_LEAST_SPREAD = 4.0  # grey levels: below, a picture shows noise
_LEAST_OVERLAP = 0.25  # of the picture
_NEW_REFERENCE = 0.05  # of the longer side
_ALIKE = 0.95  # of the best sharpness: no difference that can be seen
_NEIGHBOURS = 5  # on either side


def sharpness(grey: Floats) -> float:
    """How much of the picture's contrast is in its finest detail.

    Args:
        grey: (H, W), 3 or more each.

    Returns:
        0 (no detail) or more, without unit.
    """
    rough = min(float((np.diff(grey, 2, axis=axis) ** 2).mean()) for axis in (0, 1))
    return float(np.sqrt(rough)) / max(float(grey.std()), _LEAST_SPREAD)


class Travel:
    """How far the picture has moved since the first frame."""

    def __init__(self) -> None:
        self._reference: list[Floats] = []
        self._motion_at_reference = 0.0

    def add(self, grey: Floats) -> float:
        """Motion up to this frame, which follows the last one; it may shrink by a little.

        Args:
            grey: (H, W), always of one size.
        """
        scales = _pyramid(grey)
        self._reference = self._reference or scales
        moved = min(_mean_length(self._reference, scales), 1.0)
        motion = self._motion_at_reference + moved
        if moved > _NEW_REFERENCE:
            self._reference, self._motion_at_reference = scales, motion
        return motion


def displacement(first: Floats, second: Floats) -> float:
    """Mean distance, in units of the longer side, from one picture's pixels to the other's."""
    return _mean_length(_pyramid(first), _pyramid(second))


def _pyramid(grey: Floats) -> list[Floats]:
    """From coarse to fine, brightness and contrast taken out."""
    grey = _reduced(grey, max(1, round(max(grey.shape) / _MOTION_SIDE)))
    scales = [(grey - grey.mean()) / max(float(grey.std()), _LEAST_SPREAD)]
    while min(scales[0].shape) >= 2 * _COARSEST:
        scales.insert(0, _reduced(scales[0], 2))
    return scales


def _reduced(grey: Floats, factor: int) -> Floats:
    """Means of blocks; what fills none at the right and bottom is cut."""
    height, width = (side // factor for side in grey.shape)
    blocks = grey[: height * factor, : width * factor].reshape(height, factor, width, factor)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float64)


def _mean_length(first: list[Floats], second: list[Floats]) -> float:
    affine = np.zeros((2, 3))
    # The second finest scale is large enough for the shift, and its noise is averaged out.
    one, other = first[-2:][0], second[-2:][0]
    shift = _shift(one, other)
    # Pictures without detail have a peak, too, anywhere.
    if _difference(one, other, shift) < 0.8 * _difference(one, other, affine):
        affine = shift
    for one, other in zip(first, second, strict=True):
        for _ in range(_STEPS):
            affine = affine + _step(one, other, affine)
    return float(np.linalg.norm(_field(affine, first[-1].shape), axis=0).mean())


def _shift(first: Floats, second: Floats) -> Floats:
    """(2, 3) displacement by the shift at the peak of the phase correlation, in whole pixels."""
    window = np.outer(*(np.hanning(side + 2)[1:-1] for side in first.shape))
    cross = rfft2(second * window) * rfft2(first * window).conj()
    peak = irfft2(cross / np.maximum(np.abs(cross), 1e-9), first.shape).argmax()
    offset = np.array(np.unravel_index(peak, first.shape))
    sides = np.array(first.shape)
    shift = (offset + sides // 2) % sides - sides // 2
    return np.column_stack([shift[::-1] / sides.max(), np.zeros((2, 2))])


def _difference(first: Floats, second: Floats, affine: Floats) -> float:
    """Mean squared difference where the pictures overlap; infinite where too little does."""
    missed = first - _warped(second, affine)
    seen = np.isfinite(missed)
    return float((missed[seen] ** 2).mean()) if seen.mean() >= _LEAST_OVERLAP else np.inf


def _warped(picture: Floats, affine: Floats) -> Floats:
    """The picture where the displacement leads to; NaN outside."""
    shape = picture.shape
    pixels = _field(affine, shape)[::-1] * max(shape) + np.indices(shape)
    return np.asarray(map_coordinates(picture, pixels, order=1, mode="constant", cval=np.nan))


@cache
def _basis(shape: tuple[int, ...]) -> Floats:
    """(3, H, W): 1, x and y of each pixel, from the centre, in units of the longer side."""
    rows, columns = ((np.arange(side) + 0.5 - side / 2) / max(shape) for side in shape)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    return np.stack([np.ones(shape), x, y])


def _field(affine: Floats, shape: tuple[int, ...]) -> Floats:
    """(2, H, W) displacement of each pixel along x and y."""
    return np.asarray(np.einsum("ij,jhw->ihw", affine, _basis(shape)), np.float64)


def _step(first: Floats, second: Floats, affine: Floats) -> Floats:
    """One step of Gauss-Newton; none where too little of the pictures overlaps.

    Args:
        first, second: (H, W).
        affine: (2, 3) that takes a pixel's (1, x, y) to its displacement, as found so far.

    Returns:
        (2, 3), to be added.
    """
    side = max(first.shape)
    warped = _warped(second, affine)
    down, right = np.gradient(warped, axis=0), np.gradient(warped, axis=1)
    seen = np.isfinite(warped + down + right)
    if seen.mean() < _LEAST_OVERLAP:
        return np.zeros((2, 3))
    basis = _basis(first.shape)[:, seen]
    slopes = side * np.concatenate([right[seen] * basis, down[seen] * basis])
    normal = slopes @ slopes.T
    # The ridge moves nothing where there is nothing to see.
    ridge = 1e-6 * np.trace(normal) + 1e-9
    solution = np.linalg.solve(normal + ridge * np.eye(6), slopes @ (first - warped)[seen])
    return np.asarray(solution.reshape(2, 3), np.float64)


def choose(motion: Floats, sharpness: Floats, count: int, minimum: float) -> list[int]:
    """Frames that are evenly spaced in motion, each the sharpest of its stretch.

    The whole motion is cut into `count` stretches of one length. Of the frames in a stretch that
    are as sharp as its sharpest, to 5 %, the one nearest to its middle is taken.

    Args:
        motion: (F,) up to each frame.
        sharpness: (F,).
        count: how many frames are wanted. Where the picture moved on by more than a stretch between
            two frames there are fewer.
        minimum: a frame is left out if its sharpness is less than this share of the median of
            itself and up to five chosen frames on either side.

    Returns:
        Ascending indices.
    """
    motion = np.maximum.accumulate(motion)
    length = motion[-1] / count
    if not length > 0:
        return [int(sharpness.argmax())]
    stretch = np.minimum((motion / length).astype(np.int64), count - 1)
    chosen = []
    for frames in np.split(np.arange(len(motion)), np.flatnonzero(np.diff(stretch)) + 1):
        sharp = frames[sharpness[frames] >= _ALIKE * sharpness[frames].max()]
        middle = (stretch[frames[0]] + 0.5) * length
        chosen.append(int(sharp[np.abs(motion[sharp] - middle).argmin()]))
    values = sharpness[chosen]
    near = [values[max(0, i - _NEIGHBOURS) : i + _NEIGHBOURS + 1] for i in range(len(chosen))]
    return [
        frame
        for frame, value, others in zip(chosen, values, near, strict=True)
        if value >= minimum * np.median(others)
    ]
