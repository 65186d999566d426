"""The conquer phase: K experts distilled into one student (Sec. 3.2.2, Algorithm 2, Eq. 8).

For each ray its expert (Eq. 4) is rendered with jittered samples. The student is asked for density
and colour at the expert's samples and compared there, with the expert's spacing; its proposals are
fitted to the expert's histogram on the same ray. Images are not read.

Two modes, side by side. `paper`: colour unweighted, the histogram loss against the expert's alpha,
as the paper says. `corrected`: colour weighted by the expert's weights, the histogram loss against
its weights, and accumulation matched as well.

Notation: K experts, R rays a batch, S samples of the expert.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.optim import Adam

from dac import ops
from dac.conquer.losses import (
    accumulation_loss,
    alpha_loss,
    colour_loss,
    proposal_histogram_loss,
    rendered_colour_loss,
)
from dac.conquer.novel_rays import NovelRays
from dac.divide.partition import Partition
from dac.divide.routing import owners_of_views
from dac.errors import UserError
from dac.fields.model import Model, build_model, default_device, load_model
from dac.fields.protocol import Histogram, Rays
from dac.ops.rays import DistillWeights, Lesson, distill_rays
from dac.scenes.scene import Scene
from dac.settings import DistillSettings, Mode, ModelSettings, TrainSettings
from dac.training.batches import RayBatches
from dac.training.checkpoints import make_optimizer
from dac.training.keys import Use, mix
from dac.training.loop import Plan, Step, autograd_step
from dac.training.losses import Terms, regularisers
from dac.training.native import KernelAdam, KernelPhase, kernel_step
from dac.training.parts import Part, split
from dac.training.run import Run, make_probe, scene_inputs
from dac.training.schedules import learning_rate, proposal_anneal


@dataclass(frozen=True)
class Answer:
    """What the student says at the lesson's samples; shapes as there."""

    alpha: Tensor
    weights: Tensor
    colours: Tensor
    rgb: Tensor
    accumulation: Tensor
    proposals: tuple[Histogram, ...]


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
) -> None:
    """Distil the experts into a new student, and write its folder (see `training.images`).

    Args:
        scene: a scene's folder.
        partition: the file.
        experts: the experts' folders, in the groups' order.
        model: of the student, which starts from an initialisation of its own, by `seed`.
        train: L_orig's weights (Eq. 8), background, annealing, curve.
        settings: steps, rays, schedule and the losses' weights.

    Raises:
        UserError: not one expert per group; and as in `Run.execute`.
    """
    views = Scene.load(scene)
    groups = Partition.load(partition)
    if len(experts) != groups.count:
        raise UserError(
            partition, f"has {groups.count} groups, but {len(experts)} experts came", "train all"
        )
    device = default_device()
    teachers = [load_model(folder, device).requires_grad_(False) for folder in experts]
    student = build_model(model, views.space, mix(seed, Use.STUDENT)).to(device)
    run = Run(
        stage="distill",
        module="dac.conquer.distill",
        seed=seed,
        settings={
            "model": model.model_dump(mode="json"),
            "train": train.model_dump(mode="json"),
            "distill": settings.model_dump(mode="json"),
            "mode": mode,
        },
        inputs={
            **scene_inputs(scene),
            "partition.json": partition,
            **{
                f"expert{group}/model.safetensors": folder / "model.safetensors"
                for group, folder in enumerate(experts)
            },
        },
        out=out,
        state=state,
    )
    plan = Plan(
        label=f"{views.name} distillation ({mode})",
        steps=settings.steps,
        rate=learning_rate(
            settings.learning_rate,
            warmup=settings.warmup_steps,
            horizon=settings.horizon or settings.steps,
        ),
        curve_points=train.curve_points,
        checkpoint_seconds=train.checkpoint_seconds,
    )
    optimizer = make_optimizer(student, learning_rate=settings.learning_rate, eps=train.adam_eps)
    steps = DistillSteps(student, teachers, views, groups, train, settings, mode=mode, seed=seed)
    probe = make_probe(student, views, count=train.curve_rays, device=device)
    run.execute(student, optimizer, steps, probe, plan)


