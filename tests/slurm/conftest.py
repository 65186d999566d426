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
    plugins = request.config.pluginmanager
    terminal, capture = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            terminal.write_line(line)

    return story.tell(project.new_project(folder, write_tiny_scene), say)
