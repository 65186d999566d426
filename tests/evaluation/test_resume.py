"""A killed evaluation goes on: nothing is lost but a view, and the result is the same."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dac.errors import UserError
from dac.evaluation import render
from dac.evaluation.evaluate import evaluate_experts
from dac.evaluation.records import ImageScore
from dac.evaluation.scoring import Scorer
from dac.evaluation.view_store import ScoredView, ViewStore
from dac.settings import EvaluateSettings

SETTINGS = EvaluateSettings(chunk_rays=100, pictures=2)
LABEL = {"method": "experts", "model": "kplanes", "seed": 0, "steps": 10}
TIMES = ("rendering_seconds", "rays_per_second")
VIEWS = 4


def evaluate(runs: Path, out: Path, state: Path, settings: EvaluateSettings = SETTINGS) -> None:
    experts = [runs / "run0", runs / "run1"]
    evaluate_experts(
        runs / "scene", runs / "partition.json", experts, settings, LABEL, out, state=state
    )


def contents(folder: Path) -> dict[str, Any]:
    """All files' bytes; of the record, what is no time."""
    files: dict[str, Any] = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    record = json.loads(files["evaluation.json"])
    files["evaluation.json"] = record
    assert all(record["cost"].pop(time) > 0 for time in TIMES)
    del record["git_commit"]
    return files


