"""`dac render` and `dac export` as a user types them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import trimesh
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

import dac
from dac.cli.main import app
from dac.errors import UserError
from dac.evaluation.pictures import to_uint8
from dac.evaluation.render import render_view
from dac.export import video
from dac.export.camera import look_at
from dac.fields.model import load_model
from dac.scenes.scene import Scene


def run(results: Path, *words: str) -> str:
    """What the command says on standard output; a mistake is raised."""
    return said_by(*words, "--results", str(results))


def said_by(*words: str) -> str:
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_commands_import_nothing_heavy() -> None:
    heavy = "torch", "numpy", "scipy", "av", "trimesh", "skimage", "PIL"
    code = f"import sys, dac.cli.main; print(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_model_file(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "toy.safetensors"
    said = run(results, "export", "model", "--out", str(out), "--model", "baseline")
    assert "toy.safetensors: 0.16 MB, test PSNR" in said
    assert "# baseline, 20 steps: toy" in (tmp_path / "toy.md").read_text()
    assert dac.load(out).render(width=12).rgb.shape == (12, 12, 3)


def test_a_still_is_the_test_view(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "view.png"
    run(results, "render", "still", "--view", "2", "--out", str(out), "--model", "baseline")
    scene = Scene.load(results / "toy/scene")
    model = load_model(results / "toy/kplanes/seed0/baseline-20")
    expected = render_view(model, scene.cameras, scene.test[2], torch.ones(3), 8192)
    assert np.array_equal(np.asarray(Image.open(out)), to_uint8(expected.rgb))
    depth = tmp_path / "depth.png"
    run(results, "render", "still", "--view", "2", "--what", "depth", "--out", str(depth),
        "--model", "baseline")  # fmt: skip
    assert np.array_equal(np.load(tmp_path / "depth.npy"), expected.depth.numpy())


def test_a_still_from_a_camera(results: Path, tmp_path: Path) -> None:
    camera = tmp_path / "camera.json"
    pose = look_at((3.0, 2.0, 1.0), (0.0, 0.0, 0.0)).tolist()
    frame = {"world_from_camera": pose, "fov_degrees": 45}
    camera.write_text(json.dumps({"version": 1, "keyframes": [frame]}))
    out = tmp_path / "still.png"
    said = run(results, "render", "still", "--camera", str(camera), "--size", "31x17", "--what",
               "normals", "--out", str(out))  # fmt: skip
    assert "normals, 31x17" in said and Image.open(out).size == (31, 17)
    with pytest.raises(UserError, match="--camera: says where to look from, and so does --view"):
        run(results, "render", "still", "--camera", str(camera), "--view", "1", "--out", str(out))


@pytest.mark.parametrize("path", ["orbit", "spiral", "file"])
def test_videos(results: Path, tmp_path: Path, path: str) -> None:
    if path == "file":
        poses = [look_at((3.0, y, 1.0), (0.0, 0.0, 0.0)).tolist() for y in (-1.0, 0.0, 2.0)]
        frames = [
            {"world_from_camera": pose, "fov_degrees": 45, "seconds": 0.2 * i}
            for i, pose in enumerate(poses)
        ]
        path = str(tmp_path / "path.json")
        Path(path).write_text(json.dumps({"version": 1, "fps": 10, "keyframes": frames}))
        words, count, size = [], 4, (24, 24)
    else:
        words = ["--seconds", "0.5", "--fps", "12", "--size", "32x20"]
        count, size = 6, (32, 20)
    out = tmp_path / "v.mp4"
    said = run(results, "render", "video", "--path", path, *words, "--out", str(out),
               "--what", "depth")  # fmt: skip
    assert f"{count} frames of {size[0]}x{size[1]}" in said
    with av.open(out) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == count and frames[0].shape == (size[1], size[0], 3)


def test_clouds_and_meshes(results: Path, tmp_path: Path) -> None:
    scene = Scene.load(results / "toy/scene")
    words = ["--views", "3", "--opacity", "0.01", "--resolution", "40"]
    for name, more in (("a", []), ("b", ["--world"])):
        out = str(tmp_path / f"{name}.ply")
        said = run(results, "export", "cloud", *words, "--out", out, *more)
        assert f"{len(trimesh.load(out).vertices):,} points of 3 views" in said
    for name, more in (("c", []), ("d", ["--world"])):
        out = str(tmp_path / f"{name}.ply")
        run(results, "export", "mesh", "--resolution", "24", "--threshold", "0.01", "--out", out,
            *more)  # fmt: skip
    for ours, theirs in ("ab", "cd"):
        points, moved = (trimesh.load(tmp_path / f"{n}.ply").vertices for n in (ours, theirs))
        similarity = scene.world_from_data
        assert np.allclose(moved @ similarity[:3, :3].T + similarity[:3, 3], points, atol=1e-5)


@pytest.fixture
def path_file(tmp_path: Path) -> Path:
    poses = [look_at((3.0, y, 1.0), (0.0, 0.0, 0.0)).tolist() for y in (-1.0, 2.0)]
    frames = [
        {"world_from_camera": pose, "fov_degrees": 45, "seconds": 0.2 * i}
        for i, pose in enumerate(poses)
    ]
    file = tmp_path / "path.json"
    file.write_text(json.dumps({"version": 1, "fps": 10, "keyframes": frames}))
    return file


# Whatever a results folder gives, by the same words.
WORDS = {
    "video.mp4": "render video --path orbit --seconds 0.3 --fps 10",
    "depth.mp4": "render video --path orbit --seconds 0.2 --fps 10 --what depth",
    "spiral.mp4": "render video --path spiral --seconds 0.2 --fps 10 --size 30x20",
    "keyframes.mp4": "render video --path {path}",
    "still.png": "render still --camera {path} --size 31x17",
    "depth.png": "render still --camera {path} --what depth",
    "cloud.ply": "export cloud --views 3 --opacity 0.01 --resolution 40 --world",
    "splats.ply": "export splats --views 3 --opacity 0.01 --resolution 40 --world",
    "mesh.ply": "export mesh --resolution 24 --threshold 0.01 --world",
}


@pytest.mark.parametrize("kind", ["baseline", "routed"])
@pytest.mark.parametrize("out", WORDS)
def test_a_model_file_gives_the_same_bytes(
    results: Path,
    path_file: Path,
    tmp_path: Path,
    out: str,
    kind: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of videos, the frames: FFmpeg doesn't always make the same bytes of them."""

    def write_frames(path: Path, frames: Iterable[NDArray[np.uint8]], *_: object) -> str:
        path.write_bytes(b"".join(frame.tobytes() for frame in frames))
        return "frames"

    monkeypatch.setattr(video, "encode", write_frames)
    exported = request.getfixturevalue("exported" if kind == "baseline" else "routed")
    words = WORDS[out].format(path=path_file).split()
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    said = said_by(*words[:2], str(exported), *words[2:], "--out", str(ours / out))
    expected = run(results, *words, "--model", kind, "--out", str(theirs / out))
    timeless = re.compile(r"; [0-9.]+ s a frame|\S*/(ours|theirs)/")
    assert timeless.sub("", said) == timeless.sub("", expected)
    files = sorted(file.name for file in ours.iterdir())
    assert files == sorted({out, out.replace("depth.png", "depth.npy")})
    for name in files:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name


