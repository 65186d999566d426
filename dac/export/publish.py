"""From a results folder to one file and its model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from dac.catalogue import FILES, TrainedModel
from dac.conquer.routed import load
from dac.errors import UserError
from dac.evaluation.records import RECORD_FILE, Evaluation
from dac.evaluation.truth import background_colour
from dac.export.card import model_card
from dac.export.contents import Contents
from dac.export.model_file import save
from dac.scenes.scene import Scene
from dac.storage.artifacts import read_json, write_file
from dac.version import __version__


def export_model(scene: Scene, trained: TrainedModel, out: Path, card: Path) -> Contents:
    """Write a trained model into one file, and its card beside it.

    Args:
        scene: that it was trained on.
        trained: the model, in a results folder.
        out: the file, `*.safetensors`.
        card: the model card, Markdown.

    Returns:
        What the file says besides its weights.

    Raises:
        UserError: the model or its records are damaged; the disk is full.
    """
    if out.suffix != ".safetensors":
        raise UserError(out, "the name of a model file ends in .safetensors", "change --out")
    model = load(trained.folder)  # refuses damage
    weights = load_file(trained.folder / FILES[0])
    view = scene.train[0]
    pose = scene.cameras.world_from_camera[view].tolist()
    camera = {
        "world_from_camera": pose,
        "focal": float(scene.cameras.intrinsics[view, 1]),
        "width": scene.cameras.width,
        "height": scene.cameras.height,
    }
    contents = {
        "background": background_colour(scene).tolist(),
        "world_from_data": scene.world_from_data.tolist(),
        "camera": camera,
        "about": _about(scene, trained),
    }
    written = save(out, model, weights, scene.cameras.select(scene.train), contents)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    size = sum(value.nbytes for value in weights.values())
    text = model_card(written, out.name, out.stat().st_size, size, parameters)
    write_file(card, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return written


def _about(scene: Scene, trained: TrainedModel) -> dict[str, Any]:
    record = read_json(trained.folder / "model.json")
    evaluation = _evaluation(trained.folder)
    try:
        about = {
            "scene": trained.scene,
            "model": trained.name,
            "title": trained.title,
            "seed": record["seed"],
            "views": len(scene.train),
            "steps": record["steps"],
            "division": trained.division,
            "K": trained.K,
            "mode": trained.mode,
            "versions": record["versions"],
            "exported_by": __version__,
        }
    except (KeyError, TypeError) as error:
        again = "delete the folder and run its rule again"
        where = trained.folder / "model.json"
        raise UserError(where, f"is no model's record ({error!r})", again) from None
    return {
        **about,
        "training_steps": evaluation.cost.training_steps if evaluation else None,
        "psnr": evaluation.mean.psnr if evaluation else None,
        "scored_views": len(evaluation.images) if evaluation else None,
        "commit": evaluation.git_commit if evaluation else None,
    }


def _evaluation(folder: Path) -> Evaluation | None:
    """A model's record; experts, for example, have none of their own."""
    record = folder / "evaluation" / RECORD_FILE
    return Evaluation.load(record) if record.is_file() else None