class DistillSteps:
    """What a distillation step draws and minimises: Eq. 5 to 7, weighted, and L_orig (Eq. 8)."""

    def __init__(
        self,
        student: Model,
        teachers: Sequence[Model],
        scene: Scene,
        partition: Partition,
        train: TrainSettings,
        settings: DistillSettings,
        *,
        mode: Mode,
        seed: int,
    ) -> None:
        self._student = student
        self._teachers = teachers
        self._train = train
        self._settings = settings
        self._mode: Mode = mode
        self._seed = seed
        device = next(student.parameters()).device
        self._batches = _Batches(scene, partition, train, settings, seed=seed, device=device)
        (self._whole,) = split(settings.rays, 1)

    def losses(self, step: int, part: Part | None = None) -> Terms:
        """The terms of a step, as means over a part of its batch; None is all of it."""
        part = part or self._whole
        rays, lesson, background = self._draw(step, part)
        answer = ask_student(
            self._student,
            rays,
            lesson,
            key=self._key(step),
            before=part.first,
            anneal=self._exponent(step),
        )
        return {
            **distillation_terms(lesson, answer, background, self._settings, mode=self._mode),
            **regularisers(
                self._student,
                self._train,
                lesson.s,
                answer.weights,
                answer.proposals,
                proposals_learn=True,
            ),
        }

    def updates(self, optimizer: Adam, parts: int) -> Step:
        """As `loop.Phase`; by the whole-ray kernels where they run it, else by autograd."""
        batch = split(self._settings.rays, parts)
        if not self._student.whole_rays:
            return autograd_step(optimizer, self.losses, batch)
        adam = KernelAdam(self._student, optimizer, self._train)
        weights = kernel_weights(self._settings, self._train, self._mode)
        gradients = partial(self._gradients, adam)
        # The proposals learn in every step.
        phase = KernelPhase(weights._asdict(), lambda step: True, self.inputs, gradients)
        return kernel_step(adam, phase, batch)

    def inputs(self, step: int, part: Part | None = None) -> dict[str, Tensor]:
        """What a step reads of a part of its batch; None is all of it."""
        rays, lesson, background = self._draw(step, part or self._whole)
        packed = rays.packed()
        return {
            **lesson._asdict(),
            "rays": packed,
            "background": background,
            "key": torch.tensor([self._key(step)], device=packed.device),
            "anneal": torch.tensor([self._exponent(step)], device=packed.device),
        }

    def _gradients(
        self, adam: KernelAdam, inputs: Mapping[str, Tensor], part: Part, _learn: bool
    ) -> Tensor:
        """The gradients of `losses` but for total variation's, by the kernels; and its terms."""
        weights = kernel_weights(self._settings, self._train, self._mode)
        return distill_rays(
            adam.parameters,
            adam.gradients,
            self._student.shape,
            inputs["rays"],
            Lesson(*(inputs[name] for name in Lesson._fields)),
            inputs["background"],
            inputs["key"],
            inputs["anneal"],
            self._mode == "paper",
            DistillWeights(*(part.share * weight for weight in weights)),
            part.first,
        )

    def _draw(self, step: int, part: Part) -> tuple[Rays, Lesson, Tensor]:
        """A part's rays, what the experts say about them, and the background behind both."""
        batch = self._batches(step)
        rays = self._student.make_rays(batch.origins[part.rays], batch.directions[part.rays])
        count = len(self._teachers)
        keys = [mix(self._seed, Use.TEACHER, step, expert) for expert in range(count)]
        lesson = ask_experts(self._teachers, rays, batch.counts, keys, part.first)
        return rays, lesson, batch.background

    def _key(self, step: int) -> int:
        return mix(self._seed, Use.JITTER, step)

    def _exponent(self, step: int) -> float:
        return proposal_anneal(step, slope=self._train.anneal_slope, steps=self._train.anneal_steps)


def kernel_weights(settings: DistillSettings, train: TrainSettings, mode: Mode) -> DistillWeights:
    """The weights of `distillation_terms` and `regularisers`, as the kernels take them."""
    terms = settings.paper if mode == "paper" else settings.corrected
    return DistillWeights(
        alpha=terms.alpha,
        colour=terms.colour,
        histogram=terms.histogram,
        rendered=terms.rendered,
        accumulation=0.0 if mode == "paper" else settings.corrected.accumulation,
        distortion=train.distortion,
        interlevel=train.interlevel,
    )


class _Batch(NamedTuple):
    """Rays ordered by expert.

    Attributes:
        origins, directions: (R, 3), unit directions.
        background: (3,) the colour behind them.
        counts: how many of them each expert teaches.
    """

    origins: Tensor
    directions: Tensor
    background: Tensor
    counts: list[int]


