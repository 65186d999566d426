"""From a .blend file to a data set, with a stand-in for Blender (fake_bpy)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fake_blender import write_blender
from PIL import Image

from dac.errors import UserError
from dac.scenes.importer import import_scene
from dac.scenes.photos.blend import (
    DISTANCE,
    Chunk,
    assemble,
    chunks_of,
    poses_of,
    render_chunk,
)
from dac.scenes.photos.viewpoints import hemisphere_candidates
from dac.settings import RenderSettings, SceneSettings

SMALL = RenderSettings(train_views=5, test_views=3, size=24, samples=2, chunk=2, candidates=500)
FIRST, ALL = Chunk("train", 0, 3), Chunk("train", 0, 4)
TEST = Chunk("test", 0, 2)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def blend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that the stand-in takes for a .blend file, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FAKE_BLENDER", raising=False)
    monkeypatch.setenv("FAKE_TALLY", str(tmp_path / "tally"))
    write_blender(tmp_path)
    file = tmp_path / "ball.blend"
    file.write_bytes(b"BLENDER")
    return file


def render(blend: Path, chunk: Chunk = FIRST, settings: RenderSettings = SMALL) -> Path:
    """Render a chunk beside the file, and return its folder."""
    out = blend.with_name(f"{chunk.part}-{chunk.first}-{chunk.last}")
    work = blend.with_name("work")
    program = str(blend.with_name("blender"))
    render_chunk(
        blend, settings, chunk, out, work, executable=program, threads=1, label="ball views"
    )
    return out


def rendered(blend: Path) -> int:
    """How many views the stand-in has rendered so far."""
    tally = blend.with_name("tally")
    return len(tally.read_text().splitlines()) if tally.exists() else 0


def pictures(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


# --- Cameras and chunks ---------------------------------------------------------------------------


def test_every_view_is_in_one_chunk() -> None:
    for train, test, size in ((180, 200, 20), (1, 1, 1), (7, 3, 4), (5, 5, 100)):
        settings = RenderSettings(train_views=train, test_views=test, chunk=size)
        chunks = chunks_of(settings)
        for part, count in (("train", train), ("test", test)):
            names = [name for chunk in chunks if chunk.part == part for name in chunk.names]
            assert names == [f"r_{i:03}" for i in range(count)]
        assert all(1 <= len(chunk.names) <= size for chunk in chunks)
    assert len(chunks_of(RenderSettings())) == 9 + 10


@pytest.mark.parametrize("chunk", [Chunk("train", 0, 179), Chunk("test", 0, 199)])
def test_cameras_are_spread_over_the_hemisphere_and_look_at_its_centre(chunk: Chunk) -> None:
    settings = RenderSettings(radius=2.5, minimum_elevation=10)
    poses = poses_of(settings, chunk)
    centres = poses[:, :3, 3]
    assert poses.shape == (len(chunk.names), 4, 4)
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 2.5, rtol=1e-12)
    assert centres[:, 2].min() >= 2.5 * np.sin(np.radians(10)) - 1e-12
    np.testing.assert_allclose(poses[:, :3, 2], centres / 2.5, atol=1e-12)  # z is backwards
    np.testing.assert_allclose(poses[:, 2, 0], 0, atol=1e-12)  # and the horizon level
    assert (poses[:, 2, 1] > 0).all()

    def gap(points: np.ndarray) -> float:
        distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
        return float((distances + 1e9 * np.eye(len(points))).min())

    random = [gap(hemisphere_candidates(len(centres), 2.5, seed)) for seed in range(20)]
    assert gap(centres) > 3 * max(random)


def test_a_view_s_camera_depends_on_no_chunk_and_no_number_of_views() -> None:
    whole = poses_of(RenderSettings(), Chunk("train", 0, 179))
    for first, last in ((0, 0), (19, 40), (160, 179)):
        part = poses_of(RenderSettings(train_views=200), Chunk("train", first, last))
        np.testing.assert_array_equal(part, whole[first : last + 1])


def test_training_and_test_views_are_others() -> None:
    train, test = (
        poses_of(RenderSettings(), Chunk(part, 0, 179))[:, :3, 3] for part in ("train", "test")
    )
    assert np.linalg.norm(train[:, None] - test[None], axis=-1).min() > 0
    other = poses_of(RenderSettings(seed=1), Chunk("train", 0, 179))[:, :3, 3]
    for seen in (train, test):
        assert np.linalg.norm(seen[:, None] - other[None], axis=-1).min() > 0


# --- Rendering ------------------------------------------------------------------------------------


def test_chunks_become_a_data_set_that_reads_back(blend: Path) -> None:
    """Of a file in other units and with another centre, too."""
    settings = SMALL.model_copy(update={"centre": (0.3, -0.2, 0.1), "radius": 7.0})
    folders = [render(blend, chunk, settings) for chunk in chunks_of(settings)]
    for folder in folders:
        (folder / "images" / ".snakemake_timestamp").touch()
    assemble(folders, blend.with_name("views"), blend.with_name("work"))
    assert not blend.with_name("work").exists()
    assert not list(blend.with_name("views").rglob(".*"))
    scene = import_scene(blend.with_name("views"), "blender", SceneSettings(), name="ball")
    names = [f"{chunk.part}/{name}.png" for chunk in (TEST, ALL) for name in chunk.names]
    assert scene.names == tuple(names)
    assert len(scene.train) == 5 and len(scene.test) == 3
    assert scene.images.shape == (8, 24, 24, 4)
    wanted = np.concatenate([poses_of(settings, chunk) for chunk in (TEST, ALL)])
    centres = wanted[:, :3, 3] * DISTANCE / 7.0
    np.testing.assert_allclose(scene.cameras.centres.numpy(), centres, atol=1e-12)
    axes = scene.cameras.world_from_camera[:, :, :3].numpy() * [1, -1, -1]
    np.testing.assert_allclose(axes, wanted[:, :3, :3], atol=1e-12)
    assert scene.cameras.intrinsics[0, 0] == pytest.approx(12 / np.tan(0.6911112 / 2))


def test_what_blender_is_told(blend: Path) -> None:
    settings = SMALL.model_copy(update={"centre": (1.0, 2.0, 3.0), "seed": 2**31 - 2})
    render(blend, settings=settings)
    told = json.loads(next(blend.with_name("work").rglob("0-3.json")).read_text())
    poses = poses_of(settings, FIRST)
    poses[:, :3, 3] += (1.0, 2.0, 3.0)
    np.testing.assert_array_equal([view["pose"] for view in told["views"]], poses)
    seeds = [view["seed"] for view in told["views"]]
    assert len(set(seeds)) == 4 and all(0 <= seed < 2**31 for seed in seeds)
    assert told["blend"] == str(blend) and told["samples"] == 2 and told["threads"] == 1


def test_more_views_or_another_chunk_or_program_find_those_that_are_there(blend: Path) -> None:
    render(blend)
    assert rendered(blend) == 4
    changes = {"train_views": 9, "chunk": 5, "executable": "other"}
    render(blend, Chunk("train", 0, 5), SMALL.model_copy(update=changes))
    assert rendered(blend) == 6
    render(blend, settings=SMALL.model_copy(update={"samples": 3}))
    assert rendered(blend) == 10
    blend.write_bytes(b"BLENDER, changed")
    render(blend)
    assert rendered(blend) == 14


def test_a_damaged_picture_is_rendered_anew(blend: Path) -> None:
    before = pictures(render(blend) / "images")
    kept = sorted(blend.with_name("work").rglob("r_*.png"))
    for number, damage in enumerate((lambda b: b[:-30], lambda b: b"", _flipped)):
        file = kept[number]
        content = damage(file.read_bytes())
        file.unlink()  # the output has the same file by another name
        file.write_bytes(content)
    assert pictures(render(blend) / "images") == before
    assert rendered(blend) == 4 + 3


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def test_a_crash_when_all_is_done_does_no_harm(
    blend: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_BLENDER", "crash")
    assert len(pictures(render(blend) / "images")) == 4


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("fail 2", "ball.blend: view r_002 can't be rendered (Error: Render error (No space"),
        ("die 2", "blender: ended by SIGSEGV after 2 of 4 views: dac view: r_001; see this job's"),
        ("blind", "ball.blend: nothing is to be seen in any view of train r_000 and on; check"),
    ],
)
def test_what_goes_wrong_is_one_line_and_what_is_done_is_kept(
    blend: Path, monkeypatch: pytest.MonkeyPatch, how: str, message: str
) -> None:
    monkeypatch.setenv("FAKE_BLENDER", how)
    with pytest.raises(UserError) as caught:
        render(blend)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not blend.with_name("train-0-3").exists()
    if how != "blind":
        monkeypatch.setenv("FAKE_BLENDER", "")
        assert rendered(blend) == 2
        render(blend)
        assert rendered(blend) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no such thing", "ball.blend: can't be opened (Error: File format is not supported"),
        (b"BLENDER lamp", "ball.blend: holds no object that can be rendered (scene 'Scene')"),
    ],
)
def test_a_bad_file_is_one_line(blend: Path, content: bytes, message: str) -> None:
    blend.write_bytes(content)
    with pytest.raises(UserError) as caught:
        render(blend)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "render.executable: there is no program '{}'; install Blender, or bpy into"),
        ("#!/bin/sh\necho Krita 5", "blender: is neither Blender nor Python"),
        ("#!/bin/sh\necho Blender 4.5; exit 1", "blender: is neither Blender nor Python"),
        ("#!/no/such/shell", "blender: can't be started (No such file or directory)"),
        (
            "#!/bin/sh\ncase $1 in --version) echo Blender 4.5;; *) echo no licence; exit 7; esac",
            "blender: ended with status 7 after 0 of 4 views: no licence; see this job's log",
        ),
        (
            "#!/bin/sh\ncase $1 in --version) echo Blender 4.5; esac",
            "blender: ended with status 0 after 0 of 4 views",
        ),
        (
            f'#!/bin/sh\nexec "{sys.executable}" "$@"',
            "after 0 of 4 views: ModuleNotFoundError: No module named 'bpy'; see this job's log; "
            "render.executable names Blender, or a Python that has bpy",
        ),
    ],
)
def test_a_bad_program_is_one_line(blend: Path, script: str | None, message: str) -> None:
    program = blend.with_name("blender")
    program.unlink()
    if script is not None:
        program.write_text(script + "\n")
        program.chmod(0o755)
    with pytest.raises(UserError) as caught:
        render(blend)
    assert message.format(program) in str(caught.value)


def test_a_python_that_has_bpy_will_do(blend: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = ROOT / "tests" / "scenes" / "fake_bpy"
    blend.with_name("blender").write_text(
        f'#!/bin/sh\nPYTHONPATH="{fake}" exec "{sys.executable}" "$@"\n'
    )
    assert len(pictures(render(blend) / "images")) == 4


# A job that renders a chunk and is killed on the way.
JOB = """
import sys
from pathlib import Path
from dac.scenes.photos.blend import Chunk, render_chunk
from dac.settings import RenderSettings
from dac.process.signals import listening

