"""Layouts that bring no points: the workflow triangulates them where a division needs some."""

from __future__ import annotations

from pathlib import Path

import pytest
from layouts import known_ring, write_nerfpp, write_nsvf
from project import new_project

pytestmark = pytest.mark.slow

WRITERS = {"nerfpp": write_nerfpp, "nsvf": write_nsvf}


@pytest.mark.parametrize("format", ["nerfpp", "nsvf"])
def test_layouts_without_points_are_triangulated(tmp_path: Path, format: str) -> None:
    project = new_project(tmp_path / "dac", lambda folder: WRITERS[format](folder, known_ring()))
    scene = {"name": "ball", "path": "data/ball", "format": format, "division": "louvain", "K": 2}
    project.configure(scenes=[scene])
    planned = project.planned()
    assert planned["import_scene"] == planned["triangulate"] == planned["covisibility"] == 1
    assert not {"sfm", "read_points"} & set(planned)
