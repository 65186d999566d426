"""What the jobs of a run said last."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def errors_since(results: Path, started: float) -> Iterator[str]:
    """The last words of the jobs that failed, with their logs.

    Args:
        results: the results folder.
        started: seconds since the epoch; logs that were last written before are older runs'.
    """
    logs = [log for log in (results / "logs").rglob("*.log") if log.stat().st_mtime > started]
    for log in sorted(logs):
        last = log.read_text(errors="replace").splitlines()[-1:]
        if last and last[0].startswith("error: "):
            yield f"{last[0]} ({log})"
