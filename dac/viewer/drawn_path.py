"""A camera path in a page's 3D scene: its keyframes with their numbers, and the curve through them.

Notation: N keyframes, F points of the curve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from dac.export.keyframes import Keyframe, Keyframes, motion
from dac.viewer.frusta import Frusta
from dac.viewer.groups import Colour
from dac.viewer.poses import Floats

if TYPE_CHECKING:
    import viser

_PATH: Colour = (214, 0, 128)  # like the next, no group's
_CHOSEN: Colour = (0, 0, 0)
_STEPS = 24  # of the curve between two keyframes


class DrawnPath:
    """The nodes of one page's path.

    Args:
        scene: of viser, the page's.
        frusta: the page's.
        clicked: called with the index of the keyframe that was clicked.
    """

    def __init__(
        self, scene: viser.SceneApi, frusta: Frusta, clicked: Callable[[int], None]
    ) -> None:
        self._scene, self._frusta, self._clicked = scene, frusta, clicked
        self._root = scene.add_frame("/path", show_axes=False)
        self._curve: viser.LineSegmentsHandle | None = None
        self._drawn: list[tuple[Keyframe, bool]] = []

    def show(self, shown: bool) -> None:
        """Show or hide all of it."""
        self._root.visible = shown

    def draw(self, keyframes: Sequence[Keyframe], chosen: int | None) -> None:
        """Draw a path instead of the one that was drawn.

        Args:
            keyframes: N of them, in time.
            chosen: the index of the one to stand out, or None.
        """
        wanted = [(keyframe, index == chosen) for index, keyframe in enumerate(keyframes)]
        if [keyframe for keyframe, _ in self._drawn] != list(keyframes):
            self._draw_curve(keyframes)
        for index in range(max(len(wanted), len(self._drawn))):
            if wanted[index : index + 1] != self._drawn[index : index + 1]:
                if index < len(self._drawn):
                    self._frusta.remove(f"/path/{index}")
                if index < len(wanted):
                    self._draw_keyframe(index, *wanted[index])
        self._drawn = wanted

    def _draw_keyframe(self, index: int, keyframe: Keyframe, chosen: bool) -> None:
        self._frusta.add(
            f"/path/{index}",
            keyframe.pose,
            math.radians(keyframe.fov_degrees),
            _CHOSEN if chosen else _PATH,
            partial(self._clicked, index),
        )
        number = f"{index + 1}: {keyframe.seconds:g} s" if chosen else f"{index + 1}"
        self._scene.add_label(f"/path/{index}/number", number, anchor="bottom-center")

    def _draw_curve(self, keyframes: Sequence[Keyframe]) -> None:
        if self._curve is not None:
            self._curve.remove()
            self._curve = None
        if len(keyframes) > 1:
            points = curve(keyframes)
            self._curve = self._scene.add_line_segments(
                "/path/curve",
                np.stack([points[:-1], points[1:]], axis=1),
                colors=_PATH,
                thickness=3,
                thickness_units="screen",
            )


def curve(keyframes: Sequence[Keyframe]) -> Floats:
    """(F, 3) where the camera goes in the video of a path of two keyframes or more."""
    path = Keyframes(version=1, keyframes=tuple(keyframes))
    last = len(keyframes) - 1
    positions = np.linspace(0, last, _STEPS * last + 1)
    seconds = np.interp(positions, np.arange(last + 1), path.seconds)
    return motion(path)(seconds).poses[:, :, 3]
