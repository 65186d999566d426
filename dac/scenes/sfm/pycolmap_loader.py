"""The one door to pycolmap: imported late, quiet, and with its progress told from outside.

pycolmap's own log (glog) is limited to warnings. Its long calls release the interpreter but report
nothing, so a thread asks how many rows they have added to the database and logs that with an
estimate of the time left. The counting is done in another process: this one has two copies of
SQLite (Python's and pycolmap's), and if one closes a file that the other has open, the file's locks
are gone and it may be damaged (https://www.sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dac.errors import UserError

_LOG = logging.getLogger("dac.sfm")
_SECONDS_BETWEEN_LINES = 10.0
_COUNT = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1] + "?mode=ro", uri=True)
print(connection.execute("SELECT COUNT(*) FROM " + sys.argv[2]).fetchone()[0])
"""


def load_pycolmap() -> Any:
    """Import pycolmap, its log limited to warnings and SIGTERM left to us.

    Raises:
        UserError: it isn't installed.
    """
    # Pillow goes first: both wheels bring a zlib, and Pillow crashes in its PNG writer if its own
    # is loaded second.
    from PIL import Image  # noqa: F401

    try:
        import pycolmap
    except ImportError:
        raise UserError(
            "pycolmap",
            "is not installed",
            "install the `workflow` extra: pip install -e .[workflow]",
        ) from None
    pycolmap.logging.minloglevel = pycolmap.logging.WARNING.value
    if threading.current_thread() is threading.main_thread():
        # glog takes it for a crash, prints its stack and kills the process: put Python's back.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    return pycolmap


def duration(seconds: float) -> str:
    """A length of time for people: `40 s`, `12 min`."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def count_rows(database: Path, table: str) -> int | None:
    """Rows of a table of COLMAP's database, None if they can't be counted now."""
    command = [sys.executable, "-I", "-c", _COUNT, database.resolve().as_uri(), table]
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
        return int(done.stdout)
    return None


@contextmanager
def told_progress(database: Path, table: str, unit: str, total: int | None) -> Iterator[None]:
    """Log, while the block runs, how many rows `table` holds by now.

    Args:
        database: COLMAP's database.
        table: `keypoints` (one row an image) or `matches` (one row a pair).
        unit: what a row stands for, e.g. `photos with features`.
        total: rows at the end, None if unknown.
    """
    start, first = time.monotonic(), count_rows(database, table) or 0
    finished = threading.Event()

    def tell() -> None:
        while not finished.wait(_SECONDS_BETWEEN_LINES):
            done = count_rows(database, table)
            if done is None:
                continue
            if total is None or done <= first:
                _LOG.info("%d %s", done, unit)
                continue
            left = (time.monotonic() - start) * max(total - done, 0) / (done - first)
            _LOG.info("%d of %d %s, about %s left", done, total, unit, duration(left))

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
