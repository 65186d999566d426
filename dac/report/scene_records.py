"""Evaluation records as figures take them: by scene and model, the seeds of a run together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dac.errors import UserError
from dac.evaluation.records import Evaluation, Label
from dac.report.methods import model_name
from dac.report.text import for_figure


@dataclass(frozen=True)
class SceneRecords:
    """What the records say of one scene and model.

    Attributes:
        scene, model: their names.
        several_models: whether other records are of another model.
        runs: label with seed 0 -> the run's records, by ascending seed.
    """

    scene: str
    model: str
    several_models: bool
    runs: dict[Label, list[Evaluation]]

    @property
    def title(self) -> str:
        """For matplotlib."""
        text = f"{self.scene}, {model_name(self.model)}" if self.several_models else self.scene
        return for_figure(text, 30)

    def select(self, method: str, **wanted: str | int | None) -> list[Label]:
        """Labels of the runs of a method, e.g. `select("dac", division="random", K=4)`.

        Ordered by mode, then by steps.
        """
        found = [
            label
            for label in self.runs
            if label.method == method
            and all(getattr(label, name) == value for name, value in wanted.items())
        ]
        return sorted(found, key=lambda x: (x.mode or "", x.steps, x.distill_steps or 0))


def load_scene_records(records: Sequence[Path]) -> list[SceneRecords]:
    """Read records; scenes and models come in the order of their first record.

    Args:
        records: `evaluation.json` files, or the folders that hold them.

    Raises:
        UserError: no record, a damaged one, two of the same run, or records of one scene that score
            different views, or in another order: their means can't be compared.
    """
    if not records:
        raise UserError("figure", "no evaluation record is given", "run an evaluation first")
    groups: dict[tuple[str, str], dict[Label, list[Evaluation]]] = {}
    views: dict[str, tuple[Path, list[str]]] = {}
    for path in records:
        record = Evaluation.load(path)
        names = [image.name for image in record.images]
        first, expected = views.setdefault(record.scene, (path, names))
        if names != expected:
            raise UserError(path, f"scores other views than {first}", "score the same test views")
        runs = groups.setdefault((record.scene, record.label.model), {})
        seeds = runs.setdefault(replace(record.label, seed=0), [])
        if any(record.label.seed == other.label.seed for other in seeds):
            what = "records a run that another record holds too"
            raise UserError(path, what, "list each run once")
        seeds.append(record)
    for runs in groups.values():
        for seeds in runs.values():
            seeds.sort(key=lambda record: record.label.seed)
    several = len({model for _, model in groups}) > 1
    return [SceneRecords(scene, model, several, runs) for (scene, model), runs in groups.items()]


def psnr_of_seeds(records: Sequence[Evaluation]) -> NDArray[np.float64]:
    """(S,) mean PSNR of each record, dB."""
    return np.array([record.mean.psnr for record in records])


def deviation(values: NDArray[np.float64]) -> float | None:
    """Sample standard deviation; None of a single value, which has none."""
    return float(values.std(ddof=1)) if len(values) > 1 else None
