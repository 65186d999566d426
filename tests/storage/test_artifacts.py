"""Files that appear whole or not at all, and disk errors in one line."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dac.errors import UserError
from dac.storage.artifacts import (
    explained_disk_errors,
    finite_or_none,
    new_folder,
    read_json,
    remove_folder,
    sha256,
    write_file,
    write_json,
)


def everything(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_file_appears_with_its_folder_and_can_be_read_by_others(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "file.bin"
    seen: list[Path] = []

    def write(part: Path) -> None:
        seen.append(part)
        assert not target.exists()
        part.write_bytes(b"whole")

    write_file(target, write)
    assert target.read_bytes() == b"whole"
    assert seen[0].suffix == ".bin" and seen[0].parent == target.parent
    assert target.stat().st_mode & 0o777 == 0o644
    assert everything(target.parent) == ["file.bin"]


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def fail(part: Path) -> None:
        part.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_file(target, fail)
    assert target.read_text() == "old"
    assert everything(tmp_path) == ["file"]


def test_a_folder_replaces_the_one_before(tmp_path: Path) -> None:
    target = tmp_path / "run"
    target.mkdir()
    (target / "stale").write_text("old")
    with new_folder(target) as part:
        (part / "sub").mkdir()
        (part / "sub" / "fresh").write_text("new")
        (part / "sub" / "fresh").chmod(0o600)  # as safetensors leaves its files
        assert everything(target) == ["stale"]
    assert everything(tmp_path) == ["run", "run/sub", "run/sub/fresh"]
    assert (target / "sub" / "fresh").stat().st_mode & 0o777 == 0o644


def test_a_failing_folder_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "run"
    target.mkdir()
    with pytest.raises(RuntimeError), new_folder(target) as part:
        (part / "half").write_text("half")
        raise RuntimeError
    assert everything(tmp_path) == ["run"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left on the disk"),
        (errno.EDQUOT, "quota"),
        (errno.EIO, "the disk does not work"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "read-only"),
    ],
)
def test_disk_errors_become_one_line_and_leave_nothing(
    tmp_path: Path, number: int, words: str
) -> None:
    def fail(part: Path) -> None:
        part.write_text("half")
        raise OSError(number, os.strerror(number))

    with pytest.raises(UserError, match=words) as caught:
        write_file(tmp_path / "file", fail)
    assert "\n" not in str(caught.value) and str(tmp_path / "file") in str(caught.value)
    with pytest.raises(UserError, match=words), new_folder(tmp_path / "run"):
        raise OSError(number, os.strerror(number))
    assert everything(tmp_path) == []


_FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np, torch
from safetensors.torch import save_file
from dac.storage.artifacts import new_folder
from dac.errors import UserError
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
write = {
    "numpy": lambda part: np.save(part / "a.npy", np.zeros(10**6)),
    "safetensors": lambda part: save_file({"a": torch.zeros(10**6)}, part / "a.safetensors"),
}[sys.argv[1]]
try:
    with new_folder(Path(sys.argv[2])) as part:
        write(part)
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("library", "words"), [("numpy", "no space left"), ("safetensors", "limit on file sizes")]
)
def test_a_file_that_stops_growing_is_explained(tmp_path: Path, library: str, words: str) -> None:
    target = tmp_path / "run"
    command = [sys.executable, "-c", _FULL_DISK, library, str(target)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"{target}: ") and words in said and said.count("\n") == 1
    assert everything(tmp_path) == []


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(UserError, match="a file stands where a folder is needed"):
        write_json(tmp_path / "results" / "scene" / "x.json", {})


def test_a_folder_is_never_seen_half_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "state"
    target.mkdir()
    (target / "tensors").write_text("whole")
    (tmp_path / ".state.part-gone" / "deep").mkdir(parents=True)
    seen = []
    remove = shutil.rmtree

    def watch(path: Path, **options: bool) -> None:
        seen.append((path.name, target.exists()))
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", watch)
    remove_folder(target)
    assert seen == [(".state.part-gone", True), (".state.part-gone", False)]
    assert everything(tmp_path) == []


def test_other_os_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Interrupted"), explained_disk_errors(tmp_path):
        raise OSError(errno.EINTR, "Interrupted")


def test_json_goes_there_and_back_sorted(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    data = {"b": [1, 2.5, None], "a": {"ü": True}}
    write_json(path, data)
    assert read_json(path) == data
    assert list(json.loads(path.read_text())) == ["a", "b"]


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert everything(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a": 1', "broken JSON at line 1"),
        (b'{"a": NaN}', "holds NaN"),
        (b'{"a": [-Infinity]}', "holds -Infinity"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"", "broken JSON at line 1, column 1"),
    ],
)
def test_broken_json_is_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        read_json(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_missing_json_and_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_json(tmp_path / "none.json")
    with pytest.raises(UserError, match="is a folder"):
        read_json(tmp_path)


def test_finite_or_none() -> None:
    assert [finite_or_none(value) for value in (1.5, float("nan"), float("-inf"))] == [
        1.5,
        None,
        None,
    ]


def test_sha256_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert sha256(path).startswith("e3b0c44298fc1c14")
