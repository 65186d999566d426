"""What a shell's completion offers for scenes and models: names from the results folder.

For options of a command that has `results`, as an argument or an option.
"""

from __future__ import annotations

from pathlib import Path

import typer

from dac.catalogue import models_of, scenes_of
from dac.cli.jobs import results_folders


def scenes(context: typer.Context) -> list[str]:
    """Scenes of the results folder that the line names, else of `results`."""
    return sorted({scene for folder in _folders(context) for scene in scenes_of(folder)})


def models(context: typer.Context) -> list[str]:
    """Kinds and names of the models of the line's scene, or of all scenes in its results folder."""
    chosen = context.params.get("scene")
    found = [
        model
        for folder in _folders(context)
        for scene in ([chosen] if chosen else scenes_of(folder))
        for model in models_of(folder, scene)
    ]
    return list(dict.fromkeys([m.method for m in found] + [m.name for m in found]))


def _folders(context: typer.Context) -> list[Path]:
    """Results folders at or below the one that the line names.

    A line that ends in an option without a value is not parsed to its end: what the arguments mean
    isn't known yet, and the folder is the first of them.
    """
    root = Path(context.args[0] if context.args else context.params.get("results") or "results")
    return [*dict.fromkeys([root, *results_folders(root)])] if root.is_dir() else []
