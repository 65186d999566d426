"""What a results folder holds: its scenes, and the models that were trained on them.

Paths say what a result is (`dac.runs`), so they alone are read. A model is there once its folder
holds both its weights and its record.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dac.errors import UserError
from dac.runs import KINDS, Run
from dac.settings import CONTROLS

FILES = ("model.safetensors", "model.json")
# Folders of a results folder that are no scene's, and so no scene's name.
RESERVED = ("benchmarks", "figures", "logs", "settings", "state", "tables")


@dataclass(frozen=True, kw_only=True)
class TrainedModel(Run):
    """A run whose model is there.

    Attributes:
        folder: holds `model.safetensors` and `model.json`.
    """

    folder: Path


def scenes_of(results: Path) -> list[str]:
    """Names of the scenes that were imported, sorted.

    Raises:
        UserError: there is no such folder.
    """
    if not results.is_dir():
        raise UserError(results, "no such folder", "run the workflow, or name its results folder")
    return sorted(file.parent.parent.name for file in results.glob("*/scene/scene.json"))


def models_of(results: Path, scene: str) -> list[TrainedModel]:
    """A scene's models, by variant, seed, kind, and name; of control divisions before others."""
    found = []
    for file in (results / scene).glob("*/seed*/**/model.json"):
        folder = file.parent
        run = Run.parse(folder.relative_to(results).as_posix())
        if run is not None and all((folder / name).is_file() for name in FILES):
            found.append(TrainedModel(**vars(run), folder=folder))
    return sorted(found, key=_order)


def _order(run: Run) -> tuple[str, int, int, bool, list[tuple[int, str]]]:
    meant = run.division not in CONTROLS
    return run.model, run.seed, list(KINDS).index(run.kind), meant, _natural(run.name)


def _natural(name: str) -> list[tuple[int, str]]:
    """A key by which 2 comes before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def choose_scene(results: Path, name: str | None = None) -> str:
    """The named scene, or the only one.

    Raises:
        UserError: no such scene; none is named and there are several, or none.
    """
    scenes = scenes_of(results)
    if not scenes:
        raise UserError(results, "holds no scene", "run the workflow first")
    if name is None and len(scenes) == 1:
        return scenes[0]
    if name is None:
        raise UserError(results, f"holds {len(scenes)} scenes", _one_of("name one", scenes))
    if name not in scenes:
        raise UserError(results, f"holds no scene {name}", _one_of("there is", scenes))
    return name


def choose_model(results: Path, scene: str, name: str | None = None) -> TrainedModel:
    """The model that a name means; without a name the last one, which is fine-tuned if any is.

    Args:
        name: a method (`baseline`, `dac`, ...), `expert2`, or a path below the seed's folder, or
            its end; where several models fit, the last in the order of `models_of`, of the first
            seed.

    Raises:
        UserError: there is no model, or none of that name.
    """
    models = models_of(results, scene)
    if not models:
        raise UserError(results / scene, "holds no trained model yet", "run the workflow first")
    wanted = models
    if name is not None:
        wanted = [model for model in models if _means(name, model)]
        if not wanted:
            names = list(dict.fromkeys(model.name for model in models))
            raise UserError(results / scene, f"holds no model {name}", _one_of("there is", names))
    return [model for model in wanted if model.seed == wanted[0].seed][-1]


def _means(name: str, model: TrainedModel) -> bool:
    return name == model.method or f"/{model.name}".endswith(f"/{name}")


def _one_of(words: str, names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return f"{words}: {shown}{', ...' if len(names) > 8 else ''}"
