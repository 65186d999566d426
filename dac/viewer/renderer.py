"""The one thread that renders, for all pages: the most urgent task first, a step at a time.

A key is a page and what the task is for; each has one task, and a newer one takes its place. A task
that is urgent and has begun is finished first: where poses come faster than pictures, there would
never be one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Hashable
from itertools import count

from dac.viewer.tasks import URGENT, Task

_log = logging.getLogger(__name__)

Key = tuple[Hashable, str]


class Renderer:
    """Tasks of all pages."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._wanted: dict[Key, Task] = {}
        self._begun: dict[Key, Task] = {}
        self._served: dict[Key, int] = {}
        self._clock = count(1)
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="renderer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the step that it is in."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, page: Hashable, purpose: str, task: Task) -> None:
        """Have a task done in place of the page's earlier ones for this purpose."""
        with self._changed:
            self._wanted[page, purpose] = task
            self._changed.notify()

    def drop(self, page: Hashable) -> None:
        """Forget the tasks of a page that is gone."""
        with self._changed:
            for key in [key for key in {**self._wanted, **self._served} if key[0] == page]:
                self._wanted.pop(key, None)
                self._begun.pop(key, None)
                self._served.pop(key, None)

    def work(self) -> bool:
        """One step of the most urgent task, of those the one that waited longest; False: none."""
        with self._changed:
            key = self._next()
            if key is None:
                return False
            task = self._begun[key]
            self._served[key] = next(self._clock)
        try:
            done = task.step()
        except Exception:
            _log.exception("a picture could not be made")
            done = True
        with self._changed:
            if done and self._begun.get(key) is task:
                del self._begun[key]
        return True

    def _next(self) -> Key | None:
        for key, task in list(self._wanted.items()):
            begun = self._begun.get(key)
            if begun is None or begun.priority > URGENT:
                self._begun[key] = task
                del self._wanted[key]
        if not self._begun:
            return None
        return min(
            self._begun, key=lambda key: (self._begun[key].priority, self._served.get(key, 0))
        )

    def _run(self) -> None:
        while True:
            worked = self.work()
            with self._changed:
                if self._ended:
                    return
                if not worked and not self._wanted:
                    self._changed.wait()
