"""Paths beside the results and on the visitor's machine, on viser's own handles."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dac.errors import UserError
from dac.export.keyframes import Keyframes, make_keyframe, make_keyframes, read_keyframes
from dac.viewer import path_files
from dac.viewer.path_files import PathFiles


class Visitor:
    """Somebody with files of their own, and what the page says and sends."""

    def __init__(self, gui: Any, folder: Path) -> None:
        self.path: Keyframes | None = None
        self.said: list[str] = []
        self.sent: list[tuple[str, bytes]] = []
        self.handles: dict[str, Any] = {}
        self.folder, self._gui = folder, gui
        self.files = PathFiles(self, folder, self, self.get, self.put)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def add(label: str, *rest: Any, **named: Any) -> Any:
            self.handles[label] = getattr(self._gui, name)(label, *rest, **named)
            return self.handles[label]

        return add

    def get(self) -> Keyframes:
        if self.path is None:
            raise UserError("Camera path", "has no keyframe yet", "add one")
        return self.path

    def put(self, path: Keyframes) -> None:
        self.path = path

    def tell(self, title: str, text: str) -> None:
        self.said.append(f"{title}: {text}")

    def send(self, name: str, content: bytes) -> None:
        self.sent.append((name, content))

    def press(self, label: str, value: Any = None) -> None:
        for callback in self.handles[label]._impl.update_cb:
            callback(SimpleNamespace(target=SimpleNamespace(value=value)))

    def upload(self, name: str, content: bytes) -> None:
        self.press("Upload", SimpleNamespace(name=name, content=content))


@pytest.fixture
def visitor(viser_server: Any, tmp_path: Path) -> Visitor:
    return Visitor(viser_server.gui, tmp_path)


def a_path() -> Keyframes:
    poses = [np.column_stack([np.eye(3), [turn, 0.1, 1 / 3]]) for turn in (0.0, 0.7)]
    frames = [make_keyframe(pose, 41.5, 1.1 * i) for i, pose in enumerate(poses)]
    return make_keyframes(frames, 24000 / 1001)


def test_what_is_downloaded_is_what_is_saved(visitor: Visitor) -> None:
    visitor.path = a_path()
    visitor.handles["Name"].value = "film"
    visitor.press("With the results", "Save")
    visitor.press("Download")
    ((name, content),) = visitor.sent
    assert name == "film.json" and content == (visitor.folder / "film.json").read_bytes()


def test_what_was_downloaded_can_be_uploaded(visitor: Visitor, tmp_path: Path) -> None:
    visitor.path = a_path()
    visitor.press("Download")
    visitor.path = None
    visitor.upload("film.json", visitor.sent[0][1])
    assert visitor.path == a_path() and visitor.said == []
    file = tmp_path / "again.json"
    file.write_bytes(visitor.sent[0][1])
    assert read_keyframes(file) == a_path()


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("photo.jpg", b"\xff\xd8\xff\xe0", "photo.jpg: is not UTF-8 text"),
        ("empty.json", b"", "empty.json: broken JSON at line 1, column 1"),
        ("deep.json", b"[" * 100_000, "deep.json: JSON nested too deeply"),
        ("nan.json", b'{"version": NaN}', "nan.json: holds NaN"),
        ("odd.json", b'{"version": 2, "keyframes": []}', "odd.json: version"),
        ("no\nname\x1b[0m.json", b"{}", "no name"),
        ("path.json", b"{}", "path.json: version: missing"),
    ],
)
def test_a_bad_file_is_one_line_and_changes_nothing(
    visitor: Visitor, name: str, content: bytes, line: str
) -> None:
    visitor.path = a_path()
    visitor.upload(name, content)
    (said,) = visitor.said
    assert said.startswith(f"That didn't work: {line}")
    assert said.isprintable() and "/tmp" not in said and str(visitor.folder) not in said
    assert visitor.path == a_path()


def test_a_large_file_isn_t_read(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.dumps(a_path().model_dump(mode="json")).encode()
    monkeypatch.setattr(path_files, "LARGEST", len(content))
    visitor.upload("film.json", content)
    assert visitor.path == a_path() and visitor.said == []
    visitor.upload("film.json", content + b" ")
    (said,) = visitor.said
    assert f"film.json: has {len(content) + 1} bytes, and at most {len(content)} are read" in said


def test_nothing_is_sent_without_a_keyframe_or_a_name(visitor: Visitor) -> None:
    visitor.press("Download")
    visitor.path = a_path()
    visitor.handles["Name"].value = "../film"
    visitor.press("Download")
    assert visitor.sent == []
    assert ["has no keyframe yet" in visitor.said[0], "is no name" in visitor.said[1]] == [True] * 2