def test_a_still_of_a_model_file_is_its_own_view(exported: Path, tmp_path: Path) -> None:
    out = tmp_path / "still.png"
    said_by("render", "still", str(exported), "--out", str(out))
    expected = to_uint8(dac.load(exported).render().rgb)
    assert np.array_equal(np.asarray(Image.open(out)), expected)


def test_an_older_model_file_has_all_but_paths_of_its_own(
    version_1: Path, exported: Path, path_file: Path, tmp_path: Path
) -> None:
    for name, file in (("old", version_1), ("new", exported)):
        words = ("--camera", str(path_file), "--out", str(tmp_path / f"{name}.png"))
        said_by("render", "still", str(file), *words)
    assert (tmp_path / "old.png").read_bytes() == (tmp_path / "new.png").read_bytes()
    for path in ("orbit", "spiral"):
        out = tmp_path / "v.mp4"
        with pytest.raises(UserError, match=r"holds no training cameras.*; export it again, or"):
            said_by("render", "video", str(version_1), "--path", path, "--out", str(out))
        assert not out.exists()


def test_a_model_file_and_a_results_folder_are_two_things(
    results: Path, exported: Path, tmp_path: Path
) -> None:
    words = ["render", "still", "--out", str(tmp_path / "out.png")]
    for option, value in (("--results", results), ("--scene", "toy"), ("--model", "dac")):
        with pytest.raises(UserError, match=f"^{option}: the model is .* already; drop {option}"):
            said_by(*words, str(exported), option, str(value))
    with pytest.raises(
        UserError, match=f"is a folder, not a model file; write --results {results}"
    ):
        said_by(*words, str(results))
    with pytest.raises(UserError, match="--view 2: a model file holds no test views"):
        said_by(*words, str(exported), "--view", "2")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["render", "video", "--out", "v.mp4", "--size", "33x20"], "--size: a video of 33x20"),
        (["render", "video", "--out", "v.mp4", "--size", "0x20"], "--size 0x20: is no size"),
        (["render", "video", "--out", "v.mp4", "--path", "none.json"], "none.json: no such file"),
        (["render", "still", "--out", "v.jpg"], "ends in .png"),
        (["render", "still", "--out", "v.png", "--view", "4"], "has 4 test views"),
        (["render", "still", "--out", "v.png", "--model", "dac"], "holds no model dac"),
        (["export", "model", "--out", "model.bin"], "ends in .safetensors"),
        (["export", "mesh", "--out", "m.stl"], "ends in .ply or .glb"),
        (["export", "cloud", "--out", "c.xyz"], "ends in .ply"),
        (
            ["export", "mesh", "--out", "m.ply", "--threshold", "1e9", "--resolution", "16"],
            "passes 1e+09 nowhere",
        ),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    results: Path, tmp_path: Path, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        run(results, *words)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
