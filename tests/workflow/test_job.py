"""What the scripts share: progress in words, and errors in one line."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow_scripts"

# A script whose job is given on the command line: its log, its settings, what it does.
SCRIPT = """
import sys
from types import SimpleNamespace
sys.path.insert(0, {scripts!r})
from _job import run
from dac.errors import UserError

def main(job):
    import logging
    logging.getLogger("dac.test").info("a sentence for people")
    print("a line for the log")
    {body}

run(main, SimpleNamespace(
    input=SimpleNamespace(settings={settings!r}), output=[], params=None, wildcards=None,
    threads=1, log=[{log!r}],
))
"""


@pytest.fixture(scope="module")
def job() -> ModuleType:
    spec = importlib.util.spec_from_file_location("_job", SCRIPTS / "_job.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            {"run": "lego expert 2", "step": 300, "steps": 600, "psnr": 21.5, "eta_seconds": 75},
            "lego expert 2: step 300 of 600, PSNR 21.5 dB, 1 min 15 s left",
        ),
        (
            {"run": "lego", "step": 1, "steps": 2, "psnr": None, "eta_seconds": 5},
            "lego: step 1 of 2, 0 min 05 s left",
        ),
        (
            {"run": "lego dac", "view": 3, "views": 20, "eta_seconds": 61.6},
            "lego dac: view 3 of 20, 1 min 02 s left",
        ),
        ({"run": "odd"}, '{"run": "odd"}'),
    ],
)
def test_progress_in_words(job: ModuleType, told: dict[str, object], words: str) -> None:
    assert job._in_words(json.dumps(told) + "\n") == words


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Frozen settings of a stage that imports dac.errors alone."""
    digest = "import dac.storage.provenance as p; print(p.source_digest('dac.errors'), end='')"
    command = [sys.executable, "-c", digest]
    root = SCRIPTS.parent
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    frozen = {"settings": {}, "modules": ["dac.errors"], "sources": result.stdout}
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(frozen))
    return path


@pytest.mark.parametrize(
    ("body", "status", "last"),
    [
        ("pass", 0, "a line for the log"),
        (
            "raise UserError('config: K', 'too large', 'lower it')",
            1,
            "error: config: K: too large; lower it",
        ),
        ("raise ValueError('first\\nsecond')", 1, "error: ValueError: first second"),
        ("raise SystemExit(143)", 143, "a line for the log"),
        (
            "import signal\n    try: signal.raise_signal(15)\n"
            "    except SystemExit: raise ValueError",
            143,
            "a line for the log",
        ),
    ],
)
def test_a_job_ends_with_one_line(
    tmp_path: Path, settings: Path, body: str, status: int, last: str
) -> None:
    log = tmp_path / "logs" / "job.log"
    text = SCRIPT.format(scripts=str(SCRIPTS), body=body, settings=str(settings), log=str(log))
    result = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert result.returncode == status
    assert log.read_text().splitlines()[-1] == last
    terminal = result.stderr.splitlines()
    farewell = {0: [], 1: [last], 143: ["stopped with status 143; what is done is kept"]}
    assert terminal == ["dac.test: a sentence for people", *farewell[status]]
    assert ("Traceback" in log.read_text()) == ("ValueError" in last)


def test_other_sources_are_refused(tmp_path: Path) -> None:
    settings, log = tmp_path / "settings.json", tmp_path / "job.log"
    frozen = {"settings": {}, "modules": ["dac.errors"], "sources": "0" * 16}
    settings.write_text(json.dumps(frozen))
    text = SCRIPT.format(scripts=str(SCRIPTS), body="pass", settings=str(settings), log=str(log))
    result = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert result.returncode == 1
    line = (
        f"error: {settings}: dac has changed since these settings were frozen; run snakemake again"
    )
    assert result.stderr == f"{line}\n"
    who, *said = log.read_text().splitlines()
    assert who.startswith("process ") and said == [line]


def test_a_second_process_waits_until_the_first_has_done_the_job(
    tmp_path: Path, settings: Path
) -> None:
    log = tmp_path / "job.log"
    text = SCRIPT.format(scripts=str(SCRIPTS), body="pass", settings=str(settings), log=str(log))
    with (tmp_path / "job.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        print("the first", file=lock, flush=True)
        second = subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.PIPE, text=True)
        assert second.stderr is not None
        told = f"waiting for another process that does this job ({lock.name}): the first\n"
        assert second.stderr.readline() == told
        assert not log.exists()
    assert second.communicate(timeout=60)[1] == "dac.test: a sentence for people\n"
    assert second.returncode == 0
    assert "a line for the log" in log.read_text()
