"""Progress over views: a bar on a terminal, JSON lines with the time left in a log."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
_LINE_SECONDS = 10.0


def with_progress(views: Sequence[T], label: str, done_before: int = 0) -> Iterator[T]:
    """The views, one after another, telling on stderr how far it is.

    Args:
        done_before: views that were done earlier, and count.
    """
    total = done_before + len(views)
    if sys.stderr.isatty():
        yield from tqdm(views, desc=label, unit="view", initial=done_before, total=total)
        return
    began = told = time.monotonic()
    for done, view in enumerate(views, start=1):
        yield view
        now = time.monotonic()
        if now - told >= _LINE_SECONDS or done == len(views):
            told = now
            left = round((now - began) / done * (len(views) - done))
            line = {"run": label, "view": done_before + done, "views": total, "eta_seconds": left}
            print(json.dumps(line), file=sys.stderr, flush=True)
