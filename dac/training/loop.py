"""The one training loop: baseline, experts, distillation and fine-tuning run through it.

A phase gives what one update does: losses, gradients, Adam (`autograd_step` makes it of a function
from the step to named loss terms, whose sum is minimised). The loop adds the schedule, the curve,
resumable states and progress, goes back where a run diverges (see `divergence`), and takes batches
in parts where memory runs out. All that decides the result is a function of the step, so a resumed
run equals the uninterrupted one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Adam

from dac.errors import UserError
from dac.fields.model import Model
from dac.ops import memory
from dac.process.signals import Stop, deferred
from dac.training import divergence
from dac.training.checkpoints import Checkpoints
from dac.training.console import Console
from dac.training.curve import DivergedError, LossReader, Progress
from dac.training.parts import Part

_READ_EVERY = 16  # steps on a GPU; reading waits for it
_MOST_PARTS = 8

_log = logging.getLogger(__name__)


class Update(NamedTuple):
    """What one update did, as detached tensors.

    Attributes:
        names: of the loss terms.
        terms: (names,) their values.
        gradient_norm: () of all that was to be updated.
    """

    names: tuple[str, ...]
    terms: Tensor
    gradient_norm: Tensor


Step = Callable[[int, float], Update]
"""One update of the model: step, learning rate -> what it did.

Where a gradient is not finite, neither its parameter nor Adam's state of it is touched.
"""


class Phase(Protocol):
    """What a phase gives the loop."""

    def updates(self, optimizer: Adam, parts: int) -> Step:
        """Whole updates, each of whose batches is taken in so many parts.

        Called when model and optimiser hold what the run goes on from: loading a state puts other
        tensors into the optimiser.
        """

    def inputs(self, step: int) -> dict[str, Tensor]:
        """What a step reads, for looking into one that went wrong."""


@dataclass(frozen=True)
class Plan:
    """What a phase asks of the loop.

    Attributes:
        label: of the run, for messages, e.g. `lego expert 2`.
        steps: the run ends when this many are done, those before its start included.
        rate: learning rate of a step.
        curve_points: how often PSNR is measured, evenly over the run, the last time at its end.
        checkpoint_seconds: between saved states, where any are saved.
    """

    label: str
    steps: int
    rate: Callable[[int], float]
    curve_points: int = 1
    checkpoint_seconds: float = 60.0


def train(
    model: Model,
    optimizer: Adam,
    phase: Phase,
    probe: Callable[[], float | None],
    plan: Plan,
    checkpoints: Checkpoints | None = None,
    start: Progress | None = None,
) -> Progress:
    """Train until `plan.steps`, from a saved state where there is one, else from `start`.

    Args:
        model: trained in place.
        optimizer: of the model's parameters; whatever a step is, it keeps its state here.
        probe: PSNR in dB of the model as it is.
        checkpoints: the run's states; None keeps all in memory, and writes nothing. Then a run that
            diverges has no state to go back to, and ends.
        start: where the run stands; None is its beginning.

    Returns:
        The progress at the end.

    Raises:
        UserError: the run diverges, with states again and again; memory or the disk doesn't
            suffice.
        SystemExit: SIGTERM or SIGUSR1 came; the state is saved.
    """
    progress = start or Progress()
    training = _Training(model, optimizer, phase, probe, plan, checkpoints, progress.step)
    if checkpoints is not None:
        progress = divergence.begin(model, optimizer, checkpoints, progress)
    with deferred() as stop:
        while True:
            try:
                training.go_on(progress, stop)
                return progress
            except DivergedError as error:
                diverged = error.with_traceback(None)  # which holds the step's tensors
            if checkpoints is None:
                raise UserError(plan.label, diverged.what, divergence.FIX)
            if progress.rollbacks == divergence.ROLLBACKS:
                inputs = phase.inputs(diverged.steps[-1].step)
                raise divergence.stopped(diverged, checkpoints, progress, plan.label, inputs)
            progress = divergence.roll_back(
                model, optimizer, checkpoints, progress, plan.label, diverged.what
            )


class _Training:
    """A run's way from a saved state on; arguments as of `train`."""

    def __init__(
        self,
        model: Model,
        optimizer: Adam,
        phase: Phase,
        probe: Callable[[], float | None],
        plan: Plan,
        checkpoints: Checkpoints | None,
        first: int,
    ) -> None:
        self._model, self._optimizer, self._phase = model, optimizer, phase
        self._probe, self._plan, self._checkpoints = probe, plan, checkpoints
        self._points = _curve_steps(first, plan)
        self._read_every = _READ_EVERY if next(model.parameters()).is_cuda else 1

    def go_on(self, progress: Progress, stop: Stop) -> None:
        """Train to the end.

        Args:
            progress: of what model and optimiser hold; kept up to date.

        Raises:
            DivergedError: a step's loss or gradient is not finite; no state was saved after it.
        """
        plan = self._plan
        update = _FittingStep(self._phase, self._optimizer, progress, plan.label)
        reader = LossReader(progress)
        with closing(Console(plan.label, progress.step, plan.steps)) as console:
            clock = saved = time.monotonic()
            for step in range(progress.step, plan.steps):
                rate = plan.rate(step) * divergence.rate_factor(progress)
                reader.add(step, rate, *update(step, rate))
                progress.step = step + 1
                at_point = progress.step in self._points
                due = bool(stop.received) or time.monotonic() - saved > plan.checkpoint_seconds
                if at_point or due or len(reader) >= self._read_every:
                    reader.read()
                now = time.monotonic()
                progress.seconds += now - clock
                clock = now
                if at_point:
                    means = progress.take_means()
                    progress.curve.add(progress.step, self._probe(), means, progress.seconds, rate)
                if due and progress.step < plan.steps:
                    if self._checkpoints is not None:
                        divergence.save(self._model, self._optimizer, self._checkpoints, progress)
                    if stop.received:
                        stop.leave()
                    saved = time.monotonic()
                console.step(progress, reader.last)
                if at_point or due:
                    clock = time.monotonic()


