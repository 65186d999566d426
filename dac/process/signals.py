"""SIGTERM and SIGUSR1, by which a scheduler tells a job to go, and SIGINT, by which its user does.

A job may be told at any moment: while it imports, trains, renders or runs a library's C++ code. All
that is on disk is whole at any time, so a job may end at once; loops that can save what they have
done first defer the signal and ask for it between two steps.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

STOPPING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
_GRACE_SECONDS = 5.0


class Stop:
    """Whether the job was told to stop.

    Attributes:
        received: number of the signal that came, 0 for none.
    """

    def __init__(self) -> None:
        self.received = 0

    def leave(self) -> NoReturn:
        """End the process with the status that shells give one that a signal ended.

        Raises:
            SystemExit: always.
        """
        raise SystemExit(128 + self.received)


_deferred: Stop | None = None
_told = Stop()  # what came outside of deferred blocks


def _on_signal(number: int, frame: FrameType | None) -> None:
    if _deferred is None:
        _told.received = number
        _told.leave()
    _deferred.received = number


@contextmanager
def _handled() -> Iterator[None]:
    """Our handlers while the block runs. Only the main thread may set them; elsewhere, nothing."""
    previous: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        heard = [number for number in STOPPING if signal.getsignal(number) != signal.SIG_IGN]
        previous = {number: signal.signal(number, _on_signal) for number in heard}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def deferred() -> Iterator[Stop]:
    """While the block runs, a signal is only noted: ask `received`, save, and `leave`.

    A block within another shares its `Stop`. A signal that nobody asked for ends nothing: the work
    of the block was done.
    """
    global _deferred
    if _deferred is not None:
        yield _deferred
        return
    with _handled():
        _deferred = Stop()
        try:
            yield _deferred
        finally:
            _deferred = None


@contextmanager
def listening() -> Iterator[Stop]:
    """A whole job: a signal ends it, by `SystemExit` in the main thread or, failing that, hard.

    Yields what has come: a library within which the exception is raised may make an error of its
    own of it.

    Python runs its handlers between two of its own instructions, so a long call of a library delays
    them. A thread that the signal wakes waits some seconds and then ends the process. It leaves a
    `deferred` block alone, which is about to save.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    ended = threading.Event()

    def watch() -> None:
        while received := os.read(reading, 1):
            if received[0] in STOPPING and _deferred is None and not ended.wait(_GRACE_SECONDS):
                os._exit(128 + received[0])

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    previous = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    _told.received = 0
    try:
        with _handled():
            yield _told
    finally:
        ended.set()
        signal.set_wakeup_fd(previous)
        os.close(writing)
        watcher.join()
        os.close(reading)
