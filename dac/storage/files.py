"""Reading files that somebody else wrote: whole, regular, of a bounded size, inside their folder.

A pipe would be waited for, a device has no end, a sparse file of some bytes claims terabytes; a
link or a `..` may lead anywhere. All of that is refused here, in one line.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from dac.errors import UserError

LONGEST_NAME = 1024
LONGEST_PART = 255  # bytes; what file systems allow
_FIX = "name or copy the file into the data folder"


def read_bytes(path: Path, most: int) -> bytes:
    """The bytes of a file.

    Args:
        path: the file.
        most: how many it may have.

    Raises:
        UserError: it is missing, no regular file, larger, or can't be read.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise UserError(path, "is a folder, not a file", "check the path")
        if not stat.S_ISREG(found.st_mode):
            raise UserError(path, "is no regular file", "put a file there")
        if found.st_size > most:
            what = f"has {found.st_size} bytes, and at most {most} are read"
            raise UserError(path, what, "is it the right file?")
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(path, "no such file", "check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no file name"
        raise UserError(path, f"can't be read ({reason})", "check the path") from None


def read_text(path: Path, most: int, kind: str) -> str:
    """The text of a UTF-8 file; `kind` says what file it should be, e.g. `a YAML file`.

    Raises:
        UserError: as `read_bytes`; it is no UTF-8 text.
    """
    try:
        return read_bytes(path, most).decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise UserError(path, "is not UTF-8 text", f"it should be {kind}") from None


def is_file(path: Path) -> bool:
    """Whether a regular file, or a link to one, is there.

    Raises:
        UserError: that can't be found out, e.g. for want of permission.
    """
    try:
        return path.is_file()
    except OSError as error:
        raise UserError(path, f"can't be read ({error.strerror})", "check the path") from None


def inside(root: Path, relative: str, where: str | Path) -> Path:
    """The path of a file that a data set names.

    Args:
        root: the folder that it must lie in.
        relative: the name.
        where: what names it, for the message.

    Raises:
        UserError: the name is absolute, leads out of `root` by `..` or by a symbolic link, or is
            none that a file can have: empty, overlong, not UTF-8, with control characters.
    """
    parts = relative.encode("utf-8", "surrogatepass").split(b"/")
    if (
        not relative
        or len(relative) > LONGEST_NAME
        or max(map(len, parts)) > LONGEST_PART
        or any(ord(letter) < 32 or ord(letter) == 127 for letter in relative)
    ):
        raise UserError(where, f"{relative!r} is no file name", _FIX)
    if any(0xD800 <= ord(letter) < 0xE000 for letter in relative):
        raise UserError(where, f"the name {relative!r} is not UTF-8", "rename the file")
    if PurePosixPath(relative).is_absolute() or PureWindowsPath(relative).drive:
        raise UserError(where, f"{relative} is an absolute path", _FIX)
    path = root / os.path.normpath(relative)
    try:
        leaves = not path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        raise UserError(where, f"{relative} is a link that goes in circles", _FIX) from None
    if leaves:
        raise UserError(where, f"{relative} leaves the data folder", _FIX)
    return path


def files_under(root: Path, outside: list[Path] | None = None) -> Iterator[Path]:
    """Every file below a folder, or the file itself; hidden ones are left out.

    Links are followed where they stay below the folder, and each folder is entered once, so links
    that go in circles come to an end.

    Args:
        outside: gets the links that lead out of the folder, or nowhere.
    """
    outside = [] if outside is None else outside
    if not root.is_dir():
        if root.is_file():
            yield root
        return
    top = os.path.realpath(root)
    entered = {top}
    for folder, folders, names in os.walk(root, followlinks=True):
        kept = []
        for name in sorted(name for name in folders if not name.startswith(".")):
            real = os.path.realpath(Path(folder, name))
            if not Path(real).is_relative_to(top):
                outside.append(Path(folder, name))
            elif real not in entered:
                entered.add(real)
                kept.append(name)
        folders[:] = kept
        for name in sorted(name for name in names if not name.startswith(".")):
            file = Path(folder, name)
            if not file.is_symlink() or _leads_to_file_in(top, file):
                yield file
            else:
                outside.append(file)


def _leads_to_file_in(top: str, link: Path) -> bool:
    real = Path(os.path.realpath(link))
    return real.is_relative_to(top) and real.is_file()
