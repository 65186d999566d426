"""The baseline: one model on all training views, at 1x or 2x an expert's steps."""

from __future__ import annotations

from pathlib import Path

from dac.errors import UserError
from dac.fields.model import build_model, default_device, load_model
from dac.scenes.scene import Scene
from dac.settings import ModelSettings, TrainSettings
from dac.storage.artifacts import read_json
from dac.training.curve import Curve, Progress
from dac.training.images import ImageObjective
from dac.training.keys import Stream, mix
from dac.training.phase import Phase, scene_inputs, train_phase
from dac.training.schedules import learning_rate


def train_baseline(
    scene: Path,
    model: ModelSettings,
    train: TrainSettings,
    *,
    steps: int,
    seed: int,
    out: Path,
    state: Path,
    init: Path | None = None,
) -> None:
    """Train one model on all training views.

    Args:
        scene: a scene's folder.
        steps: at the end (1x or 2x of an expert's; `train.steps` is not read).
        init: output of a shorter baseline with the constant schedule, which is continued: weights,
            optimiser, batches and curve go on where it stopped.

    Raises:
        UserError: `init` can't be continued; and as in `train_phase`.
    """
    views, device = Scene.load(scene), default_device()
    inputs, start = scene_inputs(scene), None
    if init is None:
        student = build_model(model, views.space, seed).to(device)
    else:
        start = _continued(init, model, train, steps)
        student = load_model(init, device)
        for name in ("model.safetensors", "optimizer.safetensors", "curve.json"):
            inputs[f"init/{name}"] = init / name
    train_phase(
        Phase(
            stage="baseline",
            module=__name__,
            seed=seed,
            settings={"model": model, "train": train, "steps": steps},
            inputs=inputs,
            out=out,
            state=state,
        ),
        views,
        ImageObjective(student, views, views.train, train, mix(seed, Stream.GROUP, 0)),
        train,
        label=f"{views.name} baseline",
        steps=steps,
        rate=learning_rate(
            train.learning_rate, warmup=train.warmup_steps, horizon=steps, schedule=train.schedule
        ),
        start=start,
        continues=init,
    )


def _continued(init: Path, model: ModelSettings, train: TrainSettings, steps: int) -> Progress:
    """Where the baseline stood that is to be continued."""
    record = read_json(init / "model.json")
    done = record.get("steps", 0)
    if train.schedule != "constant":
        raise UserError(
            "train.schedule",
            "only a constant schedule can be continued",
            "train the longer baseline from scratch, or set 'constant'",
        )
    if record.get("settings") != model.model_dump(mode="json"):
        raise UserError(init, "holds a model of other settings", "train it again")
    if done >= steps:
        raise UserError(init, f"has {done} steps, of which {steps} are wanted", "want more steps")
    return Progress(step=done, seconds=record["seconds"], curve=Curve.load(init / "curve.json"))
