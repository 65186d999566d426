"""The tutorial's way from data to a report, each command as it stands there, on a tiny scene."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import project
import pytest
import yaml
from doc_pages import ROOT, commands

PAGE = ROOT / "docs" / "tutorial.md"
# Each walk's scene and data, as the page names them.
WALKS = {
    "my_fox": "data/fox/images",
    "room": "data/room.mp4",
    "square": "data/square",
    "my_lego": "data/lego_400",
}


def walks() -> dict[str, list[str]]:
    """The page's commands from data to a report, by scene."""
    return {
        scene: [
            command
            for command in commands(PAGE)
            if re.search(rf"\b{scene}\b", command) and "partition.png" not in command
        ]
        for scene in WALKS
    }


def test_all_walks_are_one():
    """They differ in names and data; the first goes on to pictures, points and a mesh."""
    first, *others = (
        [command.replace(WALKS[scene], "DATA").replace(scene, "SCENE") for command in walk]
        for scene, walk in walks().items()
    )
    assert [command.split()[:2] for command in first[:4]] == [
        ["dac", "new"],
        ["snakemake", "--cores"],
        ["dac", "status"],
        ["dac", "report"],
    ]
    assert others == [first[:4]] * 3


@pytest.mark.slow
def test_the_walk(tmp_path: Path, write_tiny_scene: Callable[[Path], None]):
    """No file is edited; each command succeeds, and leaves what it names.

    But for clouds and meshes: so short a training makes no surface. tests/export runs these.
    """
    copy = project.new_project(tmp_path / "dac", write_tiny_scene)
    sections = ("model", "train", "distill", "finetune", "evaluate")
    small = {section: project.TINY[section] for section in sections}
    (copy.folder / "config" / "sizes").mkdir()
    (copy.folder / "config" / "sizes" / "small.yaml").write_text(yaml.safe_dump(small))
    shutil.move(copy.folder / "data" / "ball", copy.folder / WALKS["my_fox"])
    *walk, cloud, mesh = walks()["my_fox"]
    assert cloud.startswith("dac export cloud") and mesh.startswith("dac export mesh")
    for command in walk:
        done = subprocess.run(
            [sys.executable, "-m", *shlex.split(command)],
            cwd=copy.folder,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr[-4000:])
        if "--out" in command:
            assert (copy.folder / command.split("--out")[1].strip()).stat().st_size > 0
    results = copy.folder / "results" / "my_fox"
    assert (results / "tables" / "main.csv").is_file()
    assert list(results.glob("report*.html"))
