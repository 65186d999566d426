"""Each example, run as its reader would run it, and what it says held against what is true."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from PIL import Image

from dac.cameras import Cameras
from dac.conquer.routed import RoutedModel, save_routed
from dac.divide.router import Router
from dac.fields.model import build_model, load_model, save_model
from dac.training import loop
from dac.training.checkpoints import make_optimizer
from dac.training.images import ImageObjective

ROOT = Path(__file__).parents[2]


def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, capture_output=True, text=True, env=env, timeout=300, check=False
    )


def said(name: str, *arguments: object) -> str:
    done = run(name, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.py")), ids=lambda f: f.stem)
def test_help_begins_with_what_the_example_does(file: Path):
    first = file.read_text(encoding="utf-8").splitlines()[0].removeprefix('"""')
    # argparse wraps lines.
    assert first in " ".join(said(file.name, "--help").split())


def test_groups_of_a_colmap_model(write_tiny_scene: Callable[[Path], None], tmp_path: Path):
    """The ball's cameras stand in a ring, so that two communities are two halves of it."""
    write_tiny_scene(tmp_path / "ball")
    text = said(
        "partition_colmap.py", tmp_path / "ball", "--groups", 2, "--out", tmp_path / "groups.png"
    )
    groups = [re.findall(r"view_(\d+)\.png", line) for line in text.splitlines()]
    groups = [[int(view) for view in group] for group in groups if group]
    tested = {0, 8}  # every 8th
    assert sorted(groups[0] + groups[1]) == sorted(set(range(16)) - tested)
    for group in groups:
        ring = [view in group or view in tested for view in range(16)]
        ends = sum(ring[view] != ring[view - 1] for view in range(16))
        assert ends == 2, f"{group} is no arc"
    with Image.open(tmp_path / "groups.png") as picture:
        assert min(picture.size) > 300


def test_a_missing_model_is_one_line(tmp_path: Path):
    done = run("partition_colmap.py", tmp_path / "nothing")
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path}/nothing: no such data set; check the scene's path\n"


def test_a_student_learns_from_two_fields():
    text = said("distil_two_fields.py", "--steps", 120)
    found = re.findall(r"^(.+): (\S+) dB before, (\S+) dB after$", text, re.MULTILINE)
    assert [name for name, _, _ in found] == [
        "field 0 (92 views)", "field 1 (88 views)", "student of both"
    ]  # fmt: skip
    assert all(float(after) > float(before) + 3 for _, before, after in found)
    *fields, student = [float(after) for _, _, after in found]
    assert student > sum(fields) / 2, "it knows both halves"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one model of the toy scene, which knows the sphere from all around."""
    results = tmp_path_factory.mktemp("results")
    scene = toy.scene()
    scene.save(results / "toy" / "scene")
    train = toy.train_settings()
    model = build_model(toy.model_settings(), scene.space, seed=0)
    objective = ImageObjective(model, scene, scene.train, train, seed=0)
    settings = loop.LoopSettings("toy", 100, rate=lambda step: train.learning_rate)
    loop.train(objective, make_optimizer(model, eps=train.adam_eps), lambda: None, settings)
    folder = results / "toy" / "kplanes" / "seed0" / "baseline-100"
    folder.mkdir(parents=True)
    save_model(model, folder, {})
    return results


def around(count: int) -> Cameras:
    """The orbit that the example should find, by another way: each camera is one on +x, turned.

    Of the training cameras' angles to the pole, 60 degrees is the median; the first stands half a
    step of the ring from +x.
    """
    taken = toy.cameras(toy.TRAIN + toy.TEST)
    steep = math.radians(30)
    radius, height = 4 * math.cos(steep), 4 * math.sin(steep)
    # Columns: right, down, forward, and the centre on +x.
    on_x = np.array(
        [
            [0, math.sin(steep), -math.cos(steep), radius],
            [1, 0, 0, 0],
            [0, -math.cos(steep), -math.sin(steep), height],
        ]
    )
    poses = []
    for frame in range(count):
        turn = 2 * math.pi * (frame / count + 0.5 / len(taken))
        c, s = math.cos(turn), math.sin(turn)
        poses.append(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ on_x)
    index = [0] * count
    return Cameras(
        "perspective",
        toy.SIZE,
        toy.SIZE,
        taken.intrinsics[index],
        taken.distortion[index],
        torch.from_numpy(np.stack(poses)),
    )


def test_frames_of_a_path_show_the_scene_from_there(trained: Path, tmp_path: Path):
    count = 4
    text = said("render_path.py", trained, "--frames", count, "--out", tmp_path / "frames")
    assert text == f"4 frames of toy, baseline, 100 steps: {tmp_path}/frames\n"
    files = sorted((tmp_path / "frames").iterdir())
    assert [file.name for file in files] == [f"{frame:04d}.png" for frame in range(count)]
    cameras = around(count)
    frames = [np.asarray(Image.open(file), np.float64) / 255 for file in files]
    truths = [true_picture(cameras, frame) for frame in range(count)]
    for i, frame in enumerate(frames):
        assert frame.shape == (toy.SIZE, toy.SIZE, 3)
        errors = [float(np.square(frame - truth).mean()) for truth in truths]
        assert int(np.argmin(errors)) == i, errors
        assert errors[i] < 0.01, "20 dB"


def test_a_routed_model_of_equal_experts_shows_what_one_of_them_does(trained: Path, tmp_path: Path):
    """It is the last of a scene's models, so what is shown by default."""
    results = shutil.copytree(trained, tmp_path / "results")
    once = results / "toy/kplanes/seed0/baseline-100"
    scene = toy.scene()
    router = Router.of(scene, toy.halves(scene), 0.5)
    experts = [load_model(once), load_model(once)]
    about = {"seed": 0, "steps": 0, "versions": {}}
    folder = results / "toy/kplanes/seed0/azimuth-2/trunk-25-of-100/routed"
    folder.mkdir(parents=True)
    save_routed(RoutedModel(experts, router), folder, None, about)
    frames = []
    for more in ((), ("--model", "baseline")):
        out = tmp_path / f"frames{len(frames)}"
        text = said("render_path.py", results, "--frames", 1, "--out", out, *more)
        assert ("DaC, routed" in text) == (not more)
        frames.append(np.asarray(Image.open(out / "0000.png"), np.int16))
    assert np.abs(frames[0] - frames[1]).max() <= 1


def true_picture(cameras: Cameras, view: int) -> np.ndarray:
    """The sphere over white, in closed form."""
    row, column = torch.meshgrid(torch.arange(toy.SIZE), torch.arange(toy.SIZE), indexing="ij")
    x, y = column.flatten() + 0.5, row.flatten() + 0.5
    rgba = toy.sphere(*cameras.rays(torch.full((toy.SIZE**2,), view), x.double(), y.double()))
    over_white = rgba[:, :3] * rgba[:, 3:] + (1 - rgba[:, 3:])
    return over_white.view(toy.SIZE, toy.SIZE, 3).double().numpy()
