"""Attempts at jobs: in forks of a server, or in processes of their own; and what became of them."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toy_jobs import ToyJob

SERVER = Path(__file__).with_name("server.py")


@dataclass(frozen=True)
class Answer:
    """What became of an attempt at a job.

    Attributes:
        status: its exit status; negative: the signal that ended it.
        began, killed, ended: seconds of the monotonic clock; killed None: it ended by itself.
        said: on the terminal.
        changes: of files, as the preloaded library saw them: `call file`.
        trace: (what, step, when) of steps, saves and loads.
    """

    status: int
    began: float
    killed: float | None
    ended: float
    said: str
    changes: list[str]
    trace: list[tuple[str, int, float]]


class Server:
    """The process of `server.py`.

    Args:
        scratch: a folder of its own.
        preload: a library for LD_PRELOAD.
    """

    def __init__(self, scratch: Path, preload: Path | None = None) -> None:
        scratch.mkdir(parents=True)
        self._terminal = scratch / "terminal"
        self._trace = scratch / "trace"
        environment = environment_of_jobs()
        if preload is not None:
            environment["LD_PRELOAD"] = str(preload)
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def attempt(
        self,
        job: ToyJob,
        *,
        kill: tuple[float, int] | None = None,
        fault: dict[str, Any] | None = None,
    ) -> Answer:
        """Do a job, kill it after some seconds, or let the disk fail."""
        for file in (self._trace, self._terminal.with_suffix(".changes")):
            file.unlink(missing_ok=True)
        request: dict[str, Any] = {
            "job": job.data,
            "terminal": str(self._terminal),
            "trace": str(self._trace),
        }
        if kill is not None:
            request["kill"] = kill
        if fault is not None:
            request["fault"] = {"folder": str(job.place), "error": 0, **fault}
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._read()
        changes = self._terminal.with_suffix(".changes")
        return Answer(
            **answer,
            said=self._terminal.read_text(errors="replace"),
            changes=changes.read_text().splitlines() if changes.exists() else [],
            trace=_read_trace(self._trace),
        )

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        while True:
            line = self._process.stdout.readline()
            assert line, "the server has died"
            answer: dict[str, Any] = json.loads(line)
            if "ready" not in answer:
                return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


def _read_trace(file: Path) -> list[tuple[str, int, float]]:
    if not file.exists():
        return []
    lines = [line.split() for line in file.read_text().splitlines()]
    return [(what, int(step), float(when)) for what, step, when in lines]


def environment_of_jobs() -> dict[str, str]:
    """One thread a job, so that the results are the same bits each time."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    return os.environ | threads


_groups: list[int] = []


def remember_group(leader: int) -> None:
    """Note a process that began a session, so that `end_groups` ends all that is left of it."""
    _groups.append(leader)


def end_groups() -> None:
    """Kill what a failed test has left running."""
    for leader in _groups:
        with suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)
    _groups.clear()


class Process:
    """A job in a process of its own, as Snakemake would start it.

    Args:
        announce: `module:name` of the function whose call `announced` tells of.
        environment: more of it.
    """

    def __init__(self, job: ToyJob, announce: str = "", **environment: str) -> None:
        beside = job.place.with_name(f"{job.place.name}.{time.monotonic_ns()}")
        self._terminal = beside.with_suffix(".terminal")
        self.announced = beside.with_suffix(".announced")
        data = job.data | ({"announce": [announce, str(self.announced)]} if announce else {})
        beside.with_suffix(".json").write_text(json.dumps(data))
        with self._terminal.open("w") as terminal:
            self._process = subprocess.Popen(
                [sys.executable, str(SERVER), str(beside.with_suffix(".json"))],
                stdout=terminal,
                stderr=terminal,
                env=environment_of_jobs() | environment,
                start_new_session=True,
            )
        remember_group(self.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def said(self) -> str:
        return self._terminal.read_text(errors="replace")

    def wait_until(self, condition: Callable[[], object], seconds: float = 120.0) -> None:
        """Wait until something is so; fail if the process ends before."""
        end = time.monotonic() + seconds
        while not condition():
            assert self._process.poll() is None, f"ended: {self.said()}"
            assert time.monotonic() < end, f"waited {seconds} s; said: {self.said()}"
            time.sleep(0.01)

    def tell(self, number: int) -> float:
        """Send a signal; returns the seconds until the process has ended."""
        began = time.monotonic()
        self._process.send_signal(number)
        self._process.wait(timeout=60)
        return time.monotonic() - began

    def wait(self) -> int:
        """Its exit status."""
        return self._process.wait(timeout=300)

    @property
    def status(self) -> int:
        return self._process.wait(timeout=0)


@dataclass
class Servers:
    """Some servers, lent one at a time to threads."""

    all: list[Server]
    _free: queue.SimpleQueue[Server] = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        for server in self.all:
            self._free.put(server)

    @contextmanager
    def one(self) -> Iterator[Server]:
        server = self._free.get()
        try:
            yield server
        finally:
            self._free.put(server)


def is_one_line(said: str) -> bool:
    """Whether the terminal ended with one clear line, and no traceback was shown."""
    lines = said.splitlines()
    errors = [line for line in lines if re.match(r"error: .+: .+", line)]
    return len(errors) == 1 and lines[-1] == errors[0] and "Traceback" not in said
