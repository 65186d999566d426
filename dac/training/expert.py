"""An expert: the same model on the views of one group (Algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dac.divide.partition import Partition
from dac.errors import UserError
from dac.fields.model import build_model, default_device
from dac.scenes.scene import Scene
from dac.settings import ModelSettings, TrainSettings
from dac.training.images import ImageObjective
from dac.training.keys import Stream, mix
from dac.training.phase import Phase, scene_inputs, train_phase
from dac.training.schedules import learning_rate


def train_expert(
    scene: Path,
    partition: Path,
    group: int,
    model: ModelSettings,
    train: TrainSettings,
    *,
    seed: int,
    out: Path,
    state: Path,
) -> None:
    """Train one expert on the views of its group (Algorithm 1), for `train.steps` steps.

    Experts of a seed start from the same initialisation and draw different batches.

    Args:
        scene: a scene's folder.
        partition: the file.
        group: the expert's, from 0.

    Raises:
        UserError: there is no such group; and as in `train_phase`.
    """
    views = Scene.load(scene)
    groups = Partition.load(partition).groups
    if not 0 <= group < len(groups):
        raise UserError(partition, f"has {len(groups)} groups, no group {group}", "check K")
    expert = build_model(model, views.space, seed).to(default_device())
    mine = _indices(views, groups[group], partition)
    train_phase(
        Phase(
            stage="expert",
            module=__name__,
            seed=seed,
            settings={"model": model, "train": train, "group": group},
            inputs={**scene_inputs(scene), "partition.json": partition},
            out=out,
            state=state,
        ),
        views,
        ImageObjective(expert, views, mine, train, mix(seed, Stream.GROUP, group + 1)),
        train,
        label=f"{views.name} expert {group}",
        steps=train.steps,
        rate=learning_rate(
            train.learning_rate,
            warmup=train.warmup_steps,
            horizon=train.steps,
            schedule=train.schedule,
        ),
    )


def _indices(scene: Scene, names: Sequence[str], partition: Path) -> list[int]:
    try:
        return scene.indices(list(names))
    except KeyError as error:
        raise UserError(
            partition, f"names the view {error}, which the scene lacks", "delete it, run again"
        ) from None
