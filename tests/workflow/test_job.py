"""What the scripts share: progress in words, and errors in one line."""

from __future__ import annotations

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
    ],
)
def test_a_job_ends_with_one_line(tmp_path: Path, body: str, status: int, last: str) -> None:
    settings, log = tmp_path / "settings.json", tmp_path / "logs" / "job.log"
    modules = ["dac.errors"]
    digest = "import dac.provenance as p; print(p.source_digest('dac.errors'), end='')"
    root = SCRIPTS.parent
    sources = subprocess.run(
        [sys.executable, "-c", digest], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    settings.write_text(json.dumps({"settings": {}, "modules": modules, "sources": sources}))
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
