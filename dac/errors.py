"""The one exception that a user's mistake raises."""

from __future__ import annotations

from pathlib import Path


class UserError(Exception):
    """A mistake in what the user gave: settings, images, poses, a full disk.

    Its text is one printable line, `where: what; fix`, and is all that the user sees: the
    workflow's scripts print it without a traceback and exit with status 1.

    Args:
        where: the file or settings key at fault, e.g. `config.yaml: scenes.lego.K`.
        what: what is wrong there.
        fix: what the user can do about it.
    """

    def __init__(self, where: str | Path, what: str, fix: str = "") -> None:
        self.where = str(where)
        self.what = what
        self.fix = fix
        text = f"{_cut(self.where, 400)}: {_cut(what, 600)}" + (
            f"; {_cut(fix, 300)}" if fix else ""
        )
        super().__init__(" ".join(text.split()))


def _cut(text: str, most: int) -> str:
    """`text` without its middle, if it is long, and fit for any terminal."""
    text = text if len(text) <= most else f"{text[: most // 2]} ... {text[-(most // 2) :]}"
    return printable(text)


def printable(text: str) -> str:
    """`text` with what can't be printed escaped, white space left.

    Names and values come from files: they may hold escape sequences, or what no encoding can print.
    """
    return "".join(
        letter if letter.isprintable() or letter.isspace() else ascii(letter)[1:-1]
        for letter in text
    )
