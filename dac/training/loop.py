"""The one training loop: baseline, experts, distillation and fine-tuning run through it.

What one update does is `update`'s, what it minimises the objective's. The loop adds the schedule,
the curve, resumable states and progress, goes back where a run diverges (see `divergence`), and
takes batches in parts where memory runs out. All that decides the result is a function of the step,
so a resumed run equals the uninterrupted one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Adam

from dac.errors import UserError
from dac.ops import memory
from dac.process.signals import Stop, deferred
from dac.training import divergence
from dac.training.checkpoints import Checkpoints
from dac.training.console import Console
from dac.training.curve import DivergedError, LossReader, Progress
from dac.training.objective import Objective
from dac.training.update import StepResult, Update, make_update

_READ_EVERY = 16  # steps on a GPU; reading waits for it
_MOST_PARTS = 8

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoopSettings:
    """What is asked of the loop.

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
    objective: Objective[Any],
    optimizer: Adam,
    probe: Callable[[], float | None],
    settings: LoopSettings,
    checkpoints: Checkpoints | None = None,
    start: Progress | None = None,
) -> Progress:
    """Train until `settings.steps`, from a saved state where there is one, else from `start`.

    Args:
        objective: its model is trained in place.
        optimizer: of the model's parameters; whatever an update is, it keeps its state here.
        probe: PSNR in dB of the model as it is.
        checkpoints: the run's states; None keeps all in memory, and writes nothing. Then a run that
            diverges has no state to go back to, and ends.
        start: where the run stands; None is its beginning.

    Returns:
        The progress at the end.

    Raises:
        UserError: the run diverges, with states again and again; memory or the disk doesn't
            suffice.
        SystemExit: SIGTERM, SIGUSR1 or SIGINT came; the state is saved.
    """
    model, progress = objective.model, start or Progress()
    points = _curve_steps(progress.step, settings)
    training = _Training(objective, optimizer, probe, settings, checkpoints, points)
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
                raise UserError(settings.label, diverged.what, divergence.FIX)
            if progress.rollbacks == divergence.ROLLBACKS:
                inputs = objective.draw(diverged.steps[-1].step).tensors()
                raise divergence.stopped(diverged, checkpoints, progress, settings.label, inputs)
            progress = divergence.roll_back(
                model, optimizer, checkpoints, progress, settings.label, diverged.what
            )


@dataclass(frozen=True)
class _Training:
    """A run's way from a saved state on; the first five as of `train`.

    Attributes:
        points: numbers of steps done at which PSNR is measured.
    """

    objective: Objective[Any]
    optimizer: Adam
    probe: Callable[[], float | None]
    settings: LoopSettings
    checkpoints: Checkpoints | None
    points: frozenset[int]

    def go_on(self, progress: Progress, stop: Stop) -> None:
        """Train to the end.

        Args:
            progress: of what model and optimiser hold; kept up to date.

        Raises:
            DivergedError: a step's loss or gradient is not finite; no state was saved after it.
        """
        settings, model = self.settings, self.objective.model
        update = _FittingUpdate(self.objective, self.optimizer, progress, settings.label)
        reader = LossReader(progress)
        read_every = _READ_EVERY if model.device.type == "cuda" else 1
        with closing(Console(settings.label, progress.step, settings.steps)) as console:
            clock = saved = time.monotonic()
            for step in range(progress.step, settings.steps):
                rate = settings.rate(step) * divergence.rate_factor(progress)
                reader.add(step, rate, *update(step, rate))
                progress.step = step + 1
                at_point = progress.step in self.points
                due = bool(stop.received) or time.monotonic() - saved > settings.checkpoint_seconds
                if at_point or due or len(reader) >= read_every:
                    reader.read()
                now = time.monotonic()
                progress.seconds += now - clock
                clock = now
                if at_point:
                    means = progress.take_means()
                    progress.curve.add(progress.step, self.probe(), means, progress.seconds, rate)
                if due and progress.step < settings.steps:
                    if self.checkpoints is not None:
                        divergence.save(model, self.optimizer, self.checkpoints, progress)
                    if stop.received:
                        stop.leave()
                    saved = time.monotonic()
                console.step(progress, reader.last)
                if at_point or due:
                    clock = time.monotonic()


@dataclass
class _FittingUpdate:
    """An update; where memory runs out, in twice as many parts from there on."""

    objective: Objective[Any]
    optimizer: Adam
    progress: Progress
    label: str
    update: Update | None = None

    def __call__(self, step: int, rate: float) -> StepResult:
        """Take a step.

        Raises:
            UserError: memory does not suffice for the smallest parts either.
        """
        while True:
            try:
                if self.update is None:
                    parts = self.progress.parts
                    self.update = make_update(self.objective, self.optimizer, parts)
                return self.update(step, rate)
            except RuntimeError as error:
                if not memory.ran_out(error):
                    raise
                said = str(error).partition("\n")[0]
            # Out of the handler, since the error holds the step's tensors.
            self._halve(said)

    def _halve(self, said: str) -> None:
        progress = self.progress
        if progress.parts == _MOST_PARTS:
            raise UserError(
                self.label,
                f"memory does not suffice for 1/{_MOST_PARTS} of a batch ({said})",
                "lower the rays of a step or the model's resolution, or take a larger GPU",
            )
        progress.parts *= 2
        _log.warning(
            "%s: memory runs out in step %d; from here on batches go in %d parts",
            self.label, progress.step, progress.parts,
        )  # fmt: skip
        self.update = None  # with its gradients, and its CUDA graphs
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _curve_steps(first: int, settings: LoopSettings) -> frozenset[int]:
    """Numbers of steps done at which PSNR is measured."""
    length = settings.steps - first
    count = min(settings.curve_points, length)
    return frozenset(first + round(length * point / count) for point in range(1, count + 1))
