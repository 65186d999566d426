"""The views that an evaluation has scored, each kept as soon as it is done.

The folder is a part of the job's state. It holds `renders.npy` (V, H, W, 3) uint8 and `depth.npy`
(V, H, W) float16 of V views, filled view by view, pictures of some views under `renders/` and
`depth/`, and `views.jsonl`: a line for each view that is done, with its scores and the SHA-256 of
its part of every file. A line begins with a SHA-256 of itself and of the digest of all that the
evaluation depends on. So nothing but the lines needs to be trusted, and a killed evaluation goes on
with the views that have none, or whose files are not what it says.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from dac.evaluation.pictures import save_png
from dac.evaluation.records import ImageScore
from dac.storage.artifacts import remove_leftovers, require_space, sha256, write_file

_log = logging.getLogger(__name__)

_SYNC_SECONDS = 10.0


@dataclass(frozen=True)
class ScoredView:
    """What a view's line says of it.

    Attributes:
        score: of its render.
        blank: PSNR of the mean image on it, in dB.
        seconds: that rendering it took.
    """

    score: ImageScore
    blank: float
    seconds: float


@dataclass(frozen=True)
class _Line:
    """A view that is done: its position among the V, and file -> SHA-256 of its part."""

    position: int
    view: ScoredView
    files: dict[str, str]


class ViewStore:
    """The scored views of one evaluation; to be closed.

    Args:
        folder: where they lie; made anew where none of its lines is this evaluation's.
        digest: of all that the evaluation's result depends on.
        shape: V, H, W.
        pictures: how many views get pictures.

    Raises:
        UserError: the disk lacks the room for the views that are missing.
        OSError: the folder can't be written.
    """

    def __init__(
        self, folder: Path, digest: str, shape: tuple[int, int, int], pictures: int
    ) -> None:
        self._folder, self._digest, self._count = folder, digest, shape[0]
        self._journal = folder / "views.jsonl"
        self._synced = time.monotonic()
        lines = self._read_lines()
        if not lines:
            # New files: those that are there may be the ones of a published result.
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as files:
            self._rows = {
                "renders.npy": _Rows(folder / "renders.npy", np.uint8, (*shape, 3)),
                "depth.npy": _Rows(folder / "depth.npy", np.float16, shape),
            }
            for rows in self._rows.values():
                files.callback(rows.close)
            self._lines = {line.position: line for line in lines if self._is_whole(line)}
            row = sum(rows.row_bytes for rows in self._rows.values())
            missing = self._count - len(self._lines)
            # A picture and its depth are smaller than two images of 3 bytes a pixel.
            require_space(folder, missing * row + min(pictures, missing) * 2 * row)
            kept = b"".join(self._spell(line) for line in self._lines.values())
            remove_leftovers(self._journal)
            write_file(self._journal, lambda path: path.write_bytes(kept))
            self._descriptor = os.open(self._journal, os.O_WRONLY | os.O_APPEND)
            files.callback(os.close, self._descriptor)
            self._files = files.pop_all()
        if self._lines:
            _log.info("%d of %d views were scored before", len(self._lines), self._count)

    @property
    def missing(self) -> list[int]:
        """Positions of the views that are to be scored, ascending."""
        return [position for position in range(self._count) if position not in self._lines]

    @property
    def views(self) -> list[ScoredView]:
        """The views that are done, in order."""
        return [self._lines[position].view for position in sorted(self._lines)]

    def add(
        self,
        position: int,
        view: ScoredView,
        render: NDArray[np.uint8],
        depth: NDArray[np.float16],
        pictures: Mapping[str, NDArray[np.uint8]],
    ) -> None:
        """Keep a view: soon, or at `close`, no power cut loses it any more.

        Args:
            render, depth: (H, W, 3), (H, W).
            pictures: file below the folder -> (H, W, 3).

        Raises:
            UserError, OSError: the disk is full.
        """
        rows: dict[str, NDArray[Any]] = {"renders.npy": render, "depth.npy": depth}
        files = {name: self._rows[name].write(position, row) for name, row in rows.items()}
        for name, picture in pictures.items():
            write_file(self._folder / name, partial(save_png, image=picture))
            files[name] = sha256(self._folder / name)
        line = _Line(position, view, files)
        _write_at(self._descriptor, self._spell(line), None)
        self._lines[position] = line
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self._sync()

    def link_to(self, folder: Path) -> None:
        """Give the files of all views to another folder; they take no more room by it."""
        for kind in ("renders", "depth"):
            (folder / kind).mkdir()
        for name in sorted({name for line in self._lines.values() for name in line.files}):
            try:
                (folder / name).hardlink_to(self._folder / name)
            except OSError:  # a disk without hard links, or another disk
                shutil.copyfile(self._folder / name, folder / name)
            os.utime(folder / name)  # it is newer than the inputs, which may be restored ones

    def close(self) -> None:
        """Flush all to disk."""
        with self._files:
            self._sync()

    def clear(self) -> None:
        """Remove all: the evaluation is complete."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _sync(self) -> None:
        for rows in self._rows.values():
            rows.sync()
        os.fsync(self._descriptor)
        self._synced = time.monotonic()

    def _read_lines(self) -> list[_Line]:
        """The lines that are this evaluation's and as they were written."""
        if not self._journal.is_file():
            return []
        lines = self._journal.read_bytes().splitlines()
        texts = [line.partition(b" ")[2] for line in lines]
        own = [text for line, text in zip(lines, texts, strict=True) if self._sign(text) == line]
        if len(own) < len(lines):
            strange = len(lines) - len(own)
            what = "views damaged, or of other settings, inputs or code; they are scored again"
            _log.warning("%s: %d %s", self._journal, strange, what)
        return [TypeAdapter(_Line).validate_json(text) for text in own]

    def _is_whole(self, line: _Line) -> bool:
        """Whether the files hold what the line says."""
        for name, digest in line.files.items():
            file = self._folder / name
            if name in self._rows:
                found = self._rows[name].digest(line.position)
            else:
                found = sha256(file) if file.is_file() else ""
            if found != digest:
                what = "%s: the part of view %d is damaged; it is scored again"
                _log.warning(what, file, line.position)
                return False
        return True

    def _spell(self, line: _Line) -> bytes:
        return self._sign(json.dumps(asdict(line), allow_nan=False).encode()) + b"\n"

    def _sign(self, text: bytes) -> bytes:
        own = hashlib.sha256(self._digest.encode() + text).hexdigest()
        return own.encode() + b" " + text


