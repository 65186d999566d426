"""Sealed folders notice one changed byte; finished results come back."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest

from dac.artifacts import new_folder
from dac.states import DamagedError, Finished, digest_of, seal, unseal

ABOUT = {"step": 3, "digest": "mine", "progress": {"seconds": 1.5, "curve": []}}


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = tmp_path / "sealed"
    with new_folder(folder) as part:
        (part / "tensors").write_bytes(bytes(range(256)))
        (part / "deep").mkdir()
        (part / "deep" / "empty").touch()
        seal(part, ABOUT)
    return folder


def test_a_whole_folder_says_what_it_is(sealed: Path) -> None:
    assert unseal(sealed) == ABOUT


@pytest.mark.parametrize("name", ["tensors", "manifest.json"])
def test_every_flipped_byte_is_noticed(sealed: Path, name: str) -> None:
    file = sealed / name
    data = file.read_bytes()
    for place in range(len(data)):
        for bit in (1, 0x20, 0x80):
            file.write_bytes(data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :])
            with pytest.raises(DamagedError):
                unseal(sealed)
    file.write_bytes(data)
    assert unseal(sealed) == ABOUT


@pytest.mark.parametrize("damage", ["cut", "longer", "missing", "strange", "no manifest", "list"])
def test_other_damage_is_noticed(sealed: Path, damage: str) -> None:
    tensors, manifest = sealed / "tensors", sealed / "manifest.json"
    if damage == "cut":
        tensors.write_bytes(tensors.read_bytes()[:-1])
    elif damage == "longer":
        tensors.write_bytes(tensors.read_bytes() + b"0")
    elif damage == "missing":
        (sealed / "deep" / "empty").unlink()
    elif damage == "strange":
        (sealed / "deep" / "more").touch()
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text("[]")
    with pytest.raises(DamagedError):
        unseal(sealed)


def test_a_digest_is_of_values_and_not_of_their_order() -> None:
    assert digest_of({"a": 1, "b": [2.5]}, "x") == digest_of({"b": [2.5], "a": 1}, "x")
    assert digest_of({"a": 1}) != digest_of({"a": 2}) != digest_of("x") != digest_of("x", None)


@pytest.fixture
def result(tmp_path: Path) -> Path:
    out = tmp_path / "out"
    with new_folder(out) as part:
        (part / "model").write_text("weights")
        (part / "renders").mkdir()
        (part / "renders" / "0.png").write_text("picture")
    return out


def test_a_finished_result_comes_back_without_taking_room(result: Path, tmp_path: Path) -> None:
    finished = Finished(tmp_path / "state", "mine")
    assert not finished.restore(result)
    finished.keep(result)
    inode = (result / "model").stat().st_ino
    os.utime(result / "model", (0, 0))
    shutil.rmtree(result)
    assert finished.restore(result)
    files = sorted(path.relative_to(result).as_posix() for path in result.rglob("*"))
    assert files == ["model", "renders", "renders/0.png"]
    assert (result / "model").stat().st_ino == inode
    assert (result / "model").stat().st_mtime > 0
    finished.forget()
    assert not finished.restore(result)


def test_a_result_of_another_digest_stays_away(result: Path, tmp_path: Path) -> None:
    Finished(tmp_path / "state", "other").keep(result)
    assert not Finished(tmp_path / "state", "mine").restore(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_damaged_result_is_made_again(
    result: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    finished = Finished(tmp_path / "state", "mine")
    finished.keep(result)
    (result / "model").write_text("weightz")  # the same file, by its other name
    shutil.rmtree(result)
    assert not finished.restore(result) and not result.exists()
    assert "model is damaged" in caplog.text


def test_without_links_nothing_is_kept(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    finished = Finished(tmp_path / "state", "mine")
    with caplog.at_level(logging.INFO):
        finished.keep(result)
    assert "not kept (" in caplog.text
    assert not finished.restore(tmp_path / "new")
    assert list((tmp_path / "state").iterdir()) == []
