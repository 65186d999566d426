"""What the documentation's pages hold besides words: commands, and edits of files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

_BLOCK = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_EDIT = re.compile(
    r"^`(?P<file>[\w./]+)`(?P<new>, a new file)?:\n\n```(?P<kind>python|diff)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def blocks(page: Path, kind: str) -> list[str]:
    """The text of a page's fenced blocks of a kind."""
    text = page.read_text(encoding="utf-8")
    return [block["text"] for block in _BLOCK.finditer(text) if block["kind"] == kind]


def commands(page: Path) -> list[str]:
    """A page's commands in order: lines of `sh` blocks, and what stands after `$ ` on screens."""
    found = []
    for block in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        for line in block["text"].splitlines():
            if block["kind"] == "sh":
                found.append(re.sub(r"\s+#.*|^#.*", "", line).strip())
            elif block["kind"] in ("", "console") and line.startswith("$ "):
                found.append(line.removeprefix("$ "))
    return [line for line in found if line]


@dataclass(frozen=True)
class Edit:
    """A file that a page writes, or changes.

    Attributes:
        file: relative to the repository.
        new: whether the text is the file's.
        text: of the file; else hunks of a unified diff without line numbers, parted by `@@`.
    """

    file: str
    new: bool
    text: str

    def apply(self, root: Path) -> None:
        """Make the edit in a copy of the repository.

        Raises:
            ValueError: what is to be replaced isn't there exactly once.
        """
        path = root / self.file
        if self.new:
            if path.exists():
                raise ValueError(f"{self.file} is there already")
            path.write_text(self.text, encoding="utf-8")
            return
        text = path.read_text(encoding="utf-8")
        for hunk in self.text.split("@@\n"):
            lines = hunk.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            new = "".join(line[1:] for line in lines if line[0] in " +")
            if text.count(old) != 1:
                raise ValueError(f"{self.file} holds {text.count(old)} times:\n{old}")
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")


def edits(page: Path) -> Iterator[Edit]:
    """A page's edits, in order."""
    for found in _EDIT.finditer(page.read_text(encoding="utf-8")):
        yield Edit(found["file"], found["new"] is not None, found["text"])
