"""Where the workflow lies: beside the package in a checkout, else inside it (setup.py)."""

from __future__ import annotations

from pathlib import Path

from dac.storage.provenance import PACKAGE

_INSTALLED = PACKAGE / "project"
PROJECT = _INSTALLED if _INSTALLED.is_dir() else PACKAGE.parent
SNAKEFILE = PROJECT / "Snakefile"
# The configuration that all others lie on top of.
DEFAULT_CONFIG = PROJECT / "config" / "config.yaml"


def in_project() -> bool:
    """Whether the working folder is a project's, with a workflow of its own."""
    return Path("Snakefile").is_file() and Path("config", "config.yaml").is_file()
