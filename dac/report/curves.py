"""Training curves, laid end to end: what the figure and the page draw.

Experts are independent, so they begin side by side, after the trunk where they grew from one; what
makes one model of them follows the longest of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from dac.errors import UserError
from dac.training.curve import Curve

# What lies further below the best value is the start of training and would flatten the rest.
SHOWN_DECIBELS = 12.0
EXPERTS_LEGEND = "each alone on all held-out views"


@dataclass(frozen=True)
class PlacedCurve:
    """A run's curve on axes that began before it.

    Attributes:
        method: as the tables call it.
        steps, seconds: (C,) from the beginning of the whole pipeline.
        psnr: (C,) dB on held-out pixels; NaN where it was not measured.
    """

    method: str
    steps: list[int]
    seconds: list[float]
    psnr: list[float]


@dataclass(frozen=True)
class Phase:
    """A phase of the pipeline: from which step to which."""

    name: str
    start: int
    end: int


def load_curve(file: Path) -> Curve:
    """A run's `curve.json`.

    Raises:
        UserError: it is missing, damaged or empty.
    """
    curve = Curve.load(file)
    lengths = {len(curve.steps), len(curve.psnr), len(curve.seconds)}
    lengths |= {len(values) for values in curve.losses.values()}
    if len(lengths) != 1 or not curve.steps:
        raise UserError(file, "is no curve", "delete the run, run again")
    return curve


def placed(method: str, curve: Curve, after: Sequence[PlacedCurve] = ()) -> PlacedCurve:
    """A curve, moved to begin where the longest of `after` ends."""
    steps = max((before.steps[-1] for before in after), default=0)
    seconds = max((before.seconds[-1] for before in after), default=0.0)
    return PlacedCurve(
        method,
        [steps + value for value in curve.steps],
        [seconds + value for value in curve.seconds],
        [float("nan") if value is None else value for value in curve.psnr],
    )


# What a phase that makes one model is called, by the method whose curve it is.
PHASES = {"distilled": "distillation", "dac": "fine-tuning", "merged": "fine-tuning"}


def pipeline(
    experts: Sequence[Curve], later: Mapping[str, Curve | None], trunk: Curve | None = None
) -> tuple[list[PlacedCurve], list[Phase]]:
    """The curves that lead to one model, those that are there, and their phases.

    Args:
        experts: side by side.
        later: what follows them one after the other, by method; those after the first that isn't
            there are left out.
        trunk: that the experts grew from; their own curves count its steps, but not its seconds.
    """
    first = [] if trunk is None else [placed("trunk", trunk)]
    phases = [Phase("trunk", 0, curve.steps[-1]) for curve in first]
    latest = [_grown(curve, first) for curve in experts]
    curves = [*first, *latest]
    if latest:
        start = phases[-1].end if phases else 0
        phases.append(Phase("experts", start, max(curve.steps[-1] for curve in latest)))
    for method, curve in later.items():
        if curve is None:
            break
        start = phases[-1].end if phases else 0
        latest = [placed(method, curve, latest or first)]
        phases.append(Phase(PHASES[method], start, latest[0].steps[-1]))
        curves = [*curves, *latest]
    return curves, phases


def _grown(curve: Curve, trunk: Sequence[PlacedCurve]) -> PlacedCurve:
    """An expert's curve, on the axes of what it grew from."""
    alone = placed("experts", curve)
    before = trunk[0].seconds[-1] if trunk else 0.0
    return replace(alone, seconds=[before + value for value in alone.seconds])


def shown_range(psnr: Sequence[Sequence[float]]) -> tuple[float, float] | None:
    """Limits (dB) for the best value and what lies less than `SHOWN_DECIBELS` below it.

    Args:
        psnr: of all curves; NaN where it was not measured.

    Returns:
        None where nothing was measured.
    """
    values = np.fromiter(chain.from_iterable(psnr), np.float64)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return None
    top = float(values.max())
    bottom = max(float(values.min()), top - SHOWN_DECIBELS)
    margin = 0.06 * max(top - bottom, 0.5)
    return bottom - margin, top + 2 * margin
