"""How large a new scene's images, model and steps are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dac.settings import RenderSettings
from dac.storage.yaml_files import read_yaml

SizeName = Literal["small", "paper"]
BOXED = ("blender", "blend")  # formats of objects in a box; those of others are real places
_SECTIONS = ("model", "train", "distill", "finetune", "evaluate")


@dataclass(frozen=True)
class Sizes:
    """Sizes that go together.

    Attributes:
        suits: what they are made for.
        longest_side: pixels, of an image at most.
        box, unbounded: the configurations that hold them, for an object in a box and for a real
            place; relative to the project's folder.
        render: how views of a `.blend` file are made.
    """

    suits: str
    longest_side: int
    box: Path
    unbounded: Path
    render: RenderSettings

    def sections(self, format: str) -> dict[str, Any]:
        """The configuration's sections, by name."""
        configuration = read_yaml(self.box if format in BOXED else self.unbounded)
        return {name: configuration[name] for name in _SECTIONS}


_SMALL = Path("config/sizes/small.yaml")
SIZES: dict[SizeName, Sizes] = {
    "small": Sizes(
        suits="a few CPU cores",
        longest_side=320,
        box=_SMALL,
        unbounded=_SMALL,
        # Some seconds a view on a core; the defaults take 64 times that.
        render=RenderSettings(size=200, samples=32),
    ),
    "paper": Sizes(
        suits="a GPU",
        longest_side=1600,
        box=Path("config/paper/blender.yaml"),
        unbounded=Path("config/paper/tanks_and_temples.yaml"),
        render=RenderSettings(),
    ),
}
