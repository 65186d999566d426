"""Files that appear whole or not at all.

Every stage writes its outputs through this module: first under a temporary name beside the target,
flushed to disk, then renamed. A job that dies leaves no half-written output, and a full disk or an
unwritable folder becomes one clear line.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dac.errors import UserError

_DISK_ERRORS = {
    errno.ENOSPC: ("no space left on the disk", "free some space and run again"),
    errno.EFBIG: ("the file would pass the limit on file sizes", "raise the limit (ulimit -f)"),
    errno.EDQUOT: ("disk quota exceeded", "free some space and run again"),
    errno.EACCES: ("no permission to write here", "choose another results folder or fix its mode"),
    errno.EPERM: ("no permission to write here", "choose another results folder or fix its mode"),
    errno.EROFS: ("the file system is read-only", "choose another results folder"),
    errno.ENOTDIR: ("a file stands where a folder is needed", "move it away"),
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
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
        handle, name = tempfile.mkstemp(prefix=".part-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            _sync(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
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
        temporary = Path(tempfile.mkdtemp(prefix=".part-", dir=path.parent))
        try:
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _sync(file)
            temporary.chmod(0o755)
            if path.exists():
                shutil.rmtree(path)
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, data: Any) -> None:
    """Write `data` as strict JSON (no NaN, sorted keys), whole or not at all."""
    text = json.dumps(data, indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> Any:
    """Read strict JSON.

    Raises:
        UserError: the file is missing, is no JSON, or holds NaN or infinity.
    """

    def refuse(constant: str) -> float:
        raise UserError(path, f"holds {constant}, which is no number", "write a finite number")

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(path, "no such file", "check the path") from None
    except IsADirectoryError:
        raise UserError(path, "is a folder, not a file", "check the path") from None
    except UnicodeDecodeError:
        raise UserError(path, "is not UTF-8 text", "it should be a JSON file") from None
    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UserError(path, f"broken JSON at {where}: {error.msg}", "mend the file") from None
    except RecursionError:
        raise UserError(path, "JSON nested too deeply", "mend the file") from None


def finite_or_none(value: float) -> float | None:
    """The value, or None where JSON has no word for it (NaN, infinity)."""
    return float(value) if math.isfinite(value) else None


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
