"""What a run says while it goes."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from tqdm import tqdm

from dac.training.curve import Progress

_LINE_SECONDS = 10.0


class Console:
    """Progress with the time left: a bar on a terminal, JSON lines in a log."""

    def __init__(self, label: str, first: int, last: int) -> None:
        self._label, self._first, self._last = label, first, last
        self._began = self._told = time.monotonic()
        self._bar: Any = None
        if sys.stderr.isatty():
            self._bar = tqdm(desc=label, initial=first, total=last, unit="step", mininterval=0.5)

    def step(self, progress: Progress, loss: float) -> None:
        """Called after each step."""
        if self._bar is not None:
            self._bar.update()
            return
        now = time.monotonic()
        if now - self._told < _LINE_SECONDS and progress.step < self._last:
            return
        self._told = now
        done = progress.step - self._first
        each = (now - self._began) / done
        psnr = progress.curve.psnr[-1] if progress.curve.psnr else None
        line = {
            "run": self._label,
            "step": progress.step,
            "steps": self._last,
            "loss": float(f"{loss:.4g}"),
            "psnr": None if psnr is None else round(psnr, 2),
            "ms_per_step": round(1000 * each, 2),
            "eta_seconds": round(each * (self._last - progress.step)),
        }
        print(json.dumps(line).replace("NaN", "null"), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the terminal tidy."""
        if self._bar is not None:
            self._bar.close()
