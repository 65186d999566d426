"""An expert: the same model on the views of one group (Algorithm 1).

The paper's experts begin anew. Specialists go on from a trunk that saw all views, with its
optimiser and on its schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dac.divide.partition import Partition
from dac.errors import UserError
from dac.fields.model import build_model, default_device, load_model
from dac.scenes.scene import Scene
from dac.settings import ModelSettings, TrainSettings
from dac.training.curve import Progress
from dac.training.images import ImageObjective
from dac.training.keys import Stream, mix
from dac.training.phase import Phase, record_of, scene_inputs, train_phase
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
    trunk: Path | None = None,
) -> None:
    """Train one expert on the views of its group (Algorithm 1), up to `train.steps` steps.

    Experts of a seed start from the same initialisation and draw different batches.

    Args:
        scene: a scene's folder.
        partition: the file.
        group: the expert's, from 0.
        trunk: output of `train_baseline` that the expert goes on from; None starts anew.

    Raises:
        UserError: there is no such group; and as in `train_phase`.
    """
    views = Scene.load(scene)
    groups = Partition.load(partition).groups
    if not 0 <= group < len(groups):
        raise UserError(partition, f"has {len(groups)} groups, no group {group}", "check K")
    done, inputs = 0, {**scene_inputs(scene), "partition.json": partition}
    if trunk is None:
        expert = build_model(model, views.space, seed).to(default_device())
    else:
        expert = load_model(trunk, default_device())
        done = record_of(trunk, model, train.steps)["steps"]
        for name in ("model.safetensors", "optimizer.safetensors"):
            inputs[f"trunk/{name}"] = trunk / name
    mine = _indices(views, groups[group], partition)
    train_phase(
        Phase(
            stage="expert",
            module=__name__,
            seed=seed,
            settings={"model": model, "train": train, "group": group},
            inputs=inputs,
            out=out,
            state=state,
            earlier_steps=done,
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
        start=Progress(step=done),
        continues=trunk,
    )


def _indices(scene: Scene, names: Sequence[str], partition: Path) -> list[int]:
    try:
        return scene.indices(list(names))
    except KeyError as error:
        raise UserError(
            partition, f"names the view {error}, which the scene lacks", "delete it, run again"
        ) from None
