"""Files that appear whole or not at all.

Every stage writes its outputs through this module: first under a temporary name beside the target
(`.{target}.part-...`), flushed to disk, then renamed, and the rename flushed too. A job that dies
leaves no half-written output, and a full disk or an unwritable folder becomes one clear line.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dac.errors import UserError
from dac.storage.files import read_text

LARGEST_JSON = 2**28  # bytes; a hundred thousand views with their poses have 50 million

_DISK_ERRORS = {
    errno.ENOSPC: ("no space left on the disk", "free some space and run again"),
    errno.EIO: ("the disk does not work (input/output error)", "look at the disk, or use another"),
    errno.EFBIG: ("the file would pass the limit on file sizes", "raise the limit (ulimit -f)"),
    errno.EDQUOT: ("disk quota exceeded", "free some space and run again"),
    errno.EACCES: ("no permission to write here", "choose another results folder or fix its mode"),
    errno.EPERM: ("no permission to write here", "choose another results folder or fix its mode"),
    errno.EROFS: ("the file system is read-only", "choose another results folder"),
    errno.ENOTDIR: ("a file stands where a folder is needed", "move it away"),
    errno.EEXIST: ("a file stands where a folder is needed", "move it away"),
}


@contextmanager
def explained_disk_errors(path: Path) -> Iterator[None]:
    """Turn an error about the disk into a `UserError` that names `path`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        number = _error_number(error)
        if number not in _DISK_ERRORS:
            raise
        what, fix = _DISK_ERRORS[number]
        raise UserError(path, what, fix) from error


def _error_number(error: Exception) -> int | None:
    """The system's number of an error, which safetensors and numpy hide in their texts."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if hidden := re.search(r"\(os error (\d+)\)", str(error)):
        return int(hidden[1])
    # numpy's words where a file took only a part of an array
    return errno.ENOSPC if re.search(r"\d+ requested and \d+ written", str(error)) else None


def _sync(path: Path) -> None:
    """Flush a file to disk, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems can't flush a folder: there, a rename is durable or nothing is.
        if not path.is_dir() or error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _part(path: Path) -> str:
    """How names of temporary files and folders for a target begin."""
    return f".{path.name}.part-"


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it to `path`.

    Args:
        path: the target; its folder is created.
        write: called with the temporary path, which keeps the target's suffix.

    Raises:
        UserError: the disk is full, the folder can't be written.
    """
    with explained_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_part(path), suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            _sync(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
            _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path`, replacing it, when the block succeeds.

    Raises:
        UserError: the disk is full, the folder can't be written.
    """
    with explained_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=_part(path), dir=path.parent))
        try:
            yield temporary
            for entry in [*temporary.rglob("*"), temporary]:
                entry.chmod(0o755 if entry.is_dir() else 0o644)  # libraries' files may be private
                _sync(entry)
            _replace_folder(temporary, path)
            _sync(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _replace_folder(new: Path, path: Path) -> None:
    """Rename `new` to `path`; what was there goes away last: no failure loses both."""
    if not path.exists():
        new.replace(path)
        return
    old = Path(tempfile.mkdtemp(prefix=_part(path), dir=path.parent))
    try:
        path.replace(old / path.name)
        try:
            new.replace(path)
        except BaseException:
            (old / path.name).replace(path)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder that is whole for as long as it bears its name; errors are ignored."""
    gone = path.with_name(f"{_part(path)}gone")
    shutil.rmtree(gone, ignore_errors=True)
    with suppress(OSError):
        path = path.rename(gone)
    shutil.rmtree(path, ignore_errors=True)


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` left beside it; nobody may be writing it now."""
    for part in path.parent.glob(f"{glob.escape(_part(path))}*"):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def existing_folder(path: Path) -> Path:
    """The path itself, or the nearest above it that exists."""
    path = path.absolute()
    while not os.path.exists(path):  # noqa: PTH110 (Path.exists raises without permission)
        path = path.parent
    return path


def free_space(path: Path) -> int:
    """Bytes that are free where a path lies, or will lie."""
    return shutil.disk_usage(existing_folder(path)).free


def require_space(path: Path, size: int) -> None:
    """Refuse to begin what the disk can't hold.

    Args:
        path: what will be written; the nearest folder above that exists tells the disk.
        size: bytes, about.

    Raises:
        UserError: fewer are free.
    """
    free = free_space(path)
    if free < size:
        what = f"needs about {size / 1e9:.2g} GB of disk space, {free / 1e9:.2g} GB are free"
        raise UserError(path, what, "free some space or choose another results folder")


def write_json(path: Path, data: Any) -> None:
    """Write `data` as strict JSON (no NaN, sorted keys), whole or not at all."""
    text = json.dumps(data, indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_json(path: Path, most: int = LARGEST_JSON) -> Any:
    """Read strict JSON.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        UserError: the file is missing, larger, no JSON, or holds NaN or infinity.
    """

    def refuse(constant: str) -> float:
        raise UserError(path, f"holds {constant}, which is no number", "write a finite number")

    text = read_text(path, most, "a JSON file")
    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UserError(path, f"broken JSON at {where}: {error.msg}", "mend the file") from None
    except RecursionError:
        raise UserError(path, "JSON nested too deeply", "mend the file") from None
    except ValueError:  # Python's own limit
        raise UserError(path, "holds a number of over 4300 digits", "mend the file") from None


def finite_or_none(value: float) -> float | None:
    """The value, or None where JSON has no word for it (NaN, infinity)."""
    return float(value) if math.isfinite(value) else None


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
