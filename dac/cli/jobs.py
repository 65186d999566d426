"""What the workflow's jobs have come to, by what lies in a results folder: logs, locks, outputs.

A job's log is `logs/{name}.log`, its lock `logs/{name}.lock`, and what it makes is the folder or
the files `{name}` (rules/common.smk). A lock outlives its job; it is *held* while the job runs
(workflow_scripts/_job.py). Everything here only reads, and may do so while the workflow runs: files
appear whole, and whatever vanishes between two looks counts as not there.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dac.catalogue import RESERVED
from dac.errors import printable

State = Literal["done", "running", "failed", "cut off", "unknown"]

# Below logs/: what the driver itself does in a moment, and what Slurm keeps.
_NO_JOBS = ("settings", "slurm")
_TAIL = 64 * 1024  # bytes; the last words of a log, and its last line of progress
_LONGEST_LINE = 100  # letters
_ERROR, _PROGRESS = "error: ", '{"run":'


@dataclass(frozen=True)
class Progress:
    """The last line of progress in a log.

    Attributes:
        unit: `step` or `view`.
        at, of: how many are done, of how many.
        psnr: dB on held-out pixels, the last that was measured; None before, or for views.
        eta_seconds: that were left when the line was written.
    """

    unit: str
    at: int
    of: int
    psnr: float | None
    eta_seconds: float


@dataclass(frozen=True)
class Job:
    """One job of the workflow.

    Attributes:
        scene: its scene's name; empty for a table or figure of all scenes.
        name: the path of what it makes, below the scene's folder.
        state: `done` has its output; `running` holds its lock; `failed` says so last; `cut off` has
            no last word, since it was told to end, or killed; `unknown` where a file system has no
            locks.
        said: the error of one that failed; the last line of one that runs and tells no progress.
        resumes: of one that is over without an output: whether its state is there to go on from.
        progress: of a running one, if it has told any.
        silent_seconds: since the log was written to; None without a log.
        log: the file.
    """

    scene: str
    name: str
    state: State
    said: str
    resumes: bool
    progress: Progress | None
    silent_seconds: float | None
    log: Path


def jobs_of(results: Path) -> list[Job]:
    """Every job that has begun in a results folder, in the order of their names."""
    return [_job(results, name) for name in sorted(_names(results / "logs"))]


def results_folders(root: Path) -> list[Path]:
    """The folder itself, if jobs have run in it, and those directly below it in which they have."""
    candidates = [root, *sorted(folder for folder in root.iterdir() if folder.is_dir())]
    return [folder for folder in candidates if (folder / "logs").is_dir()]


def duration(seconds: float) -> str:
    """In words."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def is_held(lock: Path) -> bool | None:
    """Whether a process holds a lock; None if that can't be told.

    It is found out by asking for the lock as one of many readers, and giving it back at once: two
    that look don't hinder each other, and a job that comes in between waits for a moment.
    """
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


def _names(logs: Path) -> Iterator[str]:
    """Names of jobs; a job whose log was removed by one that waits for it still has its lock."""
    found = set()
    for folder, folders, files in os.walk(logs):
        folders[:] = [name for name in folders if name not in _NO_JOBS]
        for file in files:
            path = Path(folder, file)
            if path.suffix in (".log", ".lock"):
                found.add(path.with_suffix("").relative_to(logs).as_posix())
    yield from found


def _job(results: Path, name: str) -> Job:
    log = results / "logs" / f"{name}.log"
    first, _, rest = name.partition("/")
    scene, below = ("", name) if first in RESERVED else (first, rest)
    tail, silent = _tail_of(log)
    state, said = _state_of(is_held(log.with_suffix(".lock")), results / name, tail)
    progress = _progress_in(tail) if state == "running" else None
    if state == "running" and progress is None and tail:
        said = printable(tail[-1])[:_LONGEST_LINE]
    over = state not in ("done", "running")
    resumes = over and any((results / "state" / name).glob("*/manifest.json"))
    return Job(scene, below, state, said, resumes, progress, silent, log)


def _state_of(held: bool | None, output: Path, tail: list[str]) -> tuple[State, str]:
    """The state, and the error if it failed."""
    if held:
        return "running", ""
    if _is_there(output):
        return "done", ""
    last = tail[-1] if tail else ""
    if last.startswith(_ERROR):
        return "failed", printable(last.removeprefix(_ERROR))
    return ("unknown" if held is None else "cut off"), ""


def _is_there(output: Path) -> bool:
    """Whether a job has made its folder or files, which appear whole.

    The folder alone says nothing, since Snakemake makes it before, and other jobs' lie below it.
    """
    return any(
        entry.is_file() and not entry.name.startswith(".") for entry in _entries(output)
    ) or any(entry.name.startswith(f"{output.name}.") for entry in _entries(output.parent))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _tail_of(log: Path) -> tuple[list[str], float | None]:
    """The last lines of a log, and the seconds since it was written to."""
    try:
        with log.open("rb") as file:
            status = os.fstat(file.fileno())
            file.seek(max(0, status.st_size - _TAIL))
            lines = file.read(_TAIL).decode("utf-8", "replace").splitlines()
    except OSError:
        return [], None
    return lines, max(0.0, time.time() - status.st_mtime)


def _progress_in(lines: list[str]) -> Progress | None:
    """The last line of progress that is whole."""
    for line in reversed(lines):
        if line.startswith(_PROGRESS):
            try:
                return _progress_of(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue  # it is being written
    return None


def _progress_of(told: dict[str, Any]) -> Progress:
    unit = "step" if "step" in told else "view"
    psnr = told.get("psnr")
    return Progress(
        unit,
        int(told[unit]),
        int(told[f"{unit}s"]),
        None if psnr is None else float(psnr),
        float(told["eta_seconds"]),
    )
