"""Options that several commands share, and what they choose."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dac.catalogue import TrainedModel, choose_model, choose_scene
from dac.cli import completion
from dac.errors import UserError, printable

if TYPE_CHECKING:
    from dac.export.source import Source
    from dac.scenes.scene import Scene

Results = Annotated[
    Path | None, typer.Option(help="Results folder of the workflow; default: results.")
]
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
ModelFile = Annotated[
    Path | None,
    typer.Argument(
        help="A model file of `dac export model`, in the place of --results, --scene and --model.",
        show_default=False,
    ),
]
SizeOption = Annotated[
    str | None, typer.Option(help="Pixels, as 640x480; default: the training views'.")
]

_LARGEST_PICTURE = 16_384


def choose(
    results: Path | None, scene: str | None, model: str | None
) -> tuple[Scene, TrainedModel]:
    """The scene and the model that the options mean; says on standard error which.

    Raises:
        UserError: there is none, or no such.
    """
    from dac.scenes.scene import Scene

    results = results or Path("results")
    name = choose_scene(results, scene)
    trained = choose_model(results, name, model)
    _say(name, trained.title, trained.seed)
    return Scene.load(results / name / "scene"), trained


def choose_source(
    file: Path | None, results: Path | None, scene: str | None, model: str | None
) -> Source:
    """The model that a file holds, or that the options mean; says on standard error which.

    Raises:
        UserError: there is none, or no such; it is damaged; a file is named and options too.
    """
    from dac.export.model_file import read_contents
    from dac.export.source import from_file, from_results

    if file is None:
        return from_results(*choose(results, scene, model))
    for option, value in (("--results", results), ("--scene", scene), ("--model", model)):
        if value is not None:
            raise UserError(option, f"the model is {file} already", f"drop {option}, or the file")
    if file.is_dir():
        raise UserError(file, "is a folder, not a model file", f"write --results {file}")
    about = read_contents(file).about
    _say(about.scene, about.title, about.seed)
    return from_file(file)


def _say(scene: str, title: str, seed: int) -> None:
    typer.echo(printable(f"{scene}: {title}, seed {seed}"), err=True)


def parse_size(size: str | None) -> tuple[int, int] | None:
    """Width and height.

    Raises:
        UserError: the text is no size, or too large.
    """
    if size is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,6})x([1-9]\d{0,6})", size)
    if match is None or max(int(match[1]), int(match[2])) > _LARGEST_PICTURE:
        fix = f"write WIDTHxHEIGHT in pixels, sides up to {_LARGEST_PICTURE}, as 640x480"
        raise UserError(f"--size {size}", "is no size", fix)
    return int(match[1]), int(match[2])
