"""How large a new scene's images, model and steps are, in the paper's proportions.

The paper's model has 0.3 parameters for each pixel of its 180 training views of 800 x 800, and the
steps of 1x see each of these pixels once. A model of far fewer parameters is starved, one of far
fewer looks has only begun: neither says what a method is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dac.settings import ModelSettings, RenderSettings, TrainSettings, validate
from dac.storage.project import PROJECT
from dac.storage.yaml_files import read_yaml

SizeName = Literal["preview", "small", "paper"]
BOXED = ("blender", "blend")  # formats of objects in a box; those of others are real places
FEWEST_PARAMETERS = 0.29  # a training pixel; the paper's own
FEWEST_LOOKS = 0.5  # at each in the steps of 1x; half of the paper's
_SECTIONS = ("model", "train", "distill", "finetune", "evaluate")


@dataclass(frozen=True)
class Proportions:
    """What a model has for the pixels of all training views.

    Attributes:
        parameters: numbers in the planes of the field and the proposals; the networks' are some
            thousands more.
        rays: of all steps of 1x.
    """

    parameters: int
    rays: int

    @property
    def most_pixels(self) -> float:
        """How many pixels keep both proportions."""
        return min(self.parameters / FEWEST_PARAMETERS, self.rays / FEWEST_LOOKS)


@dataclass(frozen=True)
class Sizes:
    """Sizes that go together.

    Attributes:
        suits: what they are made for.
        longest_side: pixels, of an image at most.
        box, unbounded: the configurations that hold them, for an object in a box and for a real
            place.
        render: how views of a `.blend` file are made.
        for_good: whether what is made has the paper's proportions, or is for a look.
    """

    suits: str
    longest_side: int
    box: Path
    unbounded: Path
    render: RenderSettings
    for_good: bool = True

    def sections(self, format: str) -> dict[str, Any]:
        """The configuration's sections, by name."""
        configuration = read_yaml(self._file(format))
        return {name: configuration[name] for name in _SECTIONS}

    def proportions(self, format: str) -> Proportions:
        """What the model has for all training pixels."""
        from dac.workflow.preflight import parameters

        sections, source = self.sections(format), str(self._file(format))
        model = validate(ModelSettings, sections["model"], source)
        train = validate(TrainSettings, sections["train"], source)
        return Proportions(parameters(model), train.steps * train.rays)

    def _file(self, format: str) -> Path:
        return self.box if format in BOXED else self.unbounded


_PREVIEW = PROJECT / "config/sizes/preview.yaml"
_SMALL = PROJECT / "config/sizes/small.yaml"
SIZES: dict[SizeName, Sizes] = {
    "preview": Sizes(
        suits="a look in two minutes",
        longest_side=200,
        box=_PREVIEW,
        unbounded=_PREVIEW,
        render=RenderSettings(size=100, samples=8),
        for_good=False,
    ),
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
        box=PROJECT / "config/paper/blender.yaml",
        unbounded=PROJECT / "config/paper/tanks_and_temples.yaml",
        render=RenderSettings(),
    ),
}
