"""`dac status` against jobs that really run, fail and are killed, and a folder that is known."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from project import ROOT

from dac.cli.jobs import is_held, jobs_of
from dac.errors import UserError
from dac.evaluation.records import Cost, Evaluation, ImageScore, Label, mean_of
from dac.process.progress import with_progress
from dac.storage.states import seal
from dac.training.console import Console
from dac.training.curve import Progress

# One job, as the workflow's scripts are: its log and what it does are given.
SCRIPT = """
import sys, time
from types import SimpleNamespace
sys.path.insert(0, {scripts!r})
from _job import run
from dac.errors import UserError

def main(job):
    {body}

run(main, SimpleNamespace(
    input=SimpleNamespace(settings={settings!r}), output=[], params=None, wildcards=None,
    threads=1, log=[{log!r}],
))
"""
LINE = '{"run": "ball expert 1", "step": 30, "steps": 120, "psnr": 21.5, "eta_seconds": 90}'


def make(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def record(folder: Path, psnr: float) -> None:
    images = tuple(ImageScore(f"v{i}", psnr + i - 1, 0.9, None) for i in range(3))
    Evaluation(
        scene="ball",
        label=Label("baseline-1x", "kplanes", 0, 6),
        mean=mean_of(images),
        images=images,
        test_views=3,
        mean_image_psnr=12.5,
        masked=False,
        cost=Cost(6, 1.0, 1.0, 1.0, 1.0, 1),
        parameters=1,
        device="cpu",
        versions={},
        git_commit=None,
        inputs={},
        settings={},
    ).save(folder)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """One job in every state but running, two scored models, a table."""
    root = tmp_path / "results"
    seed = "ball/kplanes/seed0"
    make(root / "ball/scene/scene.json", "{}")
    make(root / "logs/ball/scene.log", "process 7 on here\n")
    make(root / "logs/ball/azimuth-2/partition.log")
    make(root / "ball/azimuth-2/partition.json", "{}")
    for name in ("baseline-6", "azimuth-2/expert0"):
        make(root / "logs" / seed / f"{name}.log", LINE + "\n")
        make(root / seed / name / "model.json")
        make(root / seed / name / "model.safetensors")
    record(root / seed / "baseline-6/evaluation", 20.25)
    make(root / "logs" / seed / "baseline-6/evaluation.log")
    record(root / seed / "azimuth-2/experts-evaluation", 23.5)
    make(root / "logs" / seed / "azimuth-2/experts-evaluation.log")
    make(
        root / "logs" / seed / "baseline-12.log",
        "words\nerror: x: no space left\x1b[31m; free some\n",
    )
    (root / seed / "baseline-12").mkdir(parents=True)  # as Snakemake leaves it
    make(root / "logs" / seed / "azimuth-2/expert1.log", LINE + "\n")
    make(root / "logs" / seed / "azimuth-2/expert1.lock", "process 9 on there\n")
    state = root / "state" / seed / "azimuth-2/expert1/step30"
    make(state / "model.safetensors")
    seal(state, {"digest": "d"})
    make(root / "logs/tables/main.log")
    make(root / "tables/main.csv")
    make(root / "logs/settings/baseline.json.log")
    make(root / "logs/slurm/rule_expert/7.log", "error: not a job's\n")
    return root


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """The lock as `_job.py` holds it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def states(results: Path) -> dict[str, str]:
    return {job.name: job.state for job in jobs_of(results)}


def test_every_state_is_told(results: Path) -> None:
    seed = "kplanes/seed0"
    assert states(results) == {
        "scene": "done",
        "azimuth-2/partition": "done",
        f"{seed}/baseline-6": "done",
        f"{seed}/baseline-6/evaluation": "done",
        f"{seed}/azimuth-2/expert0": "done",
        f"{seed}/azimuth-2/experts-evaluation": "done",
        f"{seed}/baseline-12": "failed",
        f"{seed}/azimuth-2/expert1": "cut off",
        "tables/main": "done",
    }
    jobs = {job.name: job for job in jobs_of(results)}
    assert jobs[f"{seed}/baseline-12"].said == "x: no space left\\x1b[31m; free some"
    assert jobs[f"{seed}/azimuth-2/expert1"].resumes and not jobs[f"{seed}/baseline-12"].resumes
    assert jobs["tables/main"].scene == "" and jobs["scene"].scene == "ball"


