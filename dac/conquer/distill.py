"""The conquer phase: K experts distilled into one student (Sec. 3.2.2, Algorithm 2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dac.conquer.objective import DistillObjective
from dac.divide.partition import Partition
from dac.errors import UserError
from dac.fields.model import build_model, default_device, load_model
from dac.scenes.scene import Scene
from dac.settings import DistillSettings, Mode, ModelSettings, TrainSettings
from dac.training.keys import Stream, mix
from dac.training.phase import Phase, record_of, scene_inputs, train_phase
from dac.training.schedules import learning_rate


def distill(
    scene: Path,
    partition: Path,
    experts: Sequence[Path],
    model: ModelSettings,
    train: TrainSettings,
    settings: DistillSettings,
    *,
    mode: Mode,
    seed: int,
    out: Path,
    state: Path,
    init: Path | None = None,
) -> None:
    """Distil the experts into a student, and write its folder (see `training.phase`).

    Args:
        scene: a scene's folder.
        partition: the file.
        experts: the experts' folders, in the groups' order.
        model: of the student.
        train: L_orig's weights (Eq. 8), background, annealing, curve.
        settings: steps, rays, schedule and the losses' weights.
        init: folder of the model whose weights the student starts from, as the specialists' mean;
            None is an initialisation of its own, by `seed`.

    Raises:
        UserError: not one expert per group; `init` is another model; and as in `train_phase`.
    """
    views, groups = Scene.load(scene), Partition.load(partition)
    if len(experts) != groups.count:
        raise UserError(
            partition, f"has {groups.count} groups, but {len(experts)} experts came", "train all"
        )
    device = default_device()
    teachers = [load_model(folder, device).requires_grad_(False) for folder in experts]
    inputs = {**scene_inputs(scene), "partition.json": partition}
    if init is None:
        student = build_model(model, views.space, mix(seed, Stream.STUDENT)).to(device)
    else:
        record_of(init, model)
        student = load_model(init, device)
        inputs["init/model.safetensors"] = init / "model.safetensors"
    for group, folder in enumerate(experts):
        inputs[f"expert{group}/model.safetensors"] = folder / "model.safetensors"
    train_phase(
        Phase(
            stage="distill",
            module=__name__,
            seed=seed,
            settings={"model": model, "train": train, "distill": settings, "mode": mode},
            inputs=inputs,
            out=out,
            state=state,
        ),
        views,
        DistillObjective(student, teachers, views, groups, train, settings, mode=mode, seed=seed),
        train,
        label=f"{views.name} distillation ({mode})",
        steps=settings.steps,
        rate=learning_rate(
            settings.learning_rate,
            warmup=settings.warmup_steps,
            horizon=settings.horizon or settings.steps,
        ),
    )
