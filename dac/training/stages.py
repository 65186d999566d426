"""The phases that train on images: the baseline, the experts, fine-tuning.

Each reads folders and writes one: `model.safetensors`, `model.json`, `optimizer.safetensors`,
`curve.json`, whole or not at all. What a killed run needs to go on lies in its `state` folder,
which is removed at the end.

Seeds: baseline and experts of a seed start from the same initialisation; what they draw (pixels,
backgrounds, jitter) depends on (seed, group), so that no two of them share it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from dac.artifacts import read_json
from dac.divide.partition import Partition
from dac.errors import UserError
from dac.fields.model import Model, build_model, load_model
from dac.scenes.scene import Scene
from dac.settings import DistillSettings, FinetuneSettings, ModelSettings, TrainSettings
from dac.training.batches import RayBatches
from dac.training.checkpoints import load_optimizer, make_optimizer
from dac.training.curve import Curve, Progress
from dac.training.keys import Use, mix, seeded
from dac.training.loop import Plan
from dac.training.losses import Terms, photometric_loss, regularisers
from dac.training.run import Run, default_device, make_probe, scene_inputs
from dac.training.schedules import learning_rate_factor, proposal_anneal, proposals_learn

_MODULE = "dac.training.stages"


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
        optimizer = _adam(student, train, train.learning_rate)
    else:
        start = _continued(init, model, train, steps)
        student = load_model(init, device)
        optimizer = _adam(student, train, train.learning_rate)
        load_optimizer(student, optimizer, init)
        for name in ("model.safetensors", "optimizer.safetensors", "curve.json"):
            inputs[f"init/{name}"] = init / name
    run = Run(
        stage="baseline",
        module=_MODULE,
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
    _fit(run, student, optimizer, views, views.train, train, steps, group=-1, start=start)


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
        UserError: there is no such group; and as in `Run.execute`.
    """
    views = Scene.load(scene)
    groups = Partition.load(partition).groups
    if not 0 <= group < len(groups):
        raise UserError(partition, f"has {len(groups)} groups, no group {group}", "check K")
    device = default_device()
    expert = build_model(model, views.space, seed).to(device)
    run = Run(
        stage="expert",
        module=_MODULE,
        seed=seed,
        settings={
            "model": model.model_dump(mode="json"),
            "train": train.model_dump(mode="json"),
            "group": group,
        },
        inputs={**scene_inputs(scene), "partition.json": partition},
        out=out,
        state=state,
    )
    mine = _indices(views, groups[group], partition)
    optimizer = _adam(expert, train, train.learning_rate)
    _fit(run, expert, optimizer, views, mine, train, train.steps, group=group)


def finetune(
    scene: Path,
    student: Path,
    train: TrainSettings,
    settings: FinetuneSettings,
    *,
    distill: DistillSettings,
    seed: int,
    out: Path,
    state: Path,
) -> None:
    """Train the distilled student on all training views (Sec. 4.1.2).

    Args:
        scene: a scene's folder.
        student: output of `distill`.
        train: losses, rays and background; its learning rate and steps are not read.
        settings: `start` fresh: new optimiser, warm-up and cosine over this phase. continued: the
            distillation's optimiser, and its cosine (over `distill.horizon`) goes on.
        distill: the distillation's settings, for `continued`.

    Raises:
        UserError: `continued` without a horizon; and as in `Run.execute`.
    """
    views = Scene.load(scene)
    device = default_device()
    model = load_model(student, device)
    inputs = {**scene_inputs(scene), "student/model.safetensors": student / "model.safetensors"}
    optimizer = _adam(model, train, settings.learning_rate)
    before = 0
    if settings.start == "continued":
        before = distill.steps
        inputs["student/optimizer.safetensors"] = student / "optimizer.safetensors"
        load_optimizer(model, optimizer, student)
    run = Run(
        stage="finetune",
        module=_MODULE,
        seed=seed,
        settings={
            "train": train.model_dump(mode="json"),
            "finetune": settings.model_dump(mode="json"),
            "distill": distill.model_dump(mode="json"),
        },
        inputs=inputs,
        out=out,
        state=state,
    )
    plan = Plan(
        label=f"{views.name} fine-tuning",
        steps=settings.steps,
        rate=finetune_rate(settings, distill),
        curve_points=train.curve_points,
        checkpoint_seconds=train.checkpoint_seconds,
    )
    # The student's proposals are trained: they are not annealed again.
    losses = _losses(
        model, views, views.train, train, mix(seed, Use.FINETUNE), before=before, anneal=False
    )
    probe = make_probe(model, views, count=train.curve_rays, device=device)
    run.execute(model, optimizer, losses, probe, plan)


