"""The partitions of a scene, and the colours of their groups."""

from __future__ import annotations

from pathlib import Path

from dac.report.style import UNASSIGNED, group_colours

Colour = tuple[int, int, int]


def partitions_of(scene_dir: Path) -> dict[str, Path]:
    """The partition files of a scene's results, by their folders' names, e.g. `azimuth-4`."""
    return {file.parent.name: file for file in sorted(scene_dir.glob("*/partition.json"))}


def colours(K: int) -> list[Colour]:
    """K + 1 colours as 8-bit RGB; the last is of what belongs to no group."""
    return [
        (int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16))
        for code in [*group_colours(K), UNASSIGNED]
    ]
