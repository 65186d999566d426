"""The baseline: one model on all training views, at 1x or 2x an expert's steps."""

from __future__ import annotations

from pathlib import Path

from dac.errors import UserError
from dac.fields.model import build_model, default_device, load_model
from dac.scenes.scene import Scene
from dac.settings import ModelSettings, TrainSettings
from dac.storage.artifacts import read_json
from dac.training.checkpoints import load_optimizer
from dac.training.curve import Curve, Progress
from dac.training.images import fit, image_optimizer
from dac.training.run import Run, scene_inputs


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
        UserError: `init` can't be continued; and as in `Run.execute`.
    """
    views = Scene.load(scene)
    device = default_device()
    inputs = scene_inputs(scene)
    start = Progress()
    if init is None:
        student = build_model(model, views.space, seed).to(device)
        optimizer = image_optimizer(student, train, train.learning_rate)
    else:
        start = _continued(init, model, train, steps)
        student = load_model(init, device)
        optimizer = image_optimizer(student, train, train.learning_rate)
        load_optimizer(student, optimizer, init)
        for name in ("model.safetensors", "optimizer.safetensors", "curve.json"):
            inputs[f"init/{name}"] = init / name
    run = Run(
        stage="baseline",
        module=__name__,
        seed=seed,
        settings={
            "model": model.model_dump(mode="json"),
            "train": train.model_dump(mode="json"),
            "steps": steps,
        },
        inputs=inputs,
        out=out,
        state=state,
    )
    fit(run, student, optimizer, views, views.train, train, steps, group=-1, start=start)


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
