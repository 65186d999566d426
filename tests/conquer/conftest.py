"""The toy scene, saved, for tests of the conquer phase."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import toy


@pytest.fixture(scope="session")
def toy_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy scene's folder; beside it its partition into two halves."""
    folder = tmp_path_factory.mktemp("toy")
    scene = toy.scene()
    scene.save(folder / "scene")
    toy.halves(scene).save(folder / "partition.json")
    return folder / "scene"