def finetune_rate(settings: FinetuneSettings, distill: DistillSettings) -> Callable[[int], float]:
    """Learning rate of a step of fine-tuning.

    Raises:
        UserError: `continued`, but the distillation's cosine has no horizon beyond its steps.
    """
    if settings.start == "fresh":
        return lambda step: (
            settings.learning_rate
            * learning_rate_factor(step, warmup=settings.warmup_steps, horizon=settings.steps)
        )
    horizon = distill.horizon
    if horizon is None:
        raise UserError(
            "finetune.start", "'continued' needs distill.horizon", "set it to both phases' steps"
        )
    return lambda step: (
        distill.learning_rate
        * learning_rate_factor(distill.steps + step, warmup=distill.warmup_steps, horizon=horizon)
    )


def _fit(
    run: Run,
    model: Model,
    optimizer: torch.optim.Adam,
    scene: Scene,
    views: Sequence[int],
    train: TrainSettings,
    steps: int,
    *,
    group: int,
    start: Progress | None = None,
) -> None:
    """Train on the views' images and write the run's folder; group -1 is the baseline."""
    who = "baseline" if group < 0 else f"expert {group}"
    plan = Plan(
        label=f"{scene.name} {who}",
        steps=steps,
        rate=lambda step: (
            train.learning_rate
            * learning_rate_factor(
                step, warmup=train.warmup_steps, horizon=steps, schedule=train.schedule
            )
        ),
        curve_points=train.curve_points,
        checkpoint_seconds=train.checkpoint_seconds,
    )
    losses = _losses(model, scene, views, train, mix(run.seed, Use.GROUP, group + 1))
    device = next(model.parameters()).device
    probe = make_probe(model, scene, count=train.curve_rays, device=device)
    run.execute(model, optimizer, losses, probe, plan, start)


def _losses(
    model: Model,
    scene: Scene,
    views: Sequence[int],
    train: TrainSettings,
    seed: int,
    *,
    before: int = 0,
    anneal: bool = True,
) -> Callable[[int], Terms]:
    """The terms of a step: colours against the images, and the regularisers.

    Args:
        seed: of batches and jitter.
        before: steps that the proposals' cadence has behind it.
        anneal: whether the proposals' weights are annealed at first.
    """
    device = next(model.parameters()).device
    generator = torch.Generator(device)
    batches = RayBatches(
        scene, views, rays=train.rays, seed=seed, background=train.background, device=device
    )

    def terms(step: int) -> Terms:
        batch = batches(step)
        learn = proposals_learn(
            before + step, every=train.proposal_update_every, ramp=train.proposal_update_ramp
        )
        exponent = (
            proposal_anneal(step, slope=train.anneal_slope, steps=train.anneal_steps)
            if anneal
            else 1.0
        )
        rendering = model.render(
            model.make_rays(batch.origins, batch.directions),
            generator=seeded(generator, seed, Use.JITTER, step),
            anneal=exponent,
            proposal_grad=learn,
        )
        return {
            "photometric": photometric_loss(rendering, batch.rgb, batch.background),
            **regularisers(
                model,
                train,
                rendering.s,
                rendering.weights,
                rendering.proposals,
                proposals_learn=learn,
            ),
        }

    return terms


def _adam(model: Model, train: TrainSettings, learning_rate: float) -> torch.optim.Adam:
    return make_optimizer(model, learning_rate=learning_rate, eps=train.adam_eps)


def _indices(scene: Scene, names: Sequence[str], partition: Path) -> list[int]:
    try:
        return scene.indices(list(names))
    except KeyError as error:
        raise UserError(
            partition, f"names the view {error}, which the scene lacks", "delete it, run again"
        ) from None


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
