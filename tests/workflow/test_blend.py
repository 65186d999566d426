"""A scene that comes as a .blend file, through Snakemake, with a stand-in for Blender."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fake_blender import write_blender
from project import TINY, Project

from dac.scenes.scene import Scene

SCENE = {"name": "disc", "path": "data/disc.blend", "format": "blend"}
SCENE |= {"division": "azimuth", "K": 2}
RENDER = {"train_views": 5, "test_views": 3, "size": 24, "samples": 2, "chunk": 2}
TARGET = "results/disc/scene/scene.json"
FROZEN = {f"freeze_{stage}": 1 for stage in ("blender", "render_views", "views", "import_scene")}


@pytest.fixture
def project(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a .blend file beside its scene, and a Blender."""
    monkeypatch.delenv("FAKE_BLENDER", raising=False)
    monkeypatch.setenv("FAKE_TALLY", str(fresh.folder / "tally"))
    (fresh.folder / "data" / "disc.blend").write_bytes(b"BLENDER")
    write_blender(fresh.folder)
    configure(fresh)
    return fresh


def configure(project: Project, **render: Any) -> None:
    """The configuration: two scenes, one of them a .blend file."""
    section = {**RENDER, "executable": "./blender", **render}
    project.configure(scenes=[*TINY["scenes"], SCENE], render=section)


def rendered(project: Project) -> int:
    tally = project.folder / "tally"
    return len(tally.read_text().splitlines()) if tally.exists() else 0


@pytest.mark.slow
def test_the_plan_has_a_job_for_each_chunk_and_other_scenes_stay_as_they_are(
    project: Project,
) -> None:
    both = project.planned()
    assert both["render_views"] == 3 + 2 and both["views"] == 1
    configure(project, train_views=180, test_views=200, chunk=20)
    assert project.planned()["render_views"] == 9 + 10
    assert project.planned(TARGET) == FROZEN | {"render_views": 19, "views": 1, "import_scene": 1}
    project.configure(scenes=[SCENE])
    disc = project.planned()
    project.configure()
    ball = project.planned()
    assert not [rule for rule in ball if "view" in rule or "blender" in rule]
    shared = {"main_table", "qualitative", "freeze_main_table", "freeze_qualitative"}
    shared |= {f"freeze_{kind}" for kind in ("convergence", "losses", "experts_figure")}
    shared |= {"freeze_points_figure"}
    own = set(both) - shared - {"render_views"}
    assert {rule: both[rule] for rule in own} == {
        rule: ball.get(rule, 0) + disc.get(rule, 0) for rule in own
    }


def test_a_scene_that_is_no_file(project: Project) -> None:
    project.configure(scenes=[SCENE | {"path": "data"}])
    result = project.snakemake("--dry-run")
    assert result.returncode == 1
    line = "error: config/config.yaml: scenes.disc.path: data is no file; name a .blend file"
    assert result.stderr.strip().splitlines()[-1] == line


@pytest.mark.slow
def test_from_the_file_to_a_scene_and_what_runs_again(project: Project) -> None:
    result = project.snakemake("--cores", "2", "--", TARGET)
    assert result.returncode == 0, result.stderr[-4000:]
    folder = project.folder / "results" / "disc"
    scene = Scene.load(folder / "scene")
    assert scene.images.shape == (8, 24, 24, 4)
    assert len(scene.train) == 5 and len(scene.test) == 3
    assert {path.name for path in (folder / "views").iterdir()} == {
        *("train", "test", "transforms_train.json", "transforms_test.json")
    }
    assert rendered(project) == 8
    assert not (project.folder / "results/state/disc/views").exists()
    assert project.planned(TARGET) == {}
    # Another program that does the same.
    configure(project, executable="/usr/bin/blender")
    assert set(project.planned(TARGET)) <= {"freeze_blender"}
    # More views: one chunk grows, one is added.
    configure(project, train_views=8)
    after = {"views": 1, "import_scene": 1}
    assert project.planned(TARGET) == {"render_views": 2, **after}
    configure(project, samples=3)
    again = {"freeze_render_views": 1, "render_views": 5, **after}
    assert project.planned(TARGET) == again
    configure(project)
    assert project.planned(TARGET) == {}
    (project.folder / "data" / "disc.blend").write_bytes(b"BLENDER, another")
    assert project.planned(TARGET) == {"render_views": 5, **after}


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another chunk, too, finds the views that are done."""
    configure(project, chunk=5)
    monkeypatch.setenv("FAKE_BLENDER", "stall 2")
    target = "results/disc/rendered/train-0-4/cameras.json"
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--", target]
    run = subprocess.Popen(
        command, cwd=project.folder, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while rendered(project) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    began = time.monotonic()
    os.killpg(run.pid, signal.SIGTERM)
    run.wait(60)
    blender = Path("/proc", (project.folder / "tally").read_text().split()[0], "cmdline")
    while blender.exists() and blender.read_bytes():
        assert time.monotonic() - began < 30
        time.sleep(0.05)
    assert not (project.folder / target).exists()
    monkeypatch.setenv("FAKE_BLENDER", "")
    configure(project, chunk=4)
    project.snakemake("--unlock")
    result = project.snakemake("--cores", "2", "--rerun-incomplete", "--", TARGET)
    assert result.returncode == 0, result.stderr[-4000:]
    assert rendered(project) == 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "executable", "words"),
    [
        ("", "./no-blender", "error: render.executable: there is no program './no-blender'; "),
        ("die 1", "./blender", "blender: ended by SIGSEGV after 1 of 2 views: dac view: r_"),
    ],
)
def test_a_failure_is_one_line(
    project: Project, monkeypatch: pytest.MonkeyPatch, how: str, executable: str, words: str
) -> None:
    monkeypatch.setenv("FAKE_BLENDER", how)
    configure(project, executable=executable)
    target = "results/disc/rendered/train-2-3/cameras.json"
    result = project.snakemake("--cores", "1", "--", target)
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 2 and lines[1].startswith(lines[0]) and words in lines[0]
    assert "Traceback" not in result.stderr
    assert not (project.folder / target).parent.exists()
