"""What a results folder holds: its scenes, and the models that were trained on them.

Paths say what a result is (docs/architecture.md), so they alone are read. A model is there once its
folder holds both its weights and its record.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dac.errors import UserError

Kind = Literal["baseline", "restart", "expert", "distilled", "dac"]
KINDS: tuple[Kind, ...] = ("baseline", "restart", "expert", "distilled", "dac")
CONTROLS = ("single", "random")  # divisions that mean nothing
FILES = ("model.safetensors", "model.json")
# Folders of a results folder that are no scene's, and so no scene's name.
RESERVED = ("benchmarks", "figures", "logs", "settings", "state", "tables")

_SEED = re.compile(r"seed(-?\d+)")
_FORMS: dict[Kind, re.Pattern[str]] = {
    "baseline": re.compile(r"baseline-(?P<steps>\d+)"),
    "restart": re.compile(r"baseline-(?P<before>\d+)-restart-(?P<steps>\d+)"),
    "expert": re.compile(r"(?P<division>[a-z-]+)-(?P<K>\d+)/expert(?P<group>\d+)"),
    "distilled": re.compile(
        r"(?P<division>[a-z-]+)-(?P<K>\d+)/(?P<mode>[a-z]+)/distill-(?P<steps>\d+)"
    ),
    "dac": re.compile(
        r"(?P<division>[a-z-]+)-(?P<K>\d+)/(?P<mode>[a-z]+)"
        r"/distill-(?P<before>\d+)-finetune-(?P<steps>\d+)"
    ),
}


@dataclass(frozen=True)
class TrainedModel:
    """One model of a results folder.

    Attributes:
        folder: holds `model.safetensors` and `model.json`.
        scene, field: names, e.g. `lego` and `kplanes`.
        seed: of its training.
        name: its path below the seed's, e.g. `azimuth-4/corrected/distill-600-finetune-600`.
        kind: what it is; a `distilled` model was not fine-tuned yet, a `dac` one was.
        division, K: of the experts that it is, or learnt from; None for a baseline.
        group: of an expert, from 0; else None.
        mode: of the conquer phase; else None.
        before: steps of the phase before its last one; else 0.
        steps: of its last phase; None for an expert, whose path doesn't say it.
    """

    folder: Path
    scene: str
    field: str
    seed: int
    name: str
    kind: Kind
    division: str | None
    K: int | None
    group: int | None
    mode: str | None
    before: int
    steps: int | None

    @property
    def title(self) -> str:
        """What people call it."""
        steps = "" if self.steps is None else f", {self.steps:,} steps"
        if self.kind == "baseline":
            return f"baseline{steps}"
        if self.kind == "restart":
            return f"baseline, restarted{steps}"
        groups = f"{self.division}, K = {self.K}"
        if self.kind == "expert":
            return f"expert {self.group} ({groups})"
        kind = "distilled" if self.kind == "distilled" else "DaC"
        return f"{kind} ({groups}, {self.mode}{steps})"


def scenes_of(results: Path) -> list[str]:
    """Names of the scenes that were imported, sorted.

    Raises:
        UserError: there is no such folder.
    """
    if not results.is_dir():
        raise UserError(results, "no such folder", "run the workflow, or name its results folder")
    return sorted(file.parent.parent.name for file in results.glob("*/scene/scene.json"))


def models_of(results: Path, scene: str) -> list[TrainedModel]:
    """A scene's models, by field, seed, kind, and name; of control divisions before others."""
    found = []
    for file in (results / scene).glob("*/seed*/**/model.json"):
        folder = file.parent
        if all((folder / name).is_file() for name in FILES):
            field, seed, *below = folder.relative_to(results / scene).parts
            model = _model(folder, scene, field, seed, "/".join(below))
            found += [] if model is None else [model]
    return sorted(found, key=_place)


def _place(model: TrainedModel) -> tuple[str, int, int, bool, list[tuple[int, str]]]:
    meant = model.division not in CONTROLS
    return model.field, model.seed, KINDS.index(model.kind), meant, _natural(model.name)


def _model(folder: Path, scene: str, field: str, seed: str, name: str) -> TrainedModel | None:
    """None for a folder that is no model's."""
    number = _SEED.fullmatch(seed)
    for kind, form in _FORMS.items():
        if number and (match := form.fullmatch(name)):
            said = match.groupdict()
            K, group, steps = (_number(said.get(key)) for key in ("K", "group", "steps"))
            before = _number(said.get("before")) or 0
            words = (said.get("division"), K, group, said.get("mode"))
            return TrainedModel(
                folder, scene, field, int(number[1]), name, kind, *words, before, steps
            )
    return None


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


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
        name: a kind (`baseline`, `dac`, ...), `expert2`, or a path below the seed's folder, or its
            end; where several models fit, the last in the order of `models_of`, of the first seed.

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
    return name == model.kind or f"/{model.name}".endswith(f"/{name}")


def _one_of(words: str, names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return f"{words}: {shown}{', ...' if len(names) > 8 else ''}"
