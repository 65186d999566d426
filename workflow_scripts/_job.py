"""What every script of the workflow shares.

A script is one function of a `Job`: it reads the job's inputs, calls one function of `dac` and
writes the job's outputs. Around it, `run`

- waits while another process does the same job, as one may whose workflow has died: it holds a lock
  beside the job's log;
- sends all output to the log, and tells the terminal how far a long run is;
- removes what a killed attempt has left half-written beside the outputs;
- refuses to run if `dac` has changed since the job's settings were frozen;
- ends within seconds when told to (SIGTERM, SIGUSR1, SIGINT), what is done saved;
- turns a user's mistake into one line, in the log and on the terminal, and exit status 1.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TextIO, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's dac

from dac.errors import UserError
from dac.process.signals import listening
from dac.settings import Section, validate
from dac.storage.artifacts import explained_disk_errors, read_json, remove_leftovers
from dac.storage.provenance import source_digest

S = TypeVar("S", bound=Section)

_STOPPED = "stopped with status {}; what is done is kept"
_FAILING_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


class Job:
    """A Snakemake job as a script sees it, with its frozen settings."""

    def __init__(self, snakemake: Any) -> None:
        self.input = snakemake.input
        self.output = snakemake.output
        self.params = snakemake.params
        self.wildcards = snakemake.wildcards
        self.threads: int = snakemake.threads
        self.settings_file = Path(snakemake.input.settings)
        self._frozen = read_json(self.settings_file)

    @property
    def out(self) -> Path:
        """The folder that the job writes whole: where its first output lies."""
        return Path(self.output[0]).parent

    @property
    def module(self) -> str:
        """The stage's first module."""
        return self._frozen["modules"][0]

    @property
    def settings(self) -> dict[str, Any]:
        """All frozen settings."""
        return self._frozen["settings"]

    @property
    def inputs(self) -> dict[str, list[Path]]:
        """The files of every named input."""
        return {name: self._files(name) for name, _ in self.input.items()}

    @property
    def outputs(self) -> dict[str, Path]:
        """The named outputs."""
        return {name: Path(file) for name, file in self.output.items()}

    def folder(self, name: str) -> Path:
        """The folder of a named input: of the first, where there are several."""
        return self.folders(name)[0]

    def folders(self, name: str) -> list[Path]:
        """The folders of a named input, each once, in order."""
        return list(dict.fromkeys(file.parent for file in self._files(name)))

    def _files(self, name: str) -> list[Path]:
        files = self.input.get(name) or []
        return [Path(file) for file in ([files] if isinstance(files, str) else files)]

    def section(self, name: str, kind: type[S], **from_path: Any) -> S:
        """A frozen section, with the values that stand in the result's path."""
        return validate(kind, self.settings[name] | from_path, str(self.settings_file))

    def check_sources(self) -> None:
        """Refuse to go on with other code than the job was planned with.

        Raises:
            UserError: a module that this stage imports was edited since.
        """
        if source_digest(*self._frozen["modules"]) != self._frozen["sources"]:
            what = "dac has changed since these settings were frozen"
            raise UserError(self.settings_file, what, "run snakemake again")


def run(main: Callable[[Job], None], snakemake: Any) -> None:
    """Do a script's work; see the module's docstring."""
    terminal = os.fdopen(os.dup(2), "w", buffering=1)
    log = Path(snakemake.log[0])
    with listening() as told:
        lock = _open(log, terminal)
        _tell(terminal)
        try:
            with lock, _progress_of(log, terminal):
                for output in map(Path, snakemake.output):
                    remove_leftovers(output)
                    remove_leftovers(output.parent)
                job = Job(snakemake)
                job.check_sources()
                main(job)
        except SystemExit as leaving:
            _say(_STOPPED.format(leaving.code), terminal)
            raise
        except Exception as error:
            if told.received:  # a library has made an error of its own of the signal
                _say(_STOPPED.format(128 + told.received), terminal)
                told.leave()
            _fail(error, log, terminal)


def _fail(error: Exception, log: Path, terminal: TextIO) -> NoReturn:
    """End with one line; what nobody expected leaves its traceback in the log."""
    if explained := _explained(error, log):
        _end(f"error: {explained}", terminal)
    _say("".join(traceback.format_exception(error)).rstrip(), sys.stderr)
    _end(f"error: {type(error).__name__}: {' '.join(str(error).split())}", terminal)


def _open(log: Path, terminal: TextIO) -> TextIO:
    """Take the job's lock, then its log."""
    try:
        with explained_disk_errors(log):
            lock = _only_writer_of(log, terminal)
            _send_output_to(log)
    except UserError as error:
        _say(f"error: {error}", terminal)
        sys.exit(1)
    return lock


def _explained(error: Exception, log: Path) -> UserError | None:
    """A user's mistake; or a disk that failed where nobody expected it: in the log, mostly."""
    if isinstance(error, UserError):
        return error
    if not isinstance(error, OSError) or error.errno not in _FAILING_DISK:
        return None
    try:
        with explained_disk_errors(Path(error.filename or log)):
            raise error
    except UserError as explained:
        return explained


def _end(line: str, terminal: TextIO) -> NoReturn:
    """One line in the log, last, and on the terminal."""
    _say(line, sys.stderr)
    _say(line, terminal)
    sys.exit(1)


def _say(text: str, stream: TextIO) -> None:
    """Print; where that fails, this and all that follows is for nobody."""
    try:
        print(text, file=stream, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _only_writer_of(log: Path, terminal: TextIO) -> TextIO:
    """Wait until no other process does this job.

    The lock is on a file beside the log: Snakemake removes logs and outputs before a job starts.

    Returns:
        The locked file, which tells who holds it; for as long as it is open.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    lock = log.with_suffix(".lock")
    file = lock.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = lock.read_text(errors="replace").strip()
        print(f"waiting for another process that does this job ({lock}): {holder}", file=terminal)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
            raise
        print(f"{lock}: no locks on this file system; never run two workflows here", file=terminal)
    file.truncate(0)
    print(_this_process(), file=file, flush=True)
    return file


def _this_process() -> str:
    slurm = f", Slurm job {os.environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in os.environ else ""
    return f"process {os.getpid()} on {socket.gethostname()}{slurm}"


def _send_output_to(log: Path) -> None:
    """Send everything that this process prints, native libraries included, to the log."""
    os.environ.setdefault("TQDM_MININTERVAL", "10")
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    print(_this_process())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")


def _tell(terminal: TextIO) -> None:
    """Repeat on the terminal what dac's own loggers say: few lines, written for people."""
    handler = logging.StreamHandler(terminal)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logging.getLogger("dac").addHandler(handler)


@contextmanager
def _progress_of(log: Path, terminal: TextIO) -> Iterator[None]:
    """Repeat the log's lines of progress on the terminal, in words."""
    ended = threading.Event()

    def follow() -> None:
        with log.open(errors="replace") as file:
            while not ended.wait(2.0):
                for line in file:
                    if line.startswith('{"run":'):
                        print(_in_words(line), file=terminal)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _in_words(line: str) -> str:
    """A line of JSON from a training or an evaluation: run, step(s) or view(s), psnr, eta."""
    try:
        told = json.loads(line)
        unit = "step" if "step" in told else "view"
        psnr = f", PSNR {told['psnr']} dB" if told.get("psnr") is not None else ""
        minutes, seconds = divmod(round(told["eta_seconds"]), 60)
        left = f"{minutes} min {seconds:02} s left"
        return f"{told['run']}: {unit} {told[unit]} of {told[f'{unit}s']}{psnr}, {left}"
    except (ValueError, KeyError, TypeError):
        return line.rstrip()