settings = RenderSettings.model_validate_json(sys.argv[1])
with listening():
    render_chunk(
        Path("ball.blend"), settings, Chunk("train", 0, 3), Path("train-0-3"), Path("work"),
        executable="./blender", threads=1, label="ball",
    )
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_job_keeps_what_is_done(
    blend: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setenv("FAKE_BLENDER", "stall 3")
    command = [sys.executable, "-c", JOB, SMALL.model_dump_json()]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    job = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    # The stand-in tallies a view before it has written its picture.
    _wait(lambda: len(list(blend.with_name("work").rglob("r_*.png"))) == 3)
    assert rendered(blend) == 3
    blender = int(blend.with_name("tally").read_text().split()[0])
    began = time.monotonic()
    job.send_signal(number)
    job.wait(30)
    assert time.monotonic() - began < 5
    if number == signal.SIGTERM:
        assert job.returncode == 128 + number
        _wait(lambda: not _runs(blender))
    else:  # a stand-in that waits for ever doesn't look whether its caller is there
        os.kill(blender, signal.SIGKILL)
    assert not blend.with_name("train-0-3").exists()
    monkeypatch.setenv("FAKE_BLENDER", "")
    kept = {file: file.stat().st_mtime_ns for file in blend.with_name("work").rglob("r_*.png")}
    assert len(kept) == 3
    images = pictures(render(blend) / "images")
    assert rendered(blend) == 4
    assert all(file.stat().st_mtime_ns == time for file, time in kept.items())
    for file in blend.with_name("work").rglob("r_*.png"):
        file.unlink()
    assert pictures(render(blend) / "images") == images  # to the byte


def test_blender_ends_when_its_caller_is_gone(blend: Path) -> None:
    """The job dies at once by SIGKILL, and nobody tells Blender."""
    slow = blend.with_name("slow.py")
    slow.write_text(
        "import runpy, sys, time\n"
        "import bpy\n"
        "draw = bpy.ops.render.render\n"
        "bpy.ops.render.render = lambda write_still: (time.sleep(0.5), draw(write_still))\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    program = blend.with_name("blender")
    program.write_text(program.read_text().replace(' -P "$2"', f' -P {slow} "$2"'))
    command = [sys.executable, "-c", JOB, SMALL.model_dump_json()]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    job = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _wait(lambda: rendered(blend) == 1)
    blender = int(blend.with_name("tally").read_text().split()[0])
    job.kill()
    job.wait()
    _wait(lambda: not _runs(blender))
    assert rendered(blend) <= 2  # with the view that it was at


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait(until: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_pictures_have_the_colours_of_their_place(blend: Path) -> None:
    """The stand-in draws what its camera sees, so the files hold the views that they are named."""
    folder = render(blend)
    for i, pose in enumerate(poses_of(SMALL, FIRST)):
        pixels = np.asarray(Image.open(folder / "images" / f"r_00{i}.png"))
        middle = pixels[11:13, 11:13].reshape(-1, 4).mean(axis=0)
        nearest = pose[:3, 3] / DISTANCE
        np.testing.assert_allclose(middle[:2], 127 + 120 * nearest[:2], atol=8)
        assert middle[3] == 255 and pixels[0, 0, 3] == 0