class _FittingStep:
    """A phase's step; where memory runs out, in twice as many parts from there on."""

    def __init__(self, phase: Phase, optimizer: Adam, progress: Progress, label: str) -> None:
        self._phase, self._optimizer = phase, optimizer
        self._progress, self._label = progress, label
        self._update: Step | None = None

    def __call__(self, step: int, rate: float) -> Update:
        """Take the step.

        Raises:
            UserError: memory does not suffice for the smallest parts either.
        """
        while True:
            try:
                if self._update is None:
                    self._update = self._phase.updates(self._optimizer, self._progress.parts)
                return self._update(step, rate)
            except RuntimeError as error:
                if not memory.ran_out(error):
                    raise
                said = str(error).partition("\n")[0]
            # Out of the handler, since the error holds the step's tensors.
            self._halve(said)

    def _halve(self, said: str) -> None:
        progress = self._progress
        if progress.parts == _MOST_PARTS:
            raise UserError(
                self._label,
                f"memory does not suffice for 1/{_MOST_PARTS} of a batch ({said})",
                "lower the rays of a step or the model's resolution, or take a larger GPU",
            )
        progress.parts *= 2
        _log.warning(
            "%s: memory runs out in step %d; from here on batches go in %d parts",
            self._label, progress.step, progress.parts,
        )  # fmt: skip
        self._update = None  # with its gradients, and its CUDA graphs
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def autograd_step(
    optimizer: Adam, losses: Callable[[int, Part], Mapping[str, Tensor]], parts: Sequence[Part]
) -> Step:
    """Updates that minimise the sum of named terms, differentiated by torch.

    Nothing is updated where a term or the gradient is not finite.

    Args:
        losses: step, part of its batch -> terms.
        parts: of every batch.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def update(step: int, rate: float) -> Update:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        sums: list[Tensor] = []
        for part in parts:
            terms = losses(step, part)
            values = part.share * torch.stack(list(terms.values()))
            values.sum().backward()  # type: ignore[no-untyped-call]
            sums.append(values.detach())
        total = torch.stack(sums).sum(dim=0)
        slopes = [parameter.grad for parameter in parameters if parameter.grad is not None]
        norm = get_total_norm(slopes)
        if torch.isfinite(total).all() and torch.isfinite(norm):
            optimizer.step()
        return Update(tuple(terms), total, norm)

    return update


def _curve_steps(first: int, plan: Plan) -> frozenset[int]:
    """Numbers of steps done at which PSNR is measured."""
    length = plan.steps - first
    count = min(plan.curve_points, length)
    return frozenset(first + round(length * point / count) for point in range(1, count + 1))
