"""What a killed job leaves for its next attempt: sealed folders.

A sealed folder holds files and, written last, a manifest with the SHA-256 of each and of itself:
one changed byte anywhere is noticed. States belong to the job, not to the workflow.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dac.errors import UserError
from dac.storage.artifacts import new_folder, read_json, remove_folder, remove_leftovers, sha256

_log = logging.getLogger(__name__)

_MANIFEST = "manifest.json"


class DamagedError(ValueError):
    """A sealed folder is not as it was sealed."""


def digest_of(*parts: Any) -> str:
    """Hex SHA-256 of plain JSON data: all that a result depends on, say."""
    text = json.dumps(parts, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def seal(folder: Path, about: dict[str, Any]) -> None:
    """Write the manifest of a folder that `artifacts.new_folder` makes.

    Args:
        about: what the folder holds, as plain JSON data.
    """
    (folder / _MANIFEST).write_bytes(_manifest(about, _digests(folder)))


def unseal(folder: Path) -> dict[str, Any]:
    """Check a sealed folder.

    Returns:
        What `seal` was told about it.

    Raises:
        DamagedError: a file differs, is missing, or is not of the folder.
    """
    path = folder / _MANIFEST
    try:
        manifest = read_json(path)
        about, digests = manifest["about"], manifest["files"]
        if path.read_bytes() != _manifest(about, digests):
            raise DamagedError(f"{_MANIFEST} is damaged")
        found = _digests(folder)
    except (UserError, OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(str(error)) from None
    for name in sorted(digests.keys() | found.keys()):
        if digests.get(name) != found.get(name):
            raise DamagedError(f"{name} is damaged, missing or strange")
    result: dict[str, Any] = about
    return result


def _manifest(about: dict[str, Any], digests: dict[str, str]) -> bytes:
    """The one spelling of a manifest: another one of the same data is damage, too."""
    body = {"about": about, "files": digests}
    compact = json.dumps(body, sort_keys=True, allow_nan=False)
    own = hashlib.sha256(compact.encode()).hexdigest()
    text = json.dumps({**body, "sha256": own}, indent=1, sort_keys=True, allow_nan=False)
    return f"{text}\n".encode()


def _digests(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file() and file != folder / _MANIFEST)
    return {file.relative_to(folder).as_posix(): sha256(file) for file in files}


class Finished:
    """The result of a finished job, kept until the workflow has taken note of it.

    If the workflow's process dies, its jobs run on; what they finish is not in its books, so they
    are run again. They find their result here. It takes no room: the files are hard links.

    Args:
        state: the job's folder of states.
        digest: of all that the result depends on.
    """

    def __init__(self, state: Path, digest: str) -> None:
        self._folder = state / "finished"
        self._digest = digest

    @contextmanager
    def new_folder(self, out: Path) -> Iterator[Path]:
        """As `artifacts.new_folder`, and keeps what becomes `out`.

        It is kept before it appears: from then on, the workflow may remove it at any time. A disk
        that can't keep it is told of and is no error.

        Raises:
            UserError: the disk is full, the folder can't be written.
        """
        with new_folder(out) as part:
            yield part
            try:
                remove_leftovers(self._folder)
                with new_folder(self._folder) as kept:
                    _link_all(part, kept)
                    seal(kept, {"digest": self._digest})
            except (UserError, OSError) as error:
                _log.info(
                    "%s: not kept (%s); should the workflow die, it is made again", out, error
                )

    def restore(self, out: Path) -> bool:
        """Give the result back, if it is kept, whole and of this digest.

        Raises:
            UserError: the disk is full, the folder can't be written.
        """
        if not self._folder.is_dir():
            return False
        try:
            if unseal(self._folder)["digest"] != self._digest:
                return False
            with new_folder(out) as part:
                _link_all(self._folder, part)
                (part / _MANIFEST).unlink()
                for file in part.rglob("*"):
                    os.utime(file)  # it is newer than the inputs that the workflow checked
        except (DamagedError, OSError) as error:
            _log.warning("%s: can't be used (%s); the job runs again", self._folder, error)
            return False
        _log.info("%s: finished before; its result is taken from %s", out, self._folder)
        return True


def forget_finished(states: Path) -> None:
    """Remove all results that are kept below a folder of jobs' states."""
    for manifest in states.rglob(f"finished/{_MANIFEST}"):
        remove_folder(manifest.parent)


def _link_all(source: Path, target: Path) -> None:
    """Hard links in a new folder to all files of another."""
    for file in sorted(source.rglob("*")):
        copy = target / file.relative_to(source)
        if file.is_dir():
            copy.mkdir()
        else:
            copy.hardlink_to(file)
