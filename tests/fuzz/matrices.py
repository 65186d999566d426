"""Mistakes in the text matrices of NeRF++ and NSVF data sets, and in their files' names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import hostile
from case import Case, Damage, data_files


def _matrix(random: Random, root: Path, case: Case) -> str:
    """A camera's text with another number, count of numbers, form or text."""
    file = random.choice(data_files(root, ".txt") or [None])
    if file is None:
        return ""
    text = file.read_bytes().decode("utf-8", "replace")
    if random.random() < 0.5:
        lines = [line.split() for line in text.splitlines()]
        row = random.choice(lines)
        at = random.randrange(len(row))
        row[at] = str(random.choice([hostile.value(random), *hostile.NUMBERS]))
        done = f"{at} = {ascii(row[at])[:40]}"
        data = "\n".join(map(" ".join, lines)).encode("utf-8", "surrogatepass")
    else:
        done, data = hostile.damage_text(
            random, text, [hostile.other_token(random), *_MATRIX_FORMS]
        )
    file.write_bytes(data)
    return f"{file.relative_to(root)}: {done}"


_MATRIX_FORMS: list[Callable[[str], str]] = [
    lambda text: " ".join(text.split()),
    lambda text: " ".join(text.split()[:12]),
    lambda text: "30. 12. 10. 0.\n0. 0. 0.\n0.1\n1.\n20 24\n",
    lambda text: "30 0 12\n0 30 10\n0 0 1\n",
    lambda text: text * 3000,
    lambda text: "0 " * 30_000,
]


def _view_name(random: Random, root: Path, case: Case) -> str:
    """An image or a camera's file under another name."""
    file = random.choice(data_files(root, ".txt", ".png"))
    name = random.choice(_VIEW_NAMES) + random.choice([file.suffix, ".jpg", ".txt", ".PNG"])
    file.rename(os.fsencode(file.parent) + b"/" + os.fsencode(name))
    return f"{file.relative_to(root)} is now {name!a}"


_VIEW_NAMES = ["0", "7", "2_0", "3_0", "0_", "_", "0_1", "1_1", ".0", "caf\udce9", "a\nb", "0.0"]


DAMAGES: list[Damage] = [_matrix] * 7 + [_view_name] * 2
