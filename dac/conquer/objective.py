"""What distillation minimises: Eq. 5 to 7, weighted, and L_orig (Eq. 8).

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

from torch import Tensor

from dac import ops
from dac.conquer.lessons import TaughtRays, ask_experts
from dac.conquer.losses import (
    accumulation_loss,
    alpha_loss,
    colour_loss,
    proposal_histogram_loss,
    rendered_colour_loss,
)
from dac.divide.partition import Partition
from dac.fields.model import Model
from dac.fields.protocol import Histogram, Rays, over
from dac.ops.rays import DistillWeights, KernelModel, Lesson, StepRays, distill_rays
from dac.scenes.scene import Scene
from dac.settings import DistillSettings, Mode, TrainSettings
from dac.training.keys import Stream, mix
from dac.training.losses import Terms, regularisers
from dac.training.objective import Batch, Part, split
from dac.training.schedules import proposal_anneal


class DistillObjective:
    """What the experts say, and the regularisers; the proposals learn in every step.

    Args:
        student: the model that is trained.
        teachers: K experts, in the partition's order.
        train: L_orig's weights, background and annealing.
        settings: rays, the share of novel ones, and the losses' weights.
        seed: of batches and jitter.
    """

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
        self.model = student
        self.rays = settings.rays
        self._distill_weights = distill_weights(settings, train, mode)
        self.weights = {
            **self._distill_weights._asdict(),
            "plane_tv": train.plane_tv,
            "proposal_tv": train.proposal_tv,
        }
        self.kernel_terms: tuple[str, ...] = DistillWeights._fields
        self._teachers, self._train, self._mode, self._seed = teachers, train, mode, seed
        (self._whole,) = split(settings.rays, 1)
        self._batches = TaughtRays(
            scene, partition, train, settings, seed=seed, device=student.device
        )

    def draw(self, step: int, part: Part | None = None) -> Batch[Lesson]:
        """As of `Objective`: rays, and what their experts say."""
        part, train = part or self._whole, self._train
        taught, here = self._batches(step), part.rays
        rays = self.model.make_rays(taught.origins[here], taught.directions[here])
        count = len(self._teachers)
        keys = [mix(self._seed, Stream.TEACHER, step, expert) for expert in range(count)]
        return Batch(
            part=part,
            rays=rays,
            supervision=ask_experts(self._teachers, rays, taught.counts, keys, part.first),
            background=taught.background,
            key=mix(self._seed, Stream.JITTER, step),
            anneal=proposal_anneal(step, slope=train.anneal_slope, steps=train.anneal_steps),
            learn=True,
        )

    def terms(self, batch: Batch[Lesson]) -> Terms:
        """As of `Objective`."""
        lesson = batch.supervision
        answer = ask_student(
            self.model,
            batch.rays,
            lesson,
            key=batch.key,
            first_ray=batch.part.first,
            anneal=batch.anneal,
        )
        return {
            **distillation_terms(
                lesson, answer, batch.background, self._distill_weights, self._mode
            ),
            **regularisers(
                self.model,
                self._train,
                lesson.s,
                answer.weights,
                answer.proposals,
                proposals_learn=True,
            ),
        }

    def add_gradients(
        self,
        model: KernelModel,
        gradients: Tensor,
        inputs: Mapping[str, Tensor],
        part: Part,
        learn: bool,
    ) -> Tensor:
        """As of `Objective`."""
        rays = StepRays(*(inputs[name] for name in StepRays._fields))
        lesson = Lesson(*(inputs[name] for name in Lesson._fields))
        share = part.share
        weights = DistillWeights(*(share * self.weights[name] for name in DistillWeights._fields))
        paper = self._mode == "paper"
        return distill_rays(model, gradients, rays, lesson, paper, weights, part.first)


def distill_weights(settings: DistillSettings, train: TrainSettings, mode: Mode) -> DistillWeights:
    """The weights of `distillation_terms`, and of those `regularisers` that rays have a part in."""
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


@dataclass(frozen=True)
class Answer:
    """What the student says at the lesson's samples; shapes as there."""

    alpha: Tensor
    weights: Tensor
    colours: Tensor
    rgb: Tensor
    accumulation: Tensor
    proposals: tuple[Histogram, ...]


def ask_student(
    student: Model,
    rays: Rays,
    lesson: Lesson,
    *,
    key: int | None,
    first_ray: int = 0,
    anneal: float = 1.0,
) -> Answer:
    """The student at the experts' samples, with the experts' spacing; and its own proposals.

    Args:
        key, first_ray, anneal: as of `Model.proposals`.
    """
    sigma, colours = student.query(rays, lesson.t)
    alpha, weights = ops.volume_weights(sigma, lesson.t.diff(dim=-1))
    return Answer(
        alpha=alpha,
        weights=weights,
        colours=colours,
        rgb=ops.composite(weights, colours),
        accumulation=weights.sum(dim=-1),
        proposals=student.proposals(rays, key=key, first_ray=first_ray, anneal=anneal),
    )


def distillation_terms(
    lesson: Lesson, answer: Answer, background: Tensor, weights: DistillWeights, mode: Mode
) -> Terms:
    """Eq. 5 to 7 and the rendered terms, weighted; both sides are seen over one background."""
    rendered = rendered_colour_loss(over(answer, background), over(lesson, background))
    paper = mode == "paper"
    terms = {
        "alpha": weights.alpha * alpha_loss(answer.alpha, lesson.alpha),
        "colour": weights.colour
        * colour_loss(answer.colours, lesson.colours, None if paper else lesson.weights),
        "histogram": weights.histogram
        * proposal_histogram_loss(
            lesson.s, lesson.alpha if paper else lesson.weights, answer.proposals
        ),
        "rendered": weights.rendered * rendered,
    }
    if not paper:
        terms["accumulation"] = weights.accumulation * accumulation_loss(
            answer.accumulation, lesson.accumulation
        )
    return terms
