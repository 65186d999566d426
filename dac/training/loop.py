"""The one training loop: baseline, experts, distillation and fine-tuning run through it.

A phase gives what one update does: losses, gradients, Adam (`autograd_step` makes it of a function
from the step to named loss terms, whose sum is minimised). The loop adds the schedule, the curve,
resumable states and progress. All that decides the result is a function of the step, so a resumed
run equals the uninterrupted one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.optim import Adam

from dac.fields.model import Model
from dac.signals import deferred
from dac.training.checkpoints import Checkpoints, load_run_tensors, run_tensors
from dac.training.console import Console
from dac.training.curve import LossReader, Progress

_READ_EVERY = 16

Step = Callable[[int, float], tuple[tuple[str, ...], Tensor]]
"""One update of the model: step, learning rate -> the loss terms' names and values (detached)."""


@dataclass(frozen=True)
class Plan:
    """What a phase asks of the loop.

    Attributes:
        label: of the run, for messages, e.g. `lego expert 2`.
        steps: the run ends when this many are done, those before its start included.
        rate: learning rate of a step.
        curve_points: how often PSNR is measured, evenly over the run, the last time at its end.
        checkpoint_seconds: between saved states.
    """

    label: str
    steps: int
    rate: Callable[[int], float]
    curve_points: int
    checkpoint_seconds: float


def train(
    model: Model,
    optimizer: Adam,
    make_step: Callable[[], Step],
    probe: Callable[[], float | None],
    plan: Plan,
    checkpoints: Checkpoints,
    start: Progress,
) -> Progress:
    """Train until `plan.steps`, from a saved state where there is one, else from `start`.

    The start is saved too: a disk that can't hold the states shows itself at once, and there always
    is a state to go back to.

    Args:
        optimizer: of the model's parameters; whatever a step is, it keeps its state here.
        make_step: called once, when model and optimiser hold what the run goes on from: loading a
            state puts other tensors into the optimiser.
        probe: PSNR in dB of the model as it is.

    Returns:
        The progress at the end.

    Raises:
        UserError: a loss is not finite; the disk is full.
        SystemExit: SIGTERM or SIGUSR1 came; the state is saved.
    """
    points = _curve_steps(start.step, plan)
    progress = _resume(model, optimizer, checkpoints)
    if progress is None:
        progress = start
        checkpoints.save(progress.step, run_tensors(model, optimizer), asdict(progress))
    update = make_step()
    reader = LossReader(plan.label, progress)
    with deferred() as stop, closing(Console(plan.label, progress.step, plan.steps)) as console:
        clock = saved = time.monotonic()
        for step in range(progress.step, plan.steps):
            rate = plan.rate(step)
            reader.add(step, *update(step, rate))
            progress.step = step + 1
            at_point = progress.step in points
            due = bool(stop.received) or time.monotonic() - saved > plan.checkpoint_seconds
            if at_point or due or len(reader) >= _READ_EVERY:
                reader.read()
            now = time.monotonic()
            progress.seconds += now - clock
            clock = now
            if at_point:
                means = progress.take_means()
                progress.curve.add(progress.step, probe(), means, progress.seconds, rate)
            if due and progress.step < plan.steps:
                checkpoints.save(progress.step, run_tensors(model, optimizer), asdict(progress))
                if stop.received:
                    stop.leave()
                saved = time.monotonic()
            console.step(progress, reader.last)
            if at_point or due:
                clock = time.monotonic()
    return progress


def autograd_step(optimizer: Adam, losses: Callable[[int], Mapping[str, Tensor]]) -> Step:
    """Updates that minimise the sum of named terms, differentiated by torch.

    Args:
        losses: step -> terms.
    """

    def update(step: int, rate: float) -> tuple[tuple[str, ...], Tensor]:
        terms = losses(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        values = torch.stack(list(terms.values()))
        optimizer.zero_grad(set_to_none=True)
        values.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return tuple(terms), values.detach()

    return update


def _curve_steps(first: int, plan: Plan) -> frozenset[int]:
    """Numbers of steps done at which PSNR is measured."""
    length = plan.steps - first
    count = min(plan.curve_points, length)
    return frozenset(first + round(length * point / count) for point in range(1, count + 1))


def _resume(model: Model, optimizer: Adam, checkpoints: Checkpoints) -> Progress | None:
    loaded = checkpoints.load()
    if loaded is None:
        return None
    tensors, progress = loaded
    load_run_tensors(model, optimizer, tensors)
    return Progress.from_json(progress)
