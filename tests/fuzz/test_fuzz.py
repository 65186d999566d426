"""The fuzzing itself: undamaged data passes, and every kind of bug that is planted is found."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent
ROOT = FUZZ.parents[1]

# Cases 0 to 10 are undamaged: config, blender, nerfstudio, colmap-binary, colmap-text, photos,
# nerfpp, nsvf, video, model, path. What stands here is done with a case in the place of what the
# workflow does.
PLANTED = """
import ctypes, os, runpy, subprocess, sys, time
from pathlib import Path
sys.path.insert(0, {fuzz!r})
import numpy as np
import entries
import dac.scenes.formats.transforms
from dac.errors import UserError

real = entries.run

def reader_without_a_guard(case):
    def rigid(matrix, where):
        raise KeyError("transform_matrix")
    dac.scenes.formats.transforms.rigid = rigid
    real(case)

def raises(*arguments):
    raise UserError(*arguments)

BUGS = {{
    1: reader_without_a_guard,
    8: lambda case: time.sleep(60),
    9: lambda case: ctypes.string_at(0),
    10: lambda case: np.ones(215_000_000).sum(),
    11: lambda case: np.ones(2**30),
    12: lambda case: Path("outside/secret.txt").read_bytes(),
    13: lambda case: Path("/etc/hostname").read_bytes(),
    14: lambda case: subprocess.run(["true"]),
    15: lambda case: raises("data/transforms.json", "is wrong"),
    16: lambda case: raises("somewhere", "is wrong", "mend it"),
    17: lambda case: raises("config/config.yaml", "a bad value", "mend it"),
    18: lambda case: os._exit(9),
    19: lambda case: os.listdir("outside/images"),
}}

def run(case):
    BUGS.get(case.number, real)(case)

entries.run = run
sys.argv = ["fuzz", "--cases", "20", "--seconds", "8", "--workers", "2"]
runpy.run_path({fuzz!r}, run_name="__main__")
"""
FOUND = {
    1: "KeyError at transforms.py:read_frames",
    8: "took over 8 s",
    9: "signal SIGSEGV",
    10: r"took \d+ MiB of memory",
    11: "MemoryError",
    12: "opened .*/outside/secret.txt",
    13: "opened /etc/hostname",
    14: "opened a process: ",
    15: "no way out: data/transforms.json: is wrong",
    16: "neither file nor key: somewhere",
    17: "no key: config/config.yaml: a bad value",
    18: "exit with 9",
    19: "opened .*/outside/images",
}


@pytest.mark.slow
def test_every_planted_bug_is_found_and_nothing_else(tmp_path: Path) -> None:
    script = PLANTED.format(fuzz=str(FUZZ))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    found = dict(re.findall(r"^case (\d+) \(.*\): (.*)$", done.stdout, re.MULTILINE))
    assert sorted(map(int, found)) == sorted(FOUND), done.stdout
    for number, finding in FOUND.items():
        assert re.match(finding, found[str(number)]), (number, found[str(number)])
        assert f"repeat: .venv/bin/python tests/fuzz --case {number}\n" in done.stdout
        assert (tmp_path / "results" / "fuzz" / str(number) / "config" / "config.yaml").is_file()
    assert f"{len(FOUND)} findings." in done.stdout
    assert "7 success" in done.stdout


def test_a_number_is_a_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FUZZ))
    from bases import KINDS, write_base
    from cases import make_case

    for kind in KINDS:
        write_base(kind, tmp_path / "bases" / kind)
    for number in range(20, 60):
        twice = [make_case(number, tmp_path / "bases", tmp_path / f"{number}{c}") for c in "ab"]
        assert twice[0] == twice[1]
        one, two = (_content(tmp_path / f"{number}{c}") for c in "ab")
        assert one == two


def _content(folder: Path) -> dict[str, object]:
    content: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            content[name] = str(path.readlink()).replace(str(folder), "")
        elif path.is_file() and path.stat().st_size < 2**20:
            content[name] = path.read_bytes()
        else:
            content[name] = path.stat().st_size
    return content