class _Batches:
    """Rays ordered by expert: those of training pixels, and a share of novel ones."""

    def __init__(
        self,
        scene: Scene,
        partition: Partition,
        train: TrainSettings,
        settings: DistillSettings,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self._experts = partition.count
        self._owners = owners_of_views(scene, partition).numpy()
        self._device = device
        novel = round(settings.novel_share * settings.rays)
        taught = [view for view in scene.train if scene.names[view] in partition.owner]
        self._seen = RayBatches(
            scene,
            taught,
            rays=settings.rays - novel,
            seed=mix(seed, Use.STUDENT),
            background=train.background,
            device=device,
        )
        self._novel = NovelRays(scene, partition, rays=novel, seed=seed) if novel else None

    def __call__(self, step: int) -> _Batch:
        """The batch of a step."""
        view, pixel = self._seen.pixels(step)
        parts = [(*self._seen.cast(view, pixel), self._owners[view])]
        if self._novel is not None:
            parts.append(self._novel(step))
        origins, directions, owner = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.argsort(owner, kind="stable")
        whole = np.concatenate(
            [origins[order], directions[order], self._seen.background(step)[None]]
        )
        moved = torch.from_numpy(whole).to(self._device)
        rays_o, rays_d = moved[:-1].view(2, len(owner), 3).unbind(0)
        counts = np.bincount(owner, minlength=self._experts).tolist()
        return _Batch(rays_o, rays_d, moved[-1], counts)


@torch.no_grad()
def ask_experts(
    teachers: Sequence[Model],
    rays: Rays,
    counts: Sequence[int],
    keys: Sequence[int],
    before: int = 0,
) -> Lesson:
    """Render rays by their experts, with jittered samples.

    Args:
        rays: of a batch ordered by expert, all or some side by side.
        counts: rays of each expert in the batch; at most K calls are made.
        keys: of each expert's jitter.
        before: the batch's rays that come before these.
    """
    said = []
    first = -before  # where an expert's rays begin, among these
    for teacher, count, key in zip(teachers, counts, keys, strict=True):
        here = slice(max(first, 0), min(first + count, len(rays)))
        if here.start < here.stop:
            seen, samples = teacher.sample(rays[here], key=key, before=here.start - first)
            said.append(Lesson(*samples, seen.rgb, seen.accumulation))
        first += count
    return Lesson(*(torch.cat(parts) for parts in zip(*said, strict=True)))


def ask_student(
    student: Model,
    rays: Rays,
    lesson: Lesson,
    *,
    key: int | None,
    before: int = 0,
    anneal: float = 1.0,
) -> Answer:
    """The student at the experts' samples, with the experts' spacing; and its own proposals.

    Args:
        key, before, anneal: as of `Model.proposals`.
    """
    sigma, colours = student.query(rays, lesson.t)
    alpha, weights = ops.volume_weights(sigma, lesson.t.diff(dim=-1))
    return Answer(
        alpha=alpha,
        weights=weights,
        colours=colours,
        rgb=ops.composite(weights, colours),
        accumulation=weights.sum(dim=-1),
        proposals=student.proposals(rays, key=key, before=before, anneal=anneal),
    )


def distillation_terms(
    lesson: Lesson,
    answer: Answer,
    background: Tensor,
    settings: DistillSettings,
    *,
    mode: Mode,
) -> Terms:
    """Eq. 5 to 7 and the rendered terms, weighted; both sides are seen over one background."""
    rendered = rendered_colour_loss(
        answer.rgb + (1 - answer.accumulation)[:, None] * background,
        lesson.rgb + (1 - lesson.accumulation)[:, None] * background,
    )
    alpha = alpha_loss(answer.alpha, lesson.alpha)
    if mode == "paper":
        paper = settings.paper
        return {
            "alpha": paper.alpha * alpha,
            "colour": paper.colour * colour_loss(answer.colours, lesson.colours),
            "histogram": paper.histogram
            * proposal_histogram_loss(lesson.s, lesson.alpha, answer.proposals),
            "rendered": paper.rendered * rendered,
        }
    corrected = settings.corrected
    return {
        "alpha": corrected.alpha * alpha,
        "colour": corrected.colour * colour_loss(answer.colours, lesson.colours, lesson.weights),
        "histogram": corrected.histogram
        * proposal_histogram_loss(lesson.s, lesson.weights, answer.proposals),
        "rendered": corrected.rendered * rendered,
        "accumulation": corrected.accumulation
        * accumulation_loss(answer.accumulation, lesson.accumulation),
    }
