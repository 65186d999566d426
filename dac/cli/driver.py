"""The workflow as a child process: one for a results folder at a time, its own words in a file.

A results folder is held by a lock of the driver's, which the system lets go with its process,
instead of Snakemake's own, which a killed one leaves behind.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dac.errors import UserError
from dac.storage.artifacts import explained_disk_errors
from dac.storage.project import PROJECT, SNAKEFILE
from dac.workflow.logs import errors_since

_LOG, _LOCK = "snakemake.log", ".driver.lock"
_LOOK_AGAIN = 0.5  # seconds
_ERROR = "error: "


@dataclass(frozen=True)
class Driver:
    """How the workflow is run.

    Attributes:
        results: the folder of its results.
        config: the configuration, on top of the project's own.
        profile: the name of one of the project's, or a folder.
        arguments: more of Snakemake's.
        verbose: whether its words go to the terminal, not to a file.
    """

    results: Path
    config: Path
    profile: str
    arguments: Sequence[str] = ()
    verbose: bool = False

    @property
    def log(self) -> Path:
        return self.results / _LOG

    @property
    def command(self) -> list[str]:
        """What is run.

        Raises:
            UserError: there is no such profile.
        """
        profile = profile_folder(self.profile)
        snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE)]
        files = ["--configfile", str(self.config), "--profile", str(profile)]
        return [*snakemake, *files, "--nolock", "--rerun-incomplete", *self.arguments]

    def run(self, look: Callable[[], None]) -> list[str]:
        """Run it to its end, looking again and again.

        Returns:
            What it and its jobs said last, if it failed.

        Raises:
            UserError: another one runs on the folder; it can't be written.
            KeyboardInterrupt: it was stopped, and has ended.
        """
        command, started = self.command, time.time()
        with _held(self.results), self._output() as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
            try:
                while _runs(process):
                    look()
            except KeyboardInterrupt:  # the child has it, too, and lets its jobs save their states
                process.wait()
                raise
        return self._last_words(process.returncode, started) if process.returncode else []

    @contextmanager
    def _output(self) -> Iterator[int | None]:
        if self.verbose:
            yield None
            return
        with self.log.open("wb") as file:
            yield file.fileno()

    def _last_words(self, status: int, started: float) -> list[str]:
        if said := list(errors_since(self.results, started)):
            return said
        if self.verbose:
            return [f"{_ERROR}the workflow ended with status {status}; its words are above"]
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line for line in lines if line.startswith(_ERROR)]
        return said or [f"{_ERROR}the workflow ended with status {status}; see {self.log}"]


def profile_folder(name: str) -> Path:
    """Where a profile lies: one of the project's, or a folder.

    Raises:
        UserError: there is none.
    """
    ours = PROJECT / "profiles" / name
    profile = ours if ours.is_dir() else Path(name)
    if not profile.is_dir():
        known = ", ".join(sorted(folder.name for folder in (PROJECT / "profiles").iterdir()))
        raise UserError(f"--profile {name}", "no such profile", f"{known}, or a folder")
    return profile


def _runs(process: subprocess.Popen[bytes]) -> bool:
    """Whether it still does, some time later."""
    try:
        process.wait(timeout=_LOOK_AGAIN)
    except subprocess.TimeoutExpired:
        return True
    return False


@contextmanager
def _held(results: Path) -> Iterator[None]:
    """The only driver of a results folder, which is made if it isn't there.

    Raises:
        UserError: it isn't the only one; the folder can't be made.
    """
    with explained_disk_errors(results):
        results.mkdir(parents=True, exist_ok=True)
        lock = (results / _LOCK).open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            what = "another `dac train` works on this folder"
            raise UserError(results, what, f"wait for it, or look: dac status {results}") from None
        yield
