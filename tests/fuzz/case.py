"""What a case is, and what all kinds of damage share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any


@dataclass
class Case:
    """What a case holds besides its folder.

    Attributes:
        number: it names the case.
        kind: one of `bases.KINDS`.
        changes: what was done to the base.
        scene: the scene's section of the settings, for data sets.
        division, K, divide: how it is divided.
    """

    number: int
    kind: str
    changes: list[str] = field(default_factory=list)
    scene: dict[str, Any] = field(default_factory=dict)
    division: str = "azimuth"
    K: int = 2
    divide: dict[str, Any] = field(default_factory=lambda: {"minimum_views": 1})


Damage = Callable[[Random, Path, Case], str]
"""Makes a mistake in a case's folder, and says which; nothing where there is nothing to damage."""


def data_files(root: Path, *suffixes: str) -> list[Path]:
    """Files of a case's data, of some suffixes or of all."""
    found = [file for file in sorted((root / "data").rglob("*")) if file.is_file()]
    return [file for file in found if not suffixes or file.suffix in suffixes]
