"""Projects to run Snakemake in."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import project
import pytest
from project import STUDIED, TINY, Project


@pytest.fixture(scope="session")
def new_project(write_tiny_scene: Callable[[Path], None]) -> Callable[..., Project]:
    """A function that copies the project into a new folder and gives it a tiny scene."""

    def make(folder: Path, base: Mapping[str, Any] = TINY) -> Project:
        return project.new_project(folder, write_tiny_scene, base)

    return make


@pytest.fixture(scope="session")
def studied(
    new_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Project:
    """A project in which all studies have run: once for the processes that test side by side."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "studied"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "run.log").exists():
            result = new_project(shared, STUDIED).snakemake("--cores", "2")
            assert result.returncode == 0, result.stderr[-8000:]
            (shared / "run.log").write_text(result.stdout + result.stderr)
    return Project(shared, STUDIED).copy_to(tmp_path_factory.mktemp("studied") / "dac")


@pytest.fixture(scope="session")
def finished(studied: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same, whose configuration has the main study alone."""
    project = studied.copy_to(tmp_path_factory.mktemp("finished") / "dac")
    project.base["studies"] = ["main"]
    project.configure()
    return project


@pytest.fixture
def fresh(new_project: Callable[[Path], Project], tmp_path: Path) -> Project:
    """A project in which nothing has run."""
    return new_project(tmp_path / "dac")
