"""Options that several commands share, and what they choose."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dac.catalogue import TrainedModel, choose_model, choose_scene
from dac.cli import completion
from dac.errors import UserError

if TYPE_CHECKING:
    from dac.scenes.scene import Scene

Results = Annotated[Path, typer.Option(help="Results folder of the workflow.")]
ResultsArgument = Annotated[Path, typer.Argument(help="Results folder of the workflow.")]
SceneName = Annotated[
    str | None,
    typer.Option("--scene", help="Scene; default: the only one.", autocompletion=completion.scenes),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="A kind (baseline, dac, ...), expert2, or a path below the seed's folder; default: "
        "the last, which is fine-tuned if any is.",
        autocompletion=completion.models,
    ),
]
Size = Annotated[str | None, typer.Option(help="Pixels, as 640x480; default: the training views'.")]

LARGEST_SIDE = 16_384


def choose(results: Path, scene: str | None, model: str | None) -> tuple[Scene, TrainedModel]:
    """The scene and the model that the options mean; says on standard error which.

    Raises:
        UserError: there is none, or no such.
    """
    from dac.scenes.scene import Scene

    name = choose_scene(results, scene)
    trained = choose_model(results, name, model)
    typer.echo(f"{name}: {trained.title}, seed {trained.seed}", err=True)
    return Scene.load(results / name / "scene"), trained


def parse_size(size: str | None) -> tuple[int, int] | None:
    """Width and height.

    Raises:
        UserError: the text is no size, or too large.
    """
    if size is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,6})x([1-9]\d{0,6})", size)
    if match is None or max(int(match[1]), int(match[2])) > LARGEST_SIDE:
        fix = f"write WIDTHxHEIGHT in pixels, sides up to {LARGEST_SIDE}, as 640x480"
        raise UserError(f"--size {size}", "is no size", fix)
    return int(match[1]), int(match[2])
