"""One case, judged: success, one honest line, or a finding.

The process that judges cases watches what it opens (`sys.addaudithook`), and has a limit on its
address space; the one that started it watches the time.
"""

from __future__ import annotations

import faulthandler
import os
import re
import resource
import shutil
import sys
import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import entries
from case import Case
from cases import make_case

from dac.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SPACE = 3 * 2**30  # bytes of addresses beyond those that the imports take
TRACED_AFTER = 10.0  # seconds: half of what a case may take
GROWTH = 1.5 * 2**30  # bytes of memory that one case may take
_PLACE = re.compile(
    r"(data|masks|lists|sfm|work|config/config\.yaml|config/overlay\.yaml)(/|$|:| \+ )"
    r"|(scene|divide|points|sfm)\.[a-z_]+$|scene toy\b|--[a-z]+\b"
)
_KEY = re.compile(r"config/config\.yaml( \+ config/overlay\.yaml)?: \S")
_STRUCTURE = ("broken YAML", "holds", "is ", "no such file", "can't be read", "twice", "has ")


@dataclass
class Verdict:
    """What came of a case; `finding` names what is wrong, if anything is."""

    outcome: str  # success, refused, not ours
    finding: str | None
    said: str
    changes: list[str]
    kind: str


class Watch:
    """Notes every file that is opened where nothing should be."""

    def __init__(self) -> None:
        self.root: str | None = None
        self.opened: list[str] = []
        known = [sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib"), str(ROOT)]
        known += ["/usr", "/lib", "/lib64", "/sys", "/proc/self/status", "/proc/cpuinfo"]
        self.known = tuple(os.path.realpath(place) for place in known)
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.root is None:
            return
        if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
            self.opened.append(f"a process: {arguments[0]!r}")
        elif event in ("open", "os.listdir", "os.scandir"):
            path = arguments[0]
            if isinstance(path, str | bytes | os.PathLike):
                self._look(os.fsdecode(path))

    def _look(self, path: str) -> None:
        try:
            real = os.path.realpath(path)
        except (OSError, ValueError):
            return
        root = self.root or ""
        allowed = any(_below(real, place) for place in (root, *self.known))
        if _below(real, f"{root}/outside") or not allowed:
            self.opened.append(real)


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def limit_process() -> None:
    """Bound this process's address space, its files, and what it leaves when it dies."""
    space = _status("VmSize") + SPACE
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**35, 2**35))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _status(key: str) -> int:
    """Bytes, from /proc/self/status."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)[1])


def judge(number: int, bases: Path, place: Path, watch: Watch, trace: IO[str]) -> Verdict:
    """Make a case in the folder `place`, run it, and say what came of it.

    A case that dies or hangs leaves its stack in the file `trace`.
    """
    shutil.rmtree(place, ignore_errors=True)
    case = make_case(number, bases, place)
    home = Path.cwd()
    os.chdir(place)
    watch.opened.clear()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    faulthandler.enable(trace)
    faulthandler.dump_traceback_later(TRACED_AFTER, file=trace)
    watch.root = os.path.realpath(place)
    try:
        outcome, finding, said = _run(case)
    finally:
        faulthandler.cancel_dump_traceback_later()
        watch.root = None
        os.chdir(home)
    grown = _status("VmHWM") - before
    if watch.opened:
        finding = f"opened {watch.opened[0]}"
    elif finding is None and grown > GROWTH:
        finding = f"took {grown / 2**20:.0f} MiB of memory"
    return Verdict(outcome, finding, said, case.changes, case.kind)


def _run(case: Case) -> tuple[str, str | None, str]:
    try:
        entries.run(case)
    except UserError as error:
        return "refused", fault_of(error), str(error)
    except entries.NotOursError as error:
        return "not ours", None, str(error)
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in where if "/dac/" in frame.filename]
        last = (ours or where)[-1]
        name = f"{type(error).__name__} at {Path(last.filename).name}:{last.name}"
        return "broken", name, "".join(traceback.format_exception(error))
    return "success", None, ""


def fault_of(error: UserError) -> str | None:
    """What is wrong with a message: it must be one short line that names a place and a way out."""
    text = str(error)
    if "\n" in text or not text.isprintable():
        return "a message of several lines, or with signs that can't be printed"
    if len(text) > 1500:
        return "a message of over 1500 letters"
    if not error.what.strip() or not error.fix.strip():
        return f"no way out: {text}"
    if not _PLACE.match(error.where):
        return f"neither file nor key: {text}"
    plain = error.where in ("config/config.yaml", "config/config.yaml + config/overlay.yaml")
    if plain and not error.what.startswith(_STRUCTURE):
        return f"no key: {text}"
    return None