@pytest.fixture(scope="module")
def whole(toy_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an evaluation writes that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    evaluate(toy_runs, folder / "out", folder / "state")
    files = contents(folder / "out")
    assert len(files) == 3 + 2 * 2
    return files


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The views that are rendered from now on."""
    views: list[int] = []
    original = Scorer.render

    def watched(self: Scorer, view: int, *rest: Any) -> Any:
        views.append(view)
        return original(self, view, *rest)

    monkeypatch.setattr(Scorer, "render", watched)
    return views


@pytest.mark.parametrize("chunks", [0, 5, 14, 36, 47])
def test_a_signal_ends_it_between_two_chunks(
    toy_runs: Path,
    tmp_path: Path,
    whole: dict[str, Any],
    rendered: list[int],
    monkeypatch: pytest.MonkeyPatch,
    chunks: int,
) -> None:
    out, state = tmp_path / "out", tmp_path / "state"
    count = 0

    def over(*arguments: Any) -> Any:
        nonlocal count
        if count == chunks:
            signal.raise_signal(signal.SIGTERM)
        count += 1
        return original(*arguments)

    original = render.over
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as caught:
        patch.setattr(render, "over", over)
        evaluate(toy_runs, out, state)
    assert caught.value.code == 143 and count == chunks + 1 and not out.exists()
    done = len((state / "views" / "views.jsonl").read_text().splitlines())
    assert done == (chunks + 1) // 12  # 6 chunks of the owner, then 6 of the other expert
    rendered.clear()
    evaluate(toy_runs, out, state)
    assert len(rendered) == VIEWS - done
    assert contents(out) == whole


def test_a_finished_evaluation_is_not_repeated(
    toy_runs: Path, tmp_path: Path, whole: dict[str, Any], rendered: list[int]
) -> None:
    out, state = tmp_path / "out", tmp_path / "state"
    evaluate(toy_runs, out, state)
    assert [path.name for path in state.iterdir()] == ["finished"]
    rendered.clear()
    shutil.rmtree(out)
    evaluate(toy_runs, out, state)
    assert rendered == [] and contents(out) == whole


def test_a_result_that_could_not_be_written_is_not_rendered_again(
    toy_runs: Path,
    tmp_path: Path,
    whole: dict[str, Any],
    rendered: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, state = tmp_path / "file" / "deep" / "out", tmp_path / "state"
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file stands where a folder"):
        evaluate(toy_runs, out, state)
    (tmp_path / "file").unlink()
    rendered.clear()

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.link", refuse)
    evaluate(toy_runs, out, state)
    assert rendered == [] and contents(out) == whole


@pytest.mark.parametrize("call", [0, 1, 2, 5, 9])
def test_a_full_disk_is_one_line(
    toy_runs: Path,
    tmp_path: Path,
    whole: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    call: int,
) -> None:
    out, state = tmp_path / "out", tmp_path / "state"
    calls = 0

    def pwrite(descriptor: int, data: memoryview, offset: int) -> int:
        nonlocal calls
        calls += 1
        if calls > call:
            raise OSError(28, "No space left on device")
        return original(descriptor, data[:1000], offset)  # disks may take a part only

    original = os.pwrite
    with monkeypatch.context() as patch, pytest.raises(UserError) as caught:
        patch.setattr("os.pwrite", pwrite)
        evaluate(toy_runs, out, state)
    assert str(caught.value).startswith(f"{state}: no space left on the disk; ")
    assert not out.exists()
    evaluate(toy_runs, out, state)
    assert contents(out) == whole


def test_no_room_is_said_before_anything_is_rendered(
    toy_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rendered: list[int]
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=VIEWS * 24 * 24 * 5)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match="of disk space"):
        evaluate(toy_runs, tmp_path / "out", tmp_path / "state")
    assert rendered == []


# --- The store alone ------------------------------------------------------------------------------


def scored(position: int) -> ScoredView:
    return ScoredView(ImageScore(f"view {position}\n", 20.0 + position, 0.5, None), 9.5, 0.1)


def arrays(position: int) -> tuple[Any, Any, dict[str, Any]]:
    rng = np.random.default_rng(position)
    render = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    picture = {"renders/0.png": render} if position == 0 else {}
    return render, rng.normal(size=(3, 4)).astype(np.float16), picture


def opened(folder: Path, digest: str = "mine") -> Any:
    return closing(ViewStore(folder, digest, (3, 3, 4), 1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store whose views 0 and 2 are done."""
    with opened(tmp_path / "views") as store:
        assert store.missing == [0, 1, 2]
        for position in (2, 0):
            store.add(position, scored(position), *arrays(position))
        assert store.missing == [1]
    return tmp_path / "views"


def test_a_store_remembers(folder: Path, tmp_path: Path) -> None:
    with opened(folder) as store:
        assert store.missing == [1] and store.views == [scored(0), scored(2)]
        store.add(1, scored(1), *arrays(1))
        out = tmp_path / "out"
        out.mkdir()
        store.link_to(out)
    renders, depth = np.load(out / "renders.npy"), np.load(out / "depth.npy")
    for position in range(3):
        assert (renders[position] == arrays(position)[0]).all()
        assert (depth[position] == arrays(position)[1]).all()
    assert [path.name for path in (out / "renders").iterdir()] == ["0.png"]


def test_every_flipped_byte_of_a_store_is_noticed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 4
    for file in files:
        data = file.read_bytes()
        header = 128 if file.suffix == ".npy" else 0  # written anew, whatever it was
        row = (len(data) - header) // 3
        unused = range(header + row, header + 2 * row) if header else range(0)
        for offset in range(0, len(data), 11):
            copy = tmp_path / "copy"
            shutil.copytree(folder, copy)
            flipped = data[:offset] + bytes([data[offset] ^ 0x20]) + data[offset + 1 :]
            (copy / file.relative_to(folder)).write_bytes(flipped)
            with opened(copy) as store:
                harmless = offset < header or offset in unused
                assert (len(store.missing) > 1) != harmless, (file, offset)
            assert np.load(copy / "renders.npy").shape == (3, 3, 4, 3)
            shutil.rmtree(copy)


@pytest.mark.parametrize("name", ["renders.npy", "depth.npy", "views.jsonl", "renders/0.png"])
@pytest.mark.parametrize("damage", ["half", "empty", "missing"])
def test_what_is_cut_or_missing_is_noticed(folder: Path, name: str, damage: str) -> None:
    data = (folder / name).read_bytes()
    if damage == "missing":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(data[: len(data) // 2] if damage == "half" else b"")
    with opened(folder) as store:
        assert len(store.missing) > 1
        for position in store.missing:
            store.add(position, scored(position), *arrays(position))
    with opened(folder) as store:
        assert store.missing == []


def test_another_evaluation_leaves_published_files_alone(folder: Path) -> None:
    published = folder.parent / "published.npy"
    published.hardlink_to(folder / "renders.npy")
    before = published.read_bytes()
    with opened(folder, "other") as store:
        assert store.missing == [0, 1, 2]
        for position in store.missing:
            store.add(position, scored(position), *arrays(position + 5))
    assert published.read_bytes() == before


# --- Real kills -----------------------------------------------------------------------------------

JOB = """
import sys, time
sys.path.insert(0, {here!r})
from pathlib import Path
from dac.evaluation import render
from dac.process.signals import listening
from test_resume import evaluate

def told(*arguments):
    print("chunk", flush=True)
    time.sleep(0.02)
    return over(*arguments)

over, render.over = render.over, told
with listening():
    print("ready", flush=True)
    evaluate(*map(Path, sys.argv[1:]))
"""


@pytest.mark.slow
def test_killed_at_random_moments(toy_runs: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
    out, state = tmp_path / "out", tmp_path / "state"
    journal = state / "views" / "views.jsonl"
    code = JOB.format(here=str(Path(__file__).parent))
    command = [sys.executable, "-c", code, str(toy_runs), str(out), str(state)]
    moments = random.Random(4)
    done = kills = 0
    while True:
        number = moments.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1])
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            for _ in range(moments.randrange(30)):
                process.stdout.readline()
            time.sleep(moments.uniform(0.0, 0.1))
            process.send_signal(number)
            start = time.monotonic()
            process.stdout.read()
            status = process.wait(timeout=30)
        if out.exists():  # told when all was done, perhaps while Python ended
            break
        kills += 1
        assert status in (-signal.SIGKILL, 128 + number) and time.monotonic() - start < 5
        views = len(journal.read_text().splitlines()) if journal.exists() else 0
        assert views >= done
        done = views
    assert kills > 1 and contents(out) == whole
