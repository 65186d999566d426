"""Structure from motion that is killed: what it leaves is taken up, or noticed as damaged."""

from __future__ import annotations

import json
import logging
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from textured_room import room_cameras, room_photos

from dac.errors import UserError
from dac.scenes.formats.colmap_model import read_model
from dac.scenes.sfm.pycolmap_loader import count_rows, load_pycolmap
from dac.scenes.sfm.reconstruct import run_sfm
from dac.scenes.sfm.state import SfmState, is_whole, remove_database
from dac.settings import SfmSettings

SETTINGS = SfmSettings(max_features=800, camera_model="SIMPLE_RADIAL")
VIEWS = 8
STEPS = ("extract_features", "match_exhaustive", "incremental_mapping")


class ReachedError(Exception):
    """Raised in place of a long step."""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos/`, and with `work/` and `out/` of a run."""
    folder = tmp_path_factory.mktemp("room")
    (folder / "photos").mkdir()
    for i, photo in enumerate(room_photos(room_cameras(VIEWS))):
        Image.fromarray(photo).save(folder / "photos" / f"{i}.png")
    run_sfm(folder / "photos", SETTINGS, folder / "out", folder / "work", threads=2)
    return folder


@pytest.fixture
def work(room: Path, tmp_path: Path) -> Path:
    """A copy of the run's state as it was before the mapping ended."""
    work = tmp_path / "work"
    work.mkdir()
    for name in ("database.db", "state.json"):
        shutil.copyfile(room / "work" / name, work / name)
    return work


def forget(work: Path, *steps: str) -> None:
    state = json.loads((work / "state.json").read_text())
    state = {key: value for key, value in state.items() if key not in steps}
    (work / "state.json").write_text(json.dumps(state))


def refuse(monkeypatch: pytest.MonkeyPatch, *steps: str) -> None:
    """Steps that nobody may take."""
    for step in steps:
        monkeypatch.setattr(load_pycolmap(), step, None)


def test_a_finished_run_is_not_repeated(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, *STEPS)
    out = tmp_path / "out"
    report = run_sfm(room / "photos", SETTINGS, out, room / "work", threads=1)
    assert report["registered"] == VIEWS
    for file in (room / "out").iterdir():
        assert (out / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(("camera", "cameras"), [("single", 1), ("per-folder", 2)])
def test_extraction_goes_on_with_what_is_missing(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, camera: str, cameras: int
) -> None:
    photos = tmp_path / "photos"
    names = [f"{'ab'[i // 4]}/{i}.png" for i in range(VIEWS)]
    for name in names:
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(room / "photos" / Path(name).name, photos / name)
    settings = SETTINGS.model_copy(update={"camera": camera})
    pycolmap = load_pycolmap()
    extract, asked = pycolmap.extract_features, []

    def extract_some(database: Path, folder: Path, image_names: list[str], **rest: Any) -> None:
        asked.append(image_names)
        extract(database, folder, image_names=image_names[:2], **rest)
        raise ReachedError

    monkeypatch.setattr(pycolmap, "extract_features", extract_some)
    refuse(monkeypatch, "match_exhaustive")
    for _ in range(3):
        with pytest.raises(ReachedError):
            run_sfm(photos, settings, tmp_path / "out", tmp_path / "work", threads=1)
    # Photos that share a camera together.
    end = 4 if cameras == 2 else VIEWS
    assert asked == [names[:end], names[2:end], names[4:]]
    monkeypatch.setattr(pycolmap, "extract_features", extract)
    with pytest.raises(TypeError, match="not callable"):
        run_sfm(photos, settings, tmp_path / "out", tmp_path / "work", threads=1)
    database = tmp_path / "work" / "database.db"
    assert count_rows(database, "keypoints") == VIEWS
    assert count_rows(database, "cameras") == cameras
    assert json.loads((tmp_path / "work" / "state.json").read_text())["extracted"]


def test_matching_goes_on_with_the_missing_pairs(room: Path, work: Path, tmp_path: Path) -> None:
    pycolmap = load_pycolmap()
    with pycolmap.Database.open(work / "database.db") as database:
        for first, second in ((1, 2), (3, 7), (4, 5)):
            database.delete_matches(first, second)
            database.delete_two_view_geometry(first, second)
        database.delete_matches(1, 3)
        mark = np.array([[5, 7], [8, 1]], np.uint32)
        database.write_matches(1, 3, mark)
        assert database.num_matched_image_pairs() == 25
    forget(work, "matched")
    report = run_sfm(room / "photos", SETTINGS, tmp_path / "out", work, threads=2)
    assert report["registered"] == VIEWS and len(report["cameras"]) == 1
    with pycolmap.Database.open(work / "database.db") as database:
        assert database.num_matched_image_pairs() == 28
        np.testing.assert_array_equal(database.read_matches(1, 3), mark)


def test_a_damaged_database_is_made_again(
    room: Path,
    work: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = work / "database.db"
    whole = file.read_bytes()
    assert is_whole(file)
    for damaged in (whole[: len(whole) // 2], b"x" + whole[1:], b"\0" * len(whole)):
        file.write_bytes(damaged)
        assert not is_whole(file)

    def reach(database: Path, *_: object, **__: object) -> None:
        assert not database.exists()
        raise ReachedError

    monkeypatch.setattr(load_pycolmap(), "extract_features", reach)
    with pytest.raises(ReachedError):
        run_sfm(room / "photos", SETTINGS, tmp_path / "out", work, threads=1)
    assert f"{file}: damaged; it is made again" in caplog.messages
    assert set(json.loads((work / "state.json").read_text())) == {"features", "matches"}


def test_no_room_is_said_before_the_long_work(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, *STEPS)
    usage = shutil.disk_usage(tmp_path)._replace(free=2_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    more = SETTINGS.model_copy(update={"max_features": 900})
    with pytest.raises(UserError, match=r"work: needs about 0\.0022 GB of disk space"):
        run_sfm(room / "photos", more, tmp_path / "out", tmp_path / "work", threads=1)


# --- The state alone ------------------------------------------------------------------------------


def state_of(work: Path, features: str = "f", matches: str = "m", pycolmap: Any = None) -> SfmState:
    return SfmState(pycolmap or load_pycolmap(), work, features, matches)


def test_a_state_never_says_more_than_the_database_holds(tmp_path: Path) -> None:
    state = state_of(tmp_path)
    with load_pycolmap().Database.open(state.database):
        pass
    for step in ("extracted", "pairs", "matched"):
        state.finish(step)
    assert state_of(tmp_path).get("matched")

    class Fails:
        @staticmethod
        def open(_: Path) -> None:
            raise ReachedError

    with pytest.raises(ReachedError):
        state_of(tmp_path, matches="other", pycolmap=SimpleNamespace(Database=Fails))
    again = state_of(tmp_path)
    assert again.get("extracted") and not again.get("matched") and not again.get("pairs")
    again.finish("matched")
    (tmp_path / "database.db-wal").write_text("of the old one")
    other = state_of(tmp_path, features="other")
    assert not other.get("extracted") and not other.get("matched")
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize("text", ["", "[]", "3", '{"features": "f", "matches"', "\0"])
def test_a_damaged_state_is_none(tmp_path: Path, text: str, caplog: Any) -> None:
    state = state_of(tmp_path)
    with load_pycolmap().Database.open(state.database):
        pass
    state.finish("extracted")
    (tmp_path / "state.json").write_text(text)
    with caplog.at_level(logging.WARNING):
        assert not state_of(tmp_path).get("extracted")
    assert not state.database.exists()


def test_a_database_goes_with_its_logs(tmp_path: Path) -> None:
    for name in ("a.db", "a.db-wal", "a.db-shm", "b.db-wal"):
        (tmp_path / name).touch()
    remove_database(tmp_path / "a.db")
    assert [file.name for file in tmp_path.iterdir()] == ["b.db-wal"]


# --- Real kills -----------------------------------------------------------------------------------

JOB = """
import sys
from pathlib import Path
from dac.scenes.sfm.pycolmap_loader import load_pycolmap
from dac.scenes.sfm.reconstruct import run_sfm
from dac.settings import SfmSettings
from dac.process.signals import listening

settings = SfmSettings(max_features=800, camera_model="SIMPLE_RADIAL", mapping=sys.argv[1])
with listening():
    load_pycolmap()  # it sets handlers of its own
    print("ready", flush=True)
    run_sfm(*map(Path, sys.argv[2:3]), settings, *map(Path, sys.argv[3:]), threads=2)
"""


def start(mapping: str, *paths: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", JOB, mapping, *map(str, paths)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
@pytest.mark.parametrize("mapping", ["incremental", "global"])
def test_killed_at_random_moments(room: Path, tmp_path: Path, mapping: str) -> None:
    photos, out, work = room / "photos", tmp_path / "out", tmp_path / "work"
    began = time.monotonic()
    assert start(mapping, photos, tmp_path / "whole", tmp_path / "unkilled").wait(60) == 0
    length = time.monotonic() - began
    moments = random.Random(mapping)
    # Features and matches, most of the time, are the same for both.
    for _ in range(8 if mapping == "incremental" else 3):
        process = start(mapping, photos, out, work)
        time.sleep(moments.uniform(0.0, length))
        number = moments.choice([signal.SIGKILL, signal.SIGTERM])
        process.send_signal(number)
        told = time.monotonic()
        status = process.wait(timeout=60)
        assert time.monotonic() - told < 10
        if out.exists():  # told when all was done, perhaps while Python ended
            break
        assert status in (-signal.SIGKILL, 128 + number)
        database = work / "database.db"
        assert not database.exists() or is_whole(database)
    else:
        assert start(mapping, photos, out, work).wait(60) == 0
    found, expected = (read_model(folder) for folder in (out, tmp_path / "whole"))
    names = {image.name for image in found.images.values()}
    assert names == {image.name for image in expected.images.values()} and len(names) == VIEWS
    assert len(found.cameras) == len(expected.cameras) == 1
