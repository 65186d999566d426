"""How large a picture may be, so that motion stays smooth.

The one measure is seconds per ray, which pictures that were made tell. While the camera moves, a
picture is as large as the wanted rate allows; once it rests, pictures follow that are each up to
twice as wide, until one has the window's own size.
"""

from __future__ import annotations

import math

Size = tuple[int, int]

_SLOWEST, _AIM, _FASTEST = 12.0, 13.5, 15.0  # pictures per second
_NEWEST = 0.3  # share of the newest measure in the mean
_SMALLEST_SIDE = 48  # pixels: below, nobody recognises anything
_CHUNK_SECONDS = 0.025
_CHUNK = (512, 32768)  # rays; the upper end bounds the memory of plain torch


class Resolution:
    """Chooses sizes from what pictures took.

    Args:
        seconds_per_ray: a first guess.
    """

    def __init__(self, seconds_per_ray: float = 1e-5) -> None:
        self._seconds_per_ray = seconds_per_ray
        self._rays = _rays_at_aim(seconds_per_ray)

    def measured(self, rays: int, seconds: float) -> None:
        """Learn what a picture took, from its first ray until it was sent."""
        newest = seconds / max(rays, 1)
        self._seconds_per_ray += _NEWEST * (newest - self._seconds_per_ray)
        # Within the range the size stays: one that changes all the time looks restless.
        if not _SLOWEST <= 1 / (self._rays * self._seconds_per_ray) <= _FASTEST:
            self._rays = _rays_at_aim(self._seconds_per_ray)

    @property
    def chunk(self) -> int:
        """Rays after which work may turn to something more urgent."""
        least, most = _CHUNK
        return int(min(max(_CHUNK_SECONDS / self._seconds_per_ray, least), most))

    def sizes(self, width: int, height: int) -> list[Size]:
        """Sizes of the pictures for a window, in pixels: while it moves first, its own last."""
        scale = math.sqrt(self._rays / (width * height))
        scale = min(max(scale, _SMALLEST_SIDE / min(width, height)), 1.0)
        steps = max(math.ceil(math.log2(1 / scale) - 0.01), 0)
        scales = [scale ** (1 - step / steps) for step in range(steps)]
        return [(round(part * width), round(part * height)) for part in [*scales, 1.0]]


def _rays_at_aim(seconds_per_ray: float) -> float:
    return 1 / (_AIM * seconds_per_ray)
