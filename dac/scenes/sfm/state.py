"""What structure from motion has done so far: COLMAP's database, and `state.json` beside it.

`state.json` holds digests of what the database's features and matches are made from, and which
steps are whole. It never says more than the database holds: before something is taken out of the
database, it is written first, and what was put in is flushed to disk before it is written down. A
job may be killed at any time; what a step had put in by then stays, and the step goes on with what
is missing.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from dac.errors import UserError
from dac.storage.artifacts import read_json, remove_leftovers, write_json

_LOG = logging.getLogger("dac.sfm")
# In another process (see `dac.scenes.sfm.pycolmap_loader`). Opening it takes up what SQLite has in
# its log.
_CHECK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1] + "?mode=rw", uri=True)
print(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
"""


def remove_database(path: Path) -> None:
    """Remove a database and its logs, which would be taken for those of a new one."""
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def is_whole(database: Path) -> bool:
    """Whether a database can be read and its structure is as SQLite made it."""
    command = [sys.executable, "-I", "-c", _CHECK, database.resolve().as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() == "ok"


class SfmState:
    """The database and what is known of it.

    Args:
        pycolmap: the module.
        work: folder of the state.
        features: digest of all that the features are made from.
        matches: the same of the matches.

    Raises:
        UserError, OSError: the folder can't be written.
    """

    def __init__(self, pycolmap: Any, work: Path, features: str, matches: str) -> None:
        self.database = work / "database.db"
        self._file = work / "state.json"
        remove_leftovers(self._file)
        self._known = self._read()
        if self._known.get("features") != features or not self._is_usable():
            self._known = {}
            self._write()
            remove_database(self.database)
        if self._known.get("matches") != matches:
            kept = ("features", "extracted")
            self._known = {key: self._known[key] for key in kept if key in self._known}
            self._write()
            if self.database.is_file():
                with pycolmap.Database.open(self.database) as database:
                    database.clear_matches()
                    database.clear_two_view_geometries()
        self._known |= {"features": features, "matches": matches}
        self._write()

    def get(self, step: str) -> Any:
        """What `finish` was told of a step; None where it is not whole."""
        return self._known.get(step)

    def finish(self, step: str, value: Any = True) -> None:
        """Note that a step is whole; nobody may have the database open."""
        for file in self.database.parent.glob(f"{self.database.name}*"):
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        self._known[step] = value
        self._write()

    def _is_usable(self) -> bool:
        if not self.database.is_file():
            return False
        if is_whole(self.database):
            return True
        _LOG.warning("%s: damaged; it is made again", self.database)
        return False

    def _read(self) -> dict[str, Any]:
        if not self._file.is_file():
            return {}
        try:
            known = read_json(self._file)
        except UserError as error:
            _LOG.warning("%s; it is made again", error)
            return {}
        return known if isinstance(known, dict) else {}

    def _write(self) -> None:
        write_json(self._file, self._known)
