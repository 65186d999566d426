"""The tab where a camera path is made: keyframes at the camera's pose, and a preview."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dac.errors import UserError
from dac.export.keyframes import (
    APART,
    FASTEST,
    LATEST,
    MOST,
    SLOWEST,
    Keyframe,
    Keyframes,
    make_keyframe,
    make_keyframes,
    motion,
)
from dac.viewer.drawn_path import DrawnPath
from dac.viewer.frusta import Frusta
from dac.viewer.path_files import PathFiles, Screen, explained

if TYPE_CHECKING:
    import viser

_NONE = "none yet"
_NEXT = 2.0  # seconds from the last keyframe to a new one
_TICK = 1 / 30  # seconds between the poses of a preview


class PathEditor:
    """A page's camera path.

    Args:
        gui: of viser, within the tab.
        scene, frusta: of the page, where the path is drawn.
        folder: where paths are kept, as NAME.json.
        screen: the page.
    """

    def __init__(
        self,
        gui: viser.GuiApi,
        scene: viser.SceneApi,
        frusta: Frusta,
        folder: Path,
        screen: Screen,
    ) -> None:
        self._screen = screen
        self._drawn = DrawnPath(scene, frusta, self._click)
        self._keyframes: list[Keyframe] = []
        self._playing = threading.Event()
        self._lock = threading.RLock()  # viser calls what watches a value as it is set
        add = gui.add_button("Add keyframe here")
        # mypy takes viser's `value` for read-only.
        self._list: Any = gui.add_dropdown("Keyframe", [_NONE])
        self._seconds: Any = gui.add_number("Seconds", 0.0, min=0.0, max=LATEST, step=0.1)
        actions = gui.add_button_group("Selected", ["Go to", "Replace", "Delete"])
        self._fps: Any = gui.add_number("Pictures/s", 30.0, min=SLOWEST, max=FASTEST, step=0.1)
        self._play = gui.add_button("Play")
        self._shown = gui.add_checkbox("Show path", True)
        gui.add_divider()
        self._files = PathFiles(gui, folder, screen, self._path, self._put_path)
        add.on_click(lambda _: explained(screen, self._add))
        self._list.on_update(lambda _: self._select())
        self._seconds.on_update(lambda _: explained(screen, self._retime))
        by_action = {"Go to": self._go, "Replace": self._replace, "Delete": self._delete}
        actions.on_click(lambda event: explained(screen, by_action[event.target.value]))
        self._play.on_click(lambda _: explained(screen, self._toggle))
        self._shown.on_update(lambda _: self._show_path())

    def close(self) -> None:
        """Stop the preview."""
        self._playing.clear()

    @property
    def _chosen(self) -> int | None:
        value = self._list.value
        return None if value == _NONE else int(value.split(":")[0]) - 1

    def _show(self, chosen: Keyframe | None) -> None:
        """Write the list anew, in time."""
        self._keyframes.sort(key=lambda keyframe: keyframe.seconds)
        names = [
            f"{number}: {keyframe.seconds:g} s"
            for number, keyframe in enumerate(self._keyframes, 1)
        ]
        self._list.options = names or [_NONE]
        if chosen is not None:
            index = self._keyframes.index(chosen)
            self._list.value = names[index]
            self._seconds.value = chosen.seconds
        elif names:
            self._list.value = names[0]
            self._seconds.value = self._keyframes[0].seconds
        self._drawn.draw(self._keyframes, self._chosen)

    def _here(self, seconds: float) -> Keyframe:
        pose, fov = self._screen.camera()
        return make_keyframe(pose, math.degrees(fov), seconds)

    def _add(self) -> None:
        with self._lock:
            if len(self._keyframes) == MOST:
                raise UserError("Camera path", f"has {MOST} keyframes, the most", "delete one")
            last = self._keyframes[-1].seconds + _NEXT if self._keyframes else 0.0
            keyframe = self._here(last)
            self._keyframes.append(keyframe)
            self._show(keyframe)

    def _select(self) -> None:
        with self._lock:
            if (index := self._chosen) is not None and index < len(self._keyframes):
                self._seconds.value = self._keyframes[index].seconds
                self._drawn.draw(self._keyframes, index)

    def _click(self, index: int) -> None:
        """Choose the keyframe whose pyramid was clicked."""
        with self._lock:
            if index < len(self._keyframes):
                self._list.value = self._list.options[index]

    def _put(self, keyframe: Keyframe) -> None:
        """Put a keyframe in the selected one's stead."""
        with self._lock:
            index = self._chosen
            if index is None:
                raise UserError("Keyframe", "there is none yet", "add one")
            others = self._keyframes[:index] + self._keyframes[index + 1 :]
            for other in others:
                if abs(keyframe.seconds - other.seconds) < APART:
                    taken = f"another keyframe is at {other.seconds:g} s"
                    raise UserError("Seconds", taken, "choose another time")
            self._keyframes = [*others, keyframe]
            self._show(keyframe)

    def _retime(self) -> None:
        with self._lock:
            index, seconds = self._chosen, float(self._seconds.value)
            if index is None or self._keyframes[index].seconds == seconds:
                return
            old = self._keyframes[index]
            try:
                pose = np.array(old.world_from_camera)
                self._put(make_keyframe(pose, old.fov_degrees, seconds))
            except UserError:
                self._seconds.value = old.seconds
                raise

    def _replace(self) -> None:
        if (index := self._chosen) is not None:
            self._put(self._here(self._keyframes[index].seconds))

    def _delete(self) -> None:
        with self._lock:
            if (index := self._chosen) is not None:
                del self._keyframes[index]
                self._show(None)

    def _go(self) -> None:
        if (index := self._chosen) is not None:
            keyframe = self._keyframes[index]
            self._screen.move(keyframe.pose, math.radians(keyframe.fov_degrees))

    def _path(self) -> Keyframes:
        if not self._keyframes:
            raise UserError("Camera path", "has no keyframe yet", "add one")
        return make_keyframes(self._keyframes, float(self._fps.value))

    def _toggle(self) -> None:
        """Play the path once, or stop it; runs until then."""
        if self._playing.is_set():
            self._playing.clear()
            return
        path = self._path()
        camera, start = motion(path), path.keyframes[0].seconds
        self._playing.set()
        self._show_path()
        self._play.label = "Stop"
        began = time.perf_counter()
        while self._playing.is_set():
            passed = time.perf_counter() - began
            now = camera(np.array([start + passed]))
            self._screen.move(now.poses[0], math.radians(now.fov_degrees[0]))
            if passed >= path.duration:
                break
            time.sleep(_TICK)
        self._playing.clear()
        self._show_path()
        self._play.label = "Play"

    def _show_path(self) -> None:
        """While it is played, the path would lie across the picture."""
        self._drawn.show(self._shown.value and not self._playing.is_set())

    def _put_path(self, path: Keyframes) -> None:
        with self._lock:
            self._keyframes = list(path.keyframes)
            self._fps.value = path.fps
            self._show(self._keyframes[0])
