"""One model on all training views: the baseline, the trunk that experts grow from, two controls.

A trunk is a baseline's first steps: on the schedule of the whole and with its batches, so that the
baseline goes on from it and ends as if it had never stopped. The controls are what K workers could
do in a baseline's wall-clock without dividing: K times the rays a step, which is the ceiling of
synchronous data parallelism, and K times the parameters.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from dac.errors import UserError
from dac.fields.model import build_model, default_device, load_model
from dac.scenes.scene import Scene
from dac.settings import ModelSettings, TrainSettings
from dac.training.curve import Curve, Progress
from dac.training.images import ImageObjective
from dac.training.keys import Stream, mix
from dac.training.phase import Phase, record_of, scene_inputs, train_phase
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
    horizon: int | None = None,
) -> None:
    """Train one model on all training views.

    Args:
        scene: a scene's folder.
        steps: at the end (1x or 2x of an expert's; `train.steps` is not read).
        init: output of a shorter run with the same schedule (a trunk of the same horizon, or any
            where the schedule is constant), which is continued: weights, optimiser, batches and
            curve go on where it stopped.
        horizon: steps that the schedule spans, more than `steps` for a trunk; default `steps`.

    Raises:
        UserError: `init` can't be continued; and as in `train_phase`.
    """
    horizon = horizon or steps
    views, device = Scene.load(scene), default_device()
    inputs, start = scene_inputs(scene), None
    if init is None:
        student = build_model(model, views.space, seed).to(device)
    else:
        spans = None if train.schedule == "constant" else horizon
        start = _continued(init, record_of(init, model, spans), steps)
        student = load_model(init, device)
        for name in ("model.safetensors", "optimizer.safetensors", "curve.json"):
            inputs[f"init/{name}"] = init / name
    train_phase(
        Phase(
            stage="baseline",
            module=__name__,
            seed=seed,
            settings={"model": model, "train": train, "steps": steps, "horizon": horizon},
            inputs=inputs,
            out=out,
            state=state,
        ),
        views,
        ImageObjective(student, views, views.train, train, mix(seed, Stream.GROUP, 0)),
        train,
        label=f"{views.name} {'baseline' if steps == horizon else 'trunk'}",
        steps=steps,
        rate=learning_rate(
            train.learning_rate, warmup=train.warmup_steps, horizon=horizon, schedule=train.schedule
        ),
        start=start,
        continues=init,
    )


def wider(model: ModelSettings, times: int) -> ModelSettings:
    """A model of so many times the parameters: its planes' sides grow by the root of that."""
    side = math.sqrt(times)
    coarse, fine = (round(side * resolution) for resolution in model.proposal_resolutions)
    sides = {"resolution": round(side * model.resolution), "proposal_resolutions": (coarse, fine)}
    return model.model_copy(update=sides)


def _continued(init: Path, record: dict[str, Any], steps: int) -> Progress:
    """Where the run stood that is to be continued."""
    if record["steps"] >= steps:
        what = f"has {record['steps']} steps, of which {steps} are wanted"
        raise UserError(init, what, "want more steps")
    curve = Curve.load(init / "curve.json")
    return Progress(step=record["steps"], seconds=record["seconds"], curve=curve)
