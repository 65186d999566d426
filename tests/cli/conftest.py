"""The command line as a user has it, in a folder that passes for the project's."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from project import ROOT
from typer.testing import CliRunner

from dac.cli.main import app
from dac.errors import UserError

Dac = Callable[..., str]


@pytest.fixture
def dac() -> Dac:
    """`dac("new", "fox", ...)` runs a command and returns what it prints; mistakes are raised."""

    def run(*arguments: str, status: int = 0) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if isinstance(result.exception, UserError):
            raise result.exception
        assert result.exit_code == status, (result.output, result.exception)
        return result.output

    return run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the project's configuration, which is the working folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(ROOT / "Snakefile", folder)
    for part in (".", "sizes", "paper"):
        (folder / "config" / part).mkdir(exist_ok=True)
    shutil.copy(ROOT / "config" / "config.yaml", folder / "config")
    for sizes in ("sizes/small.yaml", "paper/blender.yaml", "paper/tanks_and_temples.yaml"):
        shutil.copy(ROOT / "config" / sizes, folder / "config" / sizes)
    monkeypatch.chdir(folder)
    return folder
