"""A process that has imported all that jobs import, and does one job after another in a fork.

Importing torch takes more than a second, a toy job a third of one: for hundreds of jobs, only a
fork is quick enough. The jobs are the workflow's own scripts, given a stand-in for Snakemake's
object.

Each line of standard input is a request, each line of standard output its answer (both JSON):

    job       see `toy_jobs.ToyJob`
    terminal  file that gets what the job says on the terminal
    trace     file that gets a line for each step, save and load, with the time (optional)
    kill      [seconds after the job's start, signal] (optional)
    fault     what `disk.c` does: {folder, effect, nth, error}; the changes go to the terminal's
              `.changes` file (optional)

The answer: status (negative: the signal that ended it), began, killed and ended, in seconds of the
monotonic clock; `killed` is null where the job ended first.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "workflow_scripts"
MODULES = (
    "dac.conquer.distill",
    "dac.divide.divide",
    "dac.evaluation.evaluate",
    "dac.scenes.importer",
    "dac.training.baseline",
    "dac.training.expert",
    "dac.training.finetune",
)
LONGEST = 60  # seconds: a job that takes longer hangs
EFFECTS = ("none", "full", "once", "short", "kill", "torn", "term")


class Named(dict[str, Any]):
    """A job's inputs and wildcards as Snakemake gives them: by attribute, or by `get`."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


def stand_in(job: dict[str, Any]) -> SimpleNamespace:
    """Snakemake's object, as far as the scripts read it."""
    return SimpleNamespace(
        input=Named(job["input"]),
        output=job["output"],
        params=SimpleNamespace(**job["params"]),
        wildcards=Named(job["wildcards"]),
        threads=1,
        log=[job["log"]],
    )


def run_script(job: dict[str, Any]) -> None:
    """Do the job as Snakemake's process would."""
    sys.path.insert(0, str(SCRIPTS))
    script = SCRIPTS / f"{job['script']}.py"
    runpy.run_path(str(script), {"snakemake": stand_in(job)}, "__main__")


def announce(where: str, file: str) -> None:
    """Make a file when `module:name` is first called, and wait a moment there."""
    module, names = where.split(":")
    *path, last = names.split(".")
    owner: Any = importlib.import_module(module)
    for name in path:
        owner = getattr(owner, name)
    function = getattr(owner, last)

    def announced(*arguments: Any, **named: Any) -> Any:
        if not Path(file).exists():
            Path(file).touch()
            time.sleep(0.2)
        return function(*arguments, **named)

    setattr(owner, last, announced)


def watch(trace: str) -> None:
    """Tell every step, and every state that is saved or loaded, with the time."""
    from dac.training.checkpoints import Checkpoints
    from dac.training.console import Console

    descriptor = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def tell(what: str, step: int) -> None:
        os.write(descriptor, f"{what} {step} {time.monotonic()}\n".encode())

    save, load, step = Checkpoints.save, Checkpoints.load, Console.step

    def told_save(self: Any, number: int, *arguments: Any) -> None:
        tell("saving", number)
        save(self, number, *arguments)
        tell("saved", number)

    def told_load(self: Any) -> Any:
        loaded = load(self)
        if loaded is not None:
            tell("loaded", loaded[1]["step"])
        return loaded

    def told_step(self: Any, progress: Any, loss: float) -> None:
        step(self, progress, loss)
        tell("step", progress.step)

    Checkpoints.save = told_save  # type: ignore[method-assign]
    Checkpoints.load = told_load  # type: ignore[method-assign]
    Console.step = told_step  # type: ignore[method-assign]


def arm(fault: dict[str, Any], changes: str) -> None:
    """Let the preloaded library (`disk.c`) do its work in this process."""
    disk = ctypes.CDLL(None)
    effect = EFFECTS.index(fault["effect"])
    disk.disk_list(os.open(changes, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    disk.disk_arm(fault["folder"].encode(), effect, ctypes.c_long(fault["nth"]), fault["error"])


def child(request: dict[str, Any]) -> None:
    """The forked process; it ends as the job's would."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    terminal = os.open(request["terminal"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(terminal, 1)
    os.dup2(terminal, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    faulthandler.dump_traceback_later(LONGEST, exit=True)
    if "trace" in request:
        watch(request["trace"])
    if "fault" in request:
        arm(request["fault"], f"{request['terminal']}.changes")
    status = 1
    try:
        run_script(request["job"])
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def attempt(request: dict[str, Any]) -> dict[str, Any]:
    """Fork, kill if asked to, wait."""
    began = time.monotonic()
    pid = os.fork()
    if not pid:
        child(request)
    killed = None
    if "kill" in request:
        after, number = request["kill"]
        # Nobody else waits for the child: until we do, its number can't be another process's.
        if signal.sigtimedwait({signal.SIGCHLD}, after) is None:
            killed = time.monotonic()
            os.kill(pid, number)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    ended = time.monotonic()
    signal.sigtimedwait({signal.SIGCHLD}, 0)
    return {"status": status, "began": began, "killed": killed, "ended": ended}


def main() -> None:
    sys.path[:0] = [str(ROOT), str(SCRIPTS)]
    for module in ("_job", "torchmetrics.functional.image", *MODULES):
        importlib.import_module(module)
    from dac.ops.backend import backend
    from dac.storage.provenance import source_digest

    backend()  # loads the kernels
    for module in MODULES:
        source_digest(module)  # remembers how it read the sources
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    print(json.dumps({"ready": os.getpid()}), flush=True)
    for line in sys.stdin:
        print(json.dumps(attempt(json.loads(line))), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:  # one job, in this process, as Snakemake starts it
        job = json.loads(Path(sys.argv[1]).read_text())
        if "announce" in job:
            sys.path.insert(0, str(ROOT))
            announce(*job["announce"])
        run_script(job)