def test_the_report(results: Path, dac: Callable[..., str]) -> None:
    log = results / "logs/ball/kplanes/seed0/azimuth-2/expert1.log"
    said = dac("status", results).splitlines()
    assert said[:3] == [
        str(results),
        "  ball",
        "    done     scene, 2 trainings, 2 evaluations, 1 partition",
    ]
    rest = "\n".join(said[3:])
    assert "cut off  kplanes/seed0/azimuth-2/expert1: told to end, killed" in rest
    assert "it goes on from its last state with the same snakemake command" in rest
    assert "failed   kplanes/seed0/baseline-12: x: no space left" in rest
    assert "scored    20.25 dB  kplanes/seed0/baseline-6\n" in rest
    assert "scored    23.50 dB  kplanes/seed0/azimuth-2/experts-evaluation\n" in rest
    assert "  tables and figures\n    done     1 table\n" in rest
    assert said[-1].startswith("What is planned and has not begun can't be seen")
    os.utime(log, (time.time() - 30, time.time() - 30))
    with held(log.with_suffix(".lock")):
        said = dac("status", results).splitlines()
    running = next(line for line in said if line.startswith("    running"))
    told = "step 30 of 120 (25 %), PSNR 21.50 dB, "
    assert running.startswith(f"    running  kplanes/seed0/azimuth-2/expert1: {told}")
    # 90 s when it was written, 30 s ago; a slow machine may have taken some since.
    assert running.endswith((" 1 min 00 s left", ", 59 s left", ", 58 s left"))


def test_for_programs(results: Path, dac: Callable[..., str]) -> None:
    with held(results / "logs/ball/kplanes/seed0/azimuth-2/expert1.lock"):
        (status,) = json.loads(dac("status", results, "--json"))
    jobs = {job["name"]: job for job in status["jobs"]}
    running = jobs["kplanes/seed0/azimuth-2/expert1"]
    assert running["state"] == "running"
    assert running["progress"] == {
        "unit": "step",
        "at": 30,
        "of": 120,
        "psnr": 21.5,
        "eta_seconds": 90.0,
    }
    assert {score["name"]: score["psnr"] for score in status["scores"]} == {
        "baseline-6": 20.25,
        "azimuth-2/experts-evaluation": 23.5,
    }
    assert status["scenes"] == ["ball"]


def test_it_changes_nothing(results: Path, dac: Callable[..., str]) -> None:
    def everything() -> dict[str, tuple[int, int]]:
        paths = [results, *results.rglob("*")]
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}

    before = everything()
    dac("status", results)
    assert everything() == before
    with held(results / "logs/ball/kplanes/seed0/azimuth-2/expert1.lock"):
        pass  # it can be had at once: nobody kept it


def test_two_that_look_don_t_take_each_other_for_the_job(tmp_path: Path) -> None:
    lock = tmp_path / "job.lock"
    assert is_held(lock) is False and not lock.exists()
    lock.touch()
    with lock.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert is_held(lock) is False
    with held(lock):
        assert is_held(lock) is True


def test_a_job_whose_log_another_has_removed_still_runs(results: Path) -> None:
    """A second process of the job waits for the first, whose log its Snakemake has removed."""
    with held(results / "logs/ball/points.lock"):
        (job,) = [job for job in jobs_of(results) if job.name == "points"]
    assert (job.state, job.progress, job.silent_seconds) == ("running", None, None)


