"""Sealed folders notice one changed byte; finished results come back."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest

from dac.storage.artifacts import new_folder
from dac.storage.states import DamagedError, Finished, digest_of, forget_finished, seal, unseal

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


def publish(finished: Finished, out: Path) -> Path:
    with finished.new_folder(out) as part:
        (part / "model").write_text("weights")
        (part / "renders").mkdir()
        (part / "renders" / "0.png").write_text("picture")
    return out


def test_a_finished_result_comes_back_without_taking_room(tmp_path: Path) -> None:
    finished, out = Finished(tmp_path / "state", "mine"), tmp_path / "out"
    assert not finished.restore(out)
    publish(finished, out)
    inode = (out / "model").stat().st_ino
    os.utime(out / "model", (0, 0))
    shutil.rmtree(out)
    assert finished.restore(out)
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*"))
    assert files == ["model", "renders", "renders/0.png"]
    assert (out / "model").stat().st_ino == inode
    assert (out / "model").stat().st_mtime > 0
    forget_finished(tmp_path)
    assert not finished.restore(out)


def test_a_result_is_kept_whole_before_it_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it bears its name, the workflow may remove any file of it at any time."""
    finished, out = Finished(tmp_path / "state", "mine"), tmp_path / "out"
    kept: list[Path] = []
    real = os.replace

    def look(source: Path, target: Path) -> None:
        if target == out:
            kept.extend((tmp_path / "state" / "finished").iterdir())
        real(source, target)

    monkeypatch.setattr(os, "replace", look)
    publish(finished, out)
    assert {path.name for path in kept} == {"model", "renders", "manifest.json"}


def test_a_result_of_another_digest_stays_away(tmp_path: Path) -> None:
    publish(Finished(tmp_path / "state", "other"), tmp_path / "out")
    assert not Finished(tmp_path / "state", "mine").restore(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_damaged_result_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    finished, out = Finished(tmp_path / "state", "mine"), tmp_path / "out"
    publish(finished, out)
    (out / "model").write_text("weightz")  # the same file, by its other name
    shutil.rmtree(out)
    assert not finished.restore(out) and not out.exists()
    assert "model is damaged" in caplog.text


def test_without_links_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    finished, out = Finished(tmp_path / "state", "mine"), tmp_path / "out"
    with caplog.at_level(logging.INFO):
        publish(finished, out)
    assert "not kept (" in caplog.text and (out / "model").is_file()
    assert not finished.restore(tmp_path / "new")
    assert list((tmp_path / "state").iterdir()) == []
