"""What docs/cluster.md says: its commands, as a reader would type them, and its table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cluster.md"


@dataclass(frozen=True)
class Asked:
    """What the first attempt of a rule's jobs asks for."""

    gpus: int
    cores: int
    memory_mb: int
    minutes: int


def commands() -> dict[str, list[str]]:
    """Heading -> the lines of the shell blocks below it, without their comments."""
    found: dict[str, list[str]] = {}
    for section in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
        if lines:
            found[heading] = lines
    return found


def asked() -> dict[str, Asked]:
    """Rule -> its row in the table of what each rule asks for."""
    row = re.compile(
        r"^\| (?P<rules>`[^|]*`) \| (?P<gpus>\d) \| (?P<cores>\d+) "
        r"\| (?P<memory>\d+) GB \| (?P<time>\d+) (?P<unit>h|min) \|",
        re.MULTILINE,
    )
    found = {}
    for match in row.finditer(PAGE.read_text()):
        minutes = int(match["time"]) * {"h": 60, "min": 1}[match["unit"]]
        memory = 1000 * int(match["memory"])
        of_rule = Asked(int(match["gpus"]), int(match["cores"]), memory, minutes)
        found |= dict.fromkeys(re.findall(r"`(\w+)`", match["rules"]), of_rule)
    return found
