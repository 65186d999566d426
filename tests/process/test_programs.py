"""Programs: what they say is heard as they say it, and they end with their caller's block."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from dac.process.programs import Programs

# Starts a child of its own, tells both numbers and waits for ever.
FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(os.getpid(), child.pid, flush=True)
time.sleep(600)
"""


def runs(process: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_lines_are_heard_and_returned() -> None:
    heard: list[str] = []
    code = "import sys; print('a'); sys.stdout.flush(); print('b', file=sys.stderr); sys.exit(3)"
    with Programs() as programs:
        status, said = programs.run([sys.executable, "-c", code], heard.append)
    assert status == 3
    assert heard == ["a\n", "b\n"]
    assert said.endswith("a\nb\n") and said.startswith(sys.executable)


def test_bytes_that_are_no_text_do_no_harm() -> None:
    with Programs() as programs:
        code = "import sys; sys.stdout.buffer.write(b'\\xff\\n')"
        assert programs.run([sys.executable, "-c", code])[1].endswith("\ufffd\n")


def test_a_signal_that_ends_a_program_is_its_status() -> None:
    with Programs() as programs:
        code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
        assert programs.run([sys.executable, "-c", code])[0] == -signal.SIGKILL


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_an_exception_kills_the_program_and_its_children() -> None:
    family: list[int] = []

    def told_to_go(line: str) -> None:
        family.extend(map(int, line.split()))
        raise SystemExit(143)

    with pytest.raises(SystemExit), Programs() as programs:
        programs.run([sys.executable, "-c", FAMILY], told_to_go)
    deadline = time.monotonic() + 10
    while any(map(runs, family)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(family) == 2 and not any(map(runs, family))
    os.waitpid(family[0], 0)
