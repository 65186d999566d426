"""Forked processes that judge cases, and the one that watches them.

Modules are imported once; each worker takes every n-th case and says before each what it begins.
One that stays silent for too long is killed, one that dies is replaced: both are findings of the
case that it had begun.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import torch
from bases import KINDS, write_base
from judge import Verdict, Watch, judge, limit_process


@dataclass
class Result:
    number: int
    verdict: Verdict


@dataclass
class _Worker:
    pid: int
    pipe: int
    left: list[int]
    buffer: bytes = b""
    since: float = 0.0
    begun: int | None = None


def run_cases(
    numbers: Sequence[int], scratch: Path, kept: Path, workers: int, seconds: float
) -> Iterator[Result]:
    """Judge cases, in parallel.

    Args:
        numbers: the cases.
        scratch: an empty folder.
        kept: gets the folder of every case with a finding, under its number.
        workers: processes.
        seconds: that a case may take.
    """
    _import_lazy()
    for kind in KINDS:
        write_base(kind, scratch / "bases" / kind)
    shutil.rmtree(kept, ignore_errors=True)
    shares = [list(numbers[i::workers]) for i in range(workers)]
    with selectors.DefaultSelector() as selector:
        for share in filter(None, shares):
            _start(selector, share, scratch, kept)
        while selector.get_map():
            for key, _ in selector.select(timeout=0.5):
                yield from _read(selector, key.data, scratch, kept)
            for key in list(selector.get_map().values()):
                worker = key.data
                if time.monotonic() - worker.since > seconds:
                    os.kill(worker.pid, signal.SIGKILL)
                    what = f"took over {seconds:g} s"
                    yield _lost(selector, worker, what, scratch, kept)


def _import_lazy() -> None:
    """What the first case would import, once for all."""
    import networkx  # noqa: F401
    import skimage.measure  # noqa: F401
    import sklearn.cluster  # noqa: F401
    import trimesh  # noqa: F401

    from dac.divide import communities  # noqa: F401
    from dac.export import cloud, mesh, paths, source, video  # noqa: F401
    from dac.ops.backend import backend

    backend("cpu")  # compiled and loaded from outside of a case's folder


def _start(
    selector: selectors.BaseSelector,
    share: list[int],
    scratch: Path,
    kept: Path,
) -> None:
    inlet, outlet = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(inlet)
        trace = scratch / f"worker{os.getpid()}.trace"
        with trace.open("w") as file:
            try:
                _work(share, scratch, kept, outlet, file)
            except BaseException:
                traceback.print_exc(file=file)
                file.flush()
                os._exit(3)
        os._exit(0)
    os.close(outlet)
    worker = _Worker(pid, inlet, share, since=time.monotonic())
    selector.register(inlet, selectors.EVENT_READ, worker)


def _work(
    share: list[int],
    scratch: Path,
    kept: Path,
    outlet: int,
    trace: IO[str],
) -> None:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    place = scratch / f"worker{os.getpid()}"
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    watch = Watch()
    limit_process()
    for number in share:
        _say(outlet, {"begun": number, "place": str(place)})
        verdict = judge(number, scratch / "bases", place, watch, trace)
        if verdict.finding:
            _keep(place, kept / str(number))
        _say(outlet, {"number": number, "verdict": asdict(verdict)})
    shutil.rmtree(place, ignore_errors=True)


def _say(outlet: int, what: dict[str, object]) -> None:
    line = json.dumps(what).encode() + b"\n"
    while line:
        line = line[os.write(outlet, line) :]


def _keep(place: Path, kept: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        place.rename(kept)


def _read(
    selector: selectors.BaseSelector,
    worker: _Worker,
    scratch: Path,
    kept: Path,
) -> Iterator[Result]:
    data = os.read(worker.pipe, 1 << 20)
    if not data:
        if worker.begun is None and not worker.left:
            _forget(selector, worker)
            return
        yield _lost(selector, worker, "", scratch, kept)
        return
    *lines, worker.buffer = (worker.buffer + data).split(b"\n")
    for line in lines:
        said = json.loads(line)
        worker.since = time.monotonic()
        if "begun" in said:
            worker.begun = said["begun"]
            worker.left = worker.left[worker.left.index(worker.begun) + 1 :]
        else:
            worker.begun = None
            yield Result(said["number"], Verdict(**said["verdict"]))


def _forget(selector: selectors.BaseSelector, worker: _Worker) -> int:
    selector.unregister(worker.pipe)
    os.close(worker.pipe)
    return os.waitpid(worker.pid, 0)[1]


def _lost(
    selector: selectors.BaseSelector,
    worker: _Worker,
    what: str,
    scratch: Path,
    kept: Path,
) -> Result:
    """A worker that was killed or died: its case is a finding, and another takes the rest."""
    status = _forget(selector, worker)
    if worker.begun is None:
        raise RuntimeError(f"a worker ended between two cases (status {status})")
    if not what:
        code = os.waitstatus_to_exitcode(status)
        what = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit with {code}"
    _keep(scratch / f"worker{worker.pid}", kept / str(worker.begun))
    if worker.left:
        _start(selector, worker.left, scratch, kept)
    said = (scratch / f"worker{worker.pid}.trace").read_text(errors="replace")
    return Result(worker.begun, Verdict("broken", what, said, [], ""))
