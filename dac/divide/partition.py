"""A partition of a scene's training views into K groups, as a value and as a file.

Notation: N training views, K groups. Groups may overlap (azimuth-overlap), but each view has
exactly one *owner*, the group whose expert teaches the view's rays (Eq. 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dac.errors import UserError
from dac.storage.artifacts import read_json, write_json

_WORDS = {
    "azimuth": "sector",
    "azimuth-quantile": "sector",
    "azimuth-overlap": "sector",
    "louvain": "community",
    "spectral": "cluster",
}


@dataclass(frozen=True)
class Partition:
    """K groups of training views.

    Attributes:
        division: how the groups were found, e.g. `azimuth`.
        groups: K tuples of view names, each in the scene's order; together they cover all views.
        owner: view name -> index of the group whose expert teaches it.
        notes: facts worth a line in the report, e.g. that Louvain found 6 communities.
    """

    division: str
    groups: tuple[tuple[str, ...], ...]
    owner: dict[str, int]
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """K."""
        return len(self.groups)

    @property
    def word(self) -> str:
        """What people call one of its groups."""
        return _WORDS.get(self.division, "group")

    def check(self) -> None:
        """Check that the groups and the owners agree.

        Raises:
            ValueError: a view without an owner, an owner that does not hold its view.
        """
        if {name for group in self.groups for name in group} != set(self.owner):
            raise ValueError("groups and owners name different views")
        for name, group in self.owner.items():
            if group not in range(self.count) or name not in self.groups[group]:
                raise ValueError(f"{name} is not in the group that owns it")

    def save(self, path: Path) -> None:
        """Write the partition as JSON, whole or not at all."""
        write_json(
            path,
            {
                "division": self.division,
                "groups": [list(group) for group in self.groups],
                "owner": self.owner,
                "notes": list(self.notes),
            },
        )

    @classmethod
    def load(cls, path: Path) -> Partition:
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing or damaged.
        """
        data: dict[str, Any] = read_json(path)
        try:
            partition = cls(
                division=data["division"],
                groups=tuple(tuple(group) for group in data["groups"]),
                owner=dict(data["owner"]),
                notes=tuple(data["notes"]),
            )
            partition.check()
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(path, f"is no partition ({error!r})", "delete it, run again") from None
        return partition
