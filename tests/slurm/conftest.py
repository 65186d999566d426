"""The throw-away Slurm, and what happened to a workflow on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import project
import pytest
import story
from cluster import CannotStartError, throw_away_cluster


@pytest.fixture(scope="session")
def slurm() -> Iterator[Path]:
    """A Slurm of our own; the folder of its logs."""
    try:
        with throw_away_cluster() as folder:
            yield folder
    except CannotStartError as error:
        pytest.exit(f"error: {error}", returncode=1)


@pytest.fixture(scope="session")
def told(
    slurm: Path,
    write_tiny_scene: Callable[[Path], None],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> story.Story:
    """A workflow that ran on it, and lost jobs, node and Snakemake on its way."""
    folder = tmp_path_factory.mktemp("slurm") / "dac"
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    terminal.write_line("")
    return story.tell(project.new_project(folder, write_tiny_scene), terminal.write_line)
