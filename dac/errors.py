"""The one exception that a user's mistake raises."""

from __future__ import annotations

from pathlib import Path


class UserError(Exception):
    """A mistake in what the user gave: settings, images, poses, a full disk.

    Its text is one line, `where: what; fix`, and is all that the user sees: the workflow's scripts
    print it without a traceback and exit with status 1.

    Args:
        where: the file or settings key at fault, e.g. `config.yaml: scenes.lego.K`.
        what: what is wrong there.
        fix: what the user can do about it.
    """

    def __init__(self, where: str | Path, what: str, fix: str = "") -> None:
        self.where = str(where)
        self.what = what
        self.fix = fix
        text = f"{self.where}: {what}" + (f"; {fix}" if fix else "")
        super().__init__(" ".join(text.split()))
