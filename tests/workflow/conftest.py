"""Projects to run Snakemake in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import project
import pytest
from project import TINY, Project


@pytest.fixture(scope="session")
def new_project(write_tiny_scene: Callable[[Path], None]) -> Callable[..., Project]:
    """A function that copies the project into a new folder and gives it a tiny scene."""

    def make(folder: Path, base: Mapping[str, Any] = TINY) -> Project:
        return project.new_project(folder, write_tiny_scene, base)

    return make


@pytest.fixture(scope="session")
def finished(
    new_project: Callable[[Path], Project], tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """A project whose whole workflow has run."""
    project = new_project(tmp_path_factory.mktemp("finished") / "dac")
    result = project.snakemake("--cores", "2")
    assert result.returncode == 0, result.stderr[-8000:]
    return project


@pytest.fixture
def fresh(new_project: Callable[[Path], Project], tmp_path: Path) -> Project:
    """A project in which nothing has run."""
    return new_project(tmp_path / "dac")
