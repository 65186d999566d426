"""Snakemake itself killed, and two of it at once, on the demo's jobs in small.

What kills it takes either its process alone, whose jobs then run on, or all of them together. It is
started again as docs/cluster.md says: unlock, then the same command.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from attempts import environment_of_jobs, remember_group
from project import TINY, Project, new_project
from toy_jobs import write_data_set, write_room

KILLS = 20
HERE = Path(__file__).resolve().parent
# COLMAP's bundle adjustment gives the same bits each time with one thread only.
PROFILE = ("--profile", "profiles/local", "--set-threads", "sfm=1", "--cores", "2")
SAME_BITS = {".safetensors", ".npy", ".npz", ".bin"}


@dataclass
class Traced:
    """A copy of the project whose jobs tell what they do.

    Attributes:
        target: what Snakemake is asked for.
        unlocked: whether the command that unlocks was run.
        first_job, end: seconds after the start, of a run that nobody disturbed.
    """

    project: Project
    target: tuple[str, ...]
    drivers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    unlocked: bool = False
    first_job: float = 0.0
    end: float = 0.0

    @property
    def folder(self) -> Path:
        return self.project.folder

    def start(self, *arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
        """Start Snakemake; returns it, and the file of what it says."""
        said = self.folder / f"driver-{len(self.drivers)}.txt"
        with said.open("wb") as file:
            driver = subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--nocolor", *PROFILE, *arguments],
                cwd=self.folder,
                stdout=file,
                stderr=file,
                env=environment_of_jobs()
                | {"DAC_TRACE": str(self.folder / "trace"), "PYTHONPATH": str(HERE)},
                start_new_session=True,
            )
        remember_group(driver.pid)
        self.drivers.append(driver)
        return driver, said

    def unlock(self) -> None:
        """As the user does after Snakemake died, but that it takes seconds only once."""
        locks = self.folder / ".snakemake" / "locks"
        if self.unlocked:
            for lock in locks.glob("*"):
                lock.unlink()
            return
        driver, said = self.start("--unlock")
        assert driver.wait(timeout=120) == 0, said.read_text()
        assert not list(locks.glob("*"))
        self.unlocked = True

    def trace(self) -> list[tuple[str, str, int]]:
        file = self.folder / "trace"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(what, log, int(number)) for what, log, number in map(str.split, lines)]

    def result(self) -> dict[str, str]:
        """SHA-256 of all results that are functions of the inputs."""
        results = self.folder / "results"
        files = [file for file in results.rglob("*") if file.suffix in SAME_BITS]
        files += results.rglob("partition.json")
        return {
            file.relative_to(results).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in files
            if "state" not in file.relative_to(results).parts[:1]
        }

    def living_writers(self) -> list[int]:
        """Jobs that run now."""
        pids = [int(file.read_text() or 0) for file in self.folder.glob("writer-*")]
        return [pid for pid in pids if pid and Path(f"/proc/{pid}").exists()]


def make_traced(folder: Path, long: bool) -> Traced:
    """The demo in small; in the long form, the demo."""
    project = new_project(folder, lambda _: None)
    job = folder / "workflow_scripts" / "_job.py"
    text = job.read_text()
    assert text.count("main(job)\n") == 1
    job.write_text(text.replace("main(job)\n", "__import__('traced').around(main, job, log)\n"))
    root = HERE.parents[1]
    if long:
        shutil.copytree(root / "scenes", folder / "scenes")
        shutil.copy2(root / "config" / "config.yaml", project.config)
        return Traced(project, ())
    write_data_set(folder / "data" / "object")
    write_room(folder / "data" / "place", count=12)
    scenes = [
        {"name": "object", "path": "data/object", "format": "blender"},
        {"name": "place", "path": "data/place", "format": "photos"},
    ]
    scenes[0] |= {"division": "azimuth", "K": 2}  # type: ignore[dict-item]
    scenes[1] |= {"division": "louvain", "K": 2}  # type: ignore[dict-item]
    settings = TINY | {
        "scenes": scenes,
        "train": TINY["train"] | {"steps": 1000, "checkpoint_seconds": 0.5},
        "distill": TINY["distill"] | {"steps": 1000},
        "finetune": TINY["finetune"] | {"steps": 1000},
        "sfm": {"max_features": 800},
        "evaluate": {"test_views": 1},
    }
    project.config.write_text(yaml.safe_dump(settings))
    return Traced(project, ("tables",))


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, long: bool, figure: Callable[[str, str, Any], None]
) -> Traced:
    """A copy that ran from start to end, but for a second Snakemake that was started meanwhile."""
    traced = make_traced(tmp_path_factory.mktemp("undisturbed") / "dac", long)
    began = time.monotonic()
    first, said = traced.start(*traced.target)
    while not traced.trace():
        assert first.poll() is None, said.read_text()
        time.sleep(0.1)
    traced.first_job = time.monotonic() - began
    second, said_second = traced.start(*traced.target)
    assert second.wait(timeout=120) != 0
    assert first.wait(timeout=3600) == 0, said.read_text()
    traced.end = time.monotonic() - began
    (traced.folder / "second.txt").write_text(said_second.read_text())
    figure("two drivers", "the second's exit status", second.returncode)
    figure("two drivers", "the second's lines on the terminal", said_second.read_text().count("\n"))
    figure("killed driver", "undisturbed run, s", traced.end)
    return traced


def test_a_second_driver_stops_with_a_clear_line(undisturbed: Traced) -> None:
    said = (undisturbed.folder / "second.txt").read_text()
    assert "Traceback" not in said
    what, where, advice = said.splitlines()[-3:]
    assert what.startswith("Error: Directory cannot be locked.")
    assert where == str(undisturbed.folder) and "--unlock" in advice
    told = undisturbed.trace()
    assert "clash" not in {what for what, _, _ in told}
    assert set(Counter(log for what, log, _ in told if what == "begin").values()) == {1}


def test_drivers_killed_at_random_moments(
    undisturbed: Traced,
    tmp_path: Path,
    figure: Callable[[str, str, Any], None],
    long: bool,
) -> None:
    chance = random.Random(0)
    # Soon after the start: so one copy of the workflow sees all kills.
    latest = undisturbed.first_job + (undisturbed.end - undisturbed.first_job) / 14
    kills = Counter[str]()
    copies = 0
    while sum(kills.values()) < KILLS:
        copies += 1
        traced = make_traced(tmp_path / str(copies) / "dac", long)
        while True:
            driver, said = traced.start(*traced.target)
            alone = chance.random() < 0.5
            try:
                after = chance.uniform(undisturbed.first_job / 2, latest)
                driver.wait(timeout=after if sum(kills.values()) < KILLS else 3600)
                assert driver.returncode == 0, said.read_text()
                break
            except subprocess.TimeoutExpired:
                (os.kill if alone else os.killpg)(driver.pid, signal.SIGKILL)
                driver.wait()
            kills["alone" if alone else "with its jobs"] += 1
            traced.unlock()
        check(traced, undisturbed, figure)
    figure("killed driver", "kills of it alone", kills["alone"])
    figure("killed driver", "kills with its jobs", kills["with its jobs"])
    figure("killed driver", "copies of the workflow", copies)


def check(traced: Traced, undisturbed: Traced, figure: Callable[[str, str, Any], None]) -> None:
    """Nothing was done twice, nothing at once, and the results are the same bits."""
    told = traced.trace()
    assert [line for line in told if line[0] == "clash"] == []
    kept: set[str] = set()
    for what, log, number in told:
        if what == "kept":
            kept.add(log)
        assert what != "step" or log not in kept, f"{log}: trained again after it had finished"
        assert what != "step" or number > 0
    differ = undisturbed.result().items() ^ traced.result().items()
    assert not differ, sorted(name for name, _ in differ)
    begun = Counter(log for what, log, _ in told if what == "begin")
    steps = Counter(log for what, log, _ in told if what == "step")
    needed = sum(what == "step" for what, _, _ in undisturbed.trace())
    said = "".join(path.read_text() for path in traced.folder.glob("driver-*.txt"))
    figure("killed driver", "jobs", len(begun))
    figure("killed driver", "attempts at them", sum(begun.values()))
    figure("killed driver", "finished trainings", len(kept))
    figure("killed driver", "of them trained again", 0)
    figure("killed driver", "steps trained / needed", f"{sum(steps.values())} / {needed}")
    figure("killed driver", "results compared bit for bit", len(traced.result()))
    waited = said.count("waiting for another process")
    figure("killed driver", "jobs that waited for an orphan", waited)


def test_an_orphan_is_waited_for(
    undisturbed: Traced, figure: Callable[[str, str, Any], None], long: bool
) -> None:
    if long:
        pytest.skip("the short form shows it")
    traced = undisturbed
    run = "object/kplanes/seed0/baseline-6000"
    driver, said = traced.start(f"results/{run}/model.json")
    while not any(what == "step" and run in log for what, log, _ in traced.trace()):
        assert driver.poll() is None, said.read_text()
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    (orphan,) = traced.living_writers()
    os.kill(orphan, signal.SIGSTOP)  # else it may end before the other one's job begins
    traced.unlock()
    again, said = traced.start(f"results/{run}/model.json")
    while "waiting for another process" not in said.read_text():
        assert again.poll() is None, said.read_text()
        time.sleep(0.05)
    os.kill(orphan, signal.SIGCONT)
    assert again.wait(timeout=300) == 0, said.read_text()
    steps = [number for what, log, number in traced.trace() if what == "step" and run in log]
    assert steps == list(range(1, 6001))
    assert re.search(r"waiting for another process .*: process \d+ on ", said.read_text())
    assert "finished before; its result is taken from" in said.read_text()
    figure("orphan of a killed driver", "steps trained twice", 0)