class _Rows:
    """A .npy file whose rows are written one by one.

    Not through a memory map: there, a full disk kills the process with a signal.
    """

    def __init__(self, path: Path, dtype: Any, shape: tuple[int, ...]) -> None:
        header = io.BytesIO()
        descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
        np.lib.format.write_array_header_1_0(
            header, {"descr": descr, "fortran_order": False, "shape": shape}
        )
        self.row_bytes = int(np.prod(shape[1:])) * np.dtype(dtype).itemsize
        self._start = header.tell()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self._descriptor, self._start + shape[0] * self.row_bytes)
        _write_at(self._descriptor, header.getvalue(), 0)

    def write(self, position: int, row: NDArray[Any]) -> str:
        """Write a row; its SHA-256."""
        data = np.ascontiguousarray(row).tobytes()
        _write_at(self._descriptor, data, self._start + position * self.row_bytes)
        return hashlib.sha256(data).hexdigest()

    def digest(self, position: int) -> str:
        """SHA-256 of a row on the disk."""
        start = self._start + position * self.row_bytes
        return hashlib.sha256(os.pread(self._descriptor, self.row_bytes, start)).hexdigest()

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def _write_at(descriptor: int, data: bytes, offset: int | None) -> None:
    """Write all of the data, at an offset or where the file ends."""
    left = memoryview(data)
    while left:
        if offset is None:
            written = os.write(descriptor, left)
        else:
            written = os.pwrite(descriptor, left, offset)
            offset += written
        left = left[written:]
