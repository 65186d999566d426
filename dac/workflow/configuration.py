"""A checked configuration: the settings, and every scene's with its own overrides on top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dac.configuration import ResolvedScene, Settings, parse, resolve


class NotConfiguredError(Exception):
    """A path names what the configuration doesn't have."""


@dataclass(frozen=True)
class Configuration:
    """What a workflow was asked for.

    Attributes:
        settings: as they are written.
        scenes: by name, each with all sections resolved.
    """

    settings: Settings
    scenes: Mapping[str, ResolvedScene]

    @classmethod
    def checked(cls, data: dict[str, Any], source: str = "config") -> Configuration:
        """Check plain data.

        Raises:
            UserError: names the file and the key at fault.
        """
        settings = parse(data, source)
        return cls(settings, {e.name: resolve(settings, e.name) for e in settings.scenes})

    def path(self, pattern: str, **values: object) -> str:
        """A path in the results folder, from its pattern below it."""
        return f"{self.settings.results}/{pattern.format(**values)}"

    def scene(self, name: str) -> ResolvedScene:
        """The settings of the scene that a path names.

        Raises:
            NotConfiguredError: there is no such scene.
        """
        if name not in self.scenes:
            raise NotConfiguredError(f"no scene '{name}' in the configuration")
        return self.scenes[name]
