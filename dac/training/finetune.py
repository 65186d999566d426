"""Fine-tuning: the distilled student on the images of all training views (Sec. 4.1.2).

A merged model, the specialists' mean, is fine-tuned in the same way. The control `restart` does the
same to a baseline, whose learning rate starts again as DaC's does: what that gains owes nothing to
division and distillation.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dac.errors import UserError
from dac.fields.model import default_device, load_model
from dac.scenes.scene import Scene
from dac.settings import DistillSettings, FinetuneSettings, TrainSettings
from dac.training.images import ImageObjective
from dac.training.keys import Stream, mix
from dac.training.phase import Phase, scene_inputs, train_phase
from dac.training.schedules import learning_rate


def finetune(
    scene: Path,
    student: Path,
    train: TrainSettings,
    settings: FinetuneSettings,
    *,
    distill: DistillSettings | None,
    seed: int,
    out: Path,
    state: Path,
) -> None:
    """Train a student on all training views (Sec. 4.1.2).

    Args:
        scene: a scene's folder.
        student: output of `distill` or `merge`, or a baseline.
        train: losses, rays and background; its learning rate and steps are not read.
        settings: `start` fresh: new optimiser, warm-up and cosine over this phase. continued: the
            distillation's optimiser, and its cosine (over `distill.horizon`) goes on.
        distill: the distillation's settings, which `continued` needs; else None.

    Raises:
        UserError: `continued` without a horizon or after a baseline; and as in `train_phase`.
    """
    rate = finetune_rate(settings, distill)
    views, model = Scene.load(scene), load_model(student, default_device())
    inputs = {**scene_inputs(scene), "student/model.safetensors": student / "model.safetensors"}
    steps_done, continues = 0, None
    if settings.start == "continued" and distill is not None:
        steps_done, continues = distill.steps, student
        inputs["student/optimizer.safetensors"] = student / "optimizer.safetensors"
    # The student's proposals are trained: they are not annealed again.
    objective = ImageObjective(
        model,
        views,
        views.train,
        train,
        mix(seed, Stream.FINETUNE),
        steps_done=steps_done,
        anneal=False,
    )
    train_phase(
        Phase(
            stage="finetune",
            module=__name__,
            seed=seed,
            settings={"train": train, "finetune": settings, "distill": distill},
            inputs=inputs,
            out=out,
            state=state,
        ),
        views,
        objective,
        train,
        label=f"{views.name} fine-tuning",
        steps=settings.steps,
        rate=rate,
        continues=continues,
    )


def finetune_rate(
    settings: FinetuneSettings, distill: DistillSettings | None
) -> Callable[[int], float]:
    """Learning rate of a step of fine-tuning.

    Raises:
        UserError: `continued`, but there was no distillation, or its cosine has no horizon beyond
            its steps.
    """
    if settings.start == "fresh":
        return learning_rate(
            settings.learning_rate, warmup=settings.warmup_steps, horizon=settings.steps
        )
    if distill is None:
        what = "'continued' goes on with a distillation, not with a baseline"
        raise UserError("finetune.start", what, "set it to fresh")
    horizon = distill.horizon
    if horizon is None:
        raise UserError(
            "finetune.start", "'continued' needs distill.horizon", "set it to both phases' steps"
        )
    rate = learning_rate(distill.learning_rate, warmup=distill.warmup_steps, horizon=horizon)
    return lambda step: rate(distill.steps + step)
