"""A scene that comes as a video, through Snakemake: frames, structure from motion, a scene."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from filming import panned, write_video
from PIL import Image
from project import ROOT, TINY, Project

from dac.scenes.scene import Scene

SQUARE = ROOT / "scenes" / "village-square" / "images"
SCENE = {"name": "square", "path": "data/square.mp4", "format": "video"}
SCENE |= {"division": "louvain", "K": 2}
TARGET = "results/square/scene/scene.json"
FRAMES = "results/square/frames/frames.json"
FROZEN = {f"freeze_{stage}": 1 for stage in ("frames", "sfm", "import_scene")}
JOBS = {"frames": 1, "sfm": 1, "import_scene": 1}


def configure(project: Project, **sections: Any) -> None:
    """Two scenes, one of them a video."""
    project.configure(scenes=[*TINY["scenes"], SCENE], **sections)


@pytest.fixture
def project(fresh: Project) -> Project:
    """A project with a file in the video's place."""
    (fresh.folder / "data" / "square.mp4").write_bytes(b"no video")
    configure(fresh)
    return fresh


def test_the_plan(project: Project) -> None:
    assert project.planned(TARGET) == FROZEN | JOBS


def test_a_scene_that_is_no_file(project: Project) -> None:
    project.configure(scenes=[SCENE | {"path": "data"}])
    result = project.snakemake("--dry-run")
    assert result.returncode == 1
    line = "error: config/config.yaml: scenes.square.path: data is no file; name a video file"
    assert result.stderr.strip().splitlines()[-1] == line


@pytest.mark.slow
def test_a_damaged_video_is_one_line(project: Project) -> None:
    result = project.snakemake("--cores", "1", "--", FRAMES)
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 2 and lines[1].startswith(lines[0])
    assert lines[0].startswith("error: data/square.mp4: can't be decoded (")
    assert "Traceback" not in result.stderr
    assert not (project.folder / FRAMES).parent.exists()


@pytest.mark.slow
def test_what_runs_again(project: Project) -> None:
    write_video(project.folder / "data" / "square.mp4", panned(range(0, 120, 4)))
    configure(project, video={"frames": 5})
    result = project.snakemake("--cores", "1", "--", FRAMES)
    assert result.returncode == 0, result.stderr[-4000:]
    photos = project.folder / "results/square/frames/photos"
    assert len(list(photos.glob("*.jpg"))) == 5
    rest = {"freeze_sfm": 1, "freeze_import_scene": 1, "sfm": 1, "import_scene": 1}
    assert project.planned(FRAMES) == {} and project.planned(TARGET) == rest
    configure(project, video={"frames": 5}, sfm={"max_features": 500})
    assert project.planned(FRAMES) == {}
    configure(project, video={"frames": 6})
    assert project.planned(FRAMES) == {"freeze_frames": 1, "frames": 1}
    configure(project, video={"frames": 5})
    assert project.planned(FRAMES) == {}
    write_video(project.folder / "data" / "square.mp4", panned(range(0, 90, 3)))
    assert project.planned(FRAMES) == {"frames": 1}


@pytest.mark.slow
def test_from_a_walk_to_a_scene(project: Project) -> None:
    """Photos of the embedded square in walking order, each between two that are out of focus."""
    pictures = []
    for file in sorted(SQUARE.glob("*.jpg"))[:14]:
        image = Image.open(file).convert("RGB")
        sharp = np.asarray(image)
        soft = np.asarray(image.resize((64, 48)).resize(image.size, Image.Resampling.BICUBIC))
        pictures += [soft, sharp, soft]
    write_video(project.folder / "data" / "square.mp4", pictures, crf="12")
    video = {"frames": 40, "longest_side": 400}
    sfm = {"minimum_registered": 0.5, "camera_model": "SIMPLE_RADIAL", "max_features": 2000}
    configure(project, video=video, sfm=sfm)
    result = project.snakemake("--cores", "2", "--", TARGET)
    assert result.returncode == 0, result.stderr[-4000:]
    frames = json.loads((project.folder / FRAMES).read_text())["frames"]
    assert len(frames) >= 12 and all(frame["frame"] % 3 == 1 for frame in frames)
    scene = Scene.load(project.folder / "results" / "square" / "scene")
    assert len(scene.names) >= 7
    assert set(scene.names) <= {frame["name"] for frame in frames}
    assert scene.images.shape[1:] == (300, 400, 3)
    assert project.planned(TARGET) == {}
