"""Learning rate, proposal annealing and proposal cadence: pure functions of the step.

Notation: `step` counts from 0; `horizon` is the number of steps that a cosine spans.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

Schedule = Literal["cosine", "constant"]


def learning_rate(
    peak: float, *, warmup: int, horizon: int, schedule: Schedule = "cosine"
) -> Callable[[int], float]:
    """Learning rate of a step: `peak` times `learning_rate_factor`, with the rest as there."""
    return lambda step: (
        peak * learning_rate_factor(step, warmup=warmup, horizon=horizon, schedule=schedule)
    )


def learning_rate_factor(
    step: int, *, warmup: int, horizon: int, schedule: Schedule = "cosine"
) -> float:
    """Factor on the learning rate in [0, 1].

    Linear over the first `warmup` steps, (step + 1) / warmup, so that no step is wasted on a zero
    rate; then constant, or (K-Planes) 0.5 (1 + cos(0.999 pi p)) with
    p = (step - warmup) / (horizon - warmup), held at its last value beyond the horizon.
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    progress = min(1.0, (step - warmup) / max(1, horizon - warmup))
    return 0.5 * (1.0 + math.cos(0.999 * math.pi * progress))


def proposal_anneal(step: int, *, slope: float, steps: int) -> float:
    """Exponent on the proposals' weights before they are resampled, from 0 to 1 (mip-NeRF 360).

    b x / ((b - 1) x + 1) with b = slope, x = step / steps up to 1: the first samples are spread
    evenly, later ones follow the weights.
    """
    x = min(1.0, step / steps) if steps else 1.0
    return slope * x / ((slope - 1.0) * x + 1.0)


def proposals_learn(step: int, *, every: int, ramp: int) -> bool:
    """Whether the proposals get gradient in this step.

    The interval between updates grows linearly from 1 to `every` over the first `ramp` steps
    (K-Planes), then stays. As a function of the step alone: an update happens wherever the
    integral of 1 / interval passes a whole number.
    """
    if step == 0:
        return True
    done = math.floor(_updates(step, every, ramp))
    return math.floor(_updates(step + 1, every, ramp)) > done


def _updates(step: int, every: int, ramp: int) -> float:
    """Integral from 0 to `step` of 1 / max(1, min(every, every x / ramp))."""
    even = ramp / every  # up to here, every step
    if step <= even:
        return float(step)
    if step <= ramp:
        return even * (1.0 + math.log(step / even))
    return even * (1.0 + math.log(every)) + (step - ramp) / every