def test_lines_of_progress_are_those_that_runs_write(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = results / "logs/ball/kplanes/seed0/azimuth-2/expert1.log"
    progress = Progress()
    console = Console("ball expert 1", 0, 120)
    progress.step = 120
    console.step(progress, 0.25)
    list(with_progress(range(5), "ball evaluation"))
    step, view = capsys.readouterr().err.splitlines()
    for line, unit, at in ((step, "step", 120), (view, "view", 5)):
        log.write_text(f"{line}\nsomething else\n" + '{"run": "ball exp')
        with held(log.with_suffix(".lock")):
            (job,) = [job for job in jobs_of(results) if job.state == "running"]
        assert job.progress is not None
        assert (job.progress.unit, job.progress.at, job.progress.of) == (unit, at, at)


@pytest.mark.parametrize(
    "line", ['{"run": 1}', '{"run":', '{"run": "a", "step": "x", "steps": []}']
)
def test_lines_that_say_nothing(results: Path, dac: Callable[..., str], line: str) -> None:
    log = results / "logs/ball/kplanes/seed0/azimuth-2/expert1.log"
    log.write_text(line)
    with held(log.with_suffix(".lock")):
        assert f"expert1: {line}\n" in dac("status", results)
    log.write_text("")
    with held(log.with_suffix(".lock")):
        assert "expert1: it has told nothing yet\n" in dac("status", results)


def test_a_damaged_record_is_said(results: Path, dac: Callable[..., str]) -> None:
    make(results / "ball/kplanes/seed0/baseline-6/evaluation/evaluation.json", "{}")
    assert "scored   damaged  kplanes/seed0/baseline-6" in dac("status", results)


def test_a_folder_of_results_folders(results: Path, dac: Callable[..., str]) -> None:
    other = results.parent / "other"
    make(other / "logs/cup/sfm.log", "error: too few photos\n")
    said = dac("status", results.parent)
    assert f"{other}\n  cup\n    failed   sfm: too few photos ({other}/logs/cup/sfm.log)" in said
    assert f"{results}\n  ball\n" in said
    said = dac("status", results.parent, "--scene", "cup")
    assert "ball" not in said and "cup" in said
    with pytest.raises(UserError, match="holds no scene ship"):
        dac("status", results.parent, "--scene", "ship")
    with pytest.raises(UserError, match="no such folder; run the workflow"):
        dac("status", results / "nowhere")
    with pytest.raises(UserError, match="holds no logs of a workflow"):
        dac("status", results / "ball")


def settings_of_a_job(folder: Path) -> Path:
    code = "import dac.storage.provenance as p; print(p.source_digest('dac.errors'), end='')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    frozen = {"settings": {}, "modules": ["dac.errors"], "sources": done.stdout}
    make(folder / "frozen.json", json.dumps(frozen))
    return folder / "frozen.json"


@pytest.mark.parametrize(
    ("body", "ending", "after"),
    [
        ("time.sleep(60)", signal.SIGTERM, "cut off"),
        ("time.sleep(60)", signal.SIGKILL, "cut off"),
        ("time.sleep(1); raise UserError('K', 'too large', 'lower it')", None, "failed"),
        ("time.sleep(1); raise ValueError('oh')", None, "failed"),
    ],
)
def test_real_jobs(tmp_path: Path, body: str, ending: int | None, after: str) -> None:
    results = tmp_path / "results"
    log = results / "logs/ball/points.log"
    text = SCRIPT.format(
        scripts=str(ROOT / "workflow_scripts"),
        body=f"print({LINE!r}); {body}",
        settings=str(settings_of_a_job(tmp_path)),
        log=str(log),
    )
    with subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not log.exists() or LINE not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (job,) = jobs_of(results)
        assert job.state == "running" and job.progress is not None and job.progress.at == 30
        if ending is not None:
            process.send_signal(ending)
        process.wait()
    (job,) = jobs_of(results)
    assert job.state == after
    assert (job.said != "") == (after == "failed")


def test_watching_sees_what_changes_and_ends_with_ctrl_c(results: Path) -> None:
    # A shell's background jobs are started deaf to Ctrl-C, and so would be what they start.
    text = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from dac.cli.main import main; main()"
    )
    command = [sys.executable, "-c", text, "status", str(results), "--watch", "0.1", "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    lock = results / "logs/ball/kplanes/seed0/azimuth-2/expert1.lock"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert "running" not in process.stdout.readline()
        with held(lock):
            while '"running"' not in process.stdout.readline():
                pass
        while '"running"' in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 0
