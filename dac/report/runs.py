"""The runs of one scene and seed that a figure compares, and their curves laid end to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dac.errors import UserError
from dac.training.curve import Curve


@dataclass(frozen=True)
class SceneRuns:
    """Run folders of one scene, model and seed.

    Attributes:
        scene: its name, for the title.
        baseline_1x, baseline_2x: one model on all views.
        experts: K models, trained side by side.
        distill, finetune: the two phases of the conquered model.
    """

    scene: str
    baseline_1x: Path
    baseline_2x: Path
    experts: Sequence[Path]
    distill: Path
    finetune: Path


@dataclass(frozen=True)
class Stretch:
    """A run's curve on axes that began before it.

    Attributes:
        steps, seconds: (C,) from the beginning of the whole pipeline, experts side by side.
        psnr: (C,) dB on held-out pixels; NaN where it was not measured.
    """

    steps: list[float]
    seconds: list[float]
    psnr: list[float]


def load_curve(run: Path) -> Curve:
    """A run's curve.

    Raises:
        UserError: it is missing, damaged or empty.
    """
    curve = Curve.load(run / "curve.json")
    lengths = {len(curve.steps), len(curve.psnr), len(curve.seconds)}
    lengths |= {len(values) for values in curve.losses.values()}
    if len(lengths) != 1 or not curve.steps:
        raise UserError(run / "curve.json", "is no curve", "delete the run, run again")
    return curve


def stretch(curve: Curve, after: Sequence[Curve] = ()) -> Stretch:
    """A curve, moved to begin where the longest of `after` ends."""
    steps = max((before.steps[-1] for before in after), default=0)
    seconds = max((before.seconds[-1] for before in after), default=0.0)
    return Stretch(
        [steps + value for value in curve.steps],
        [seconds + value for value in curve.seconds],
        [float("nan") if value is None else value for value in curve.psnr],
    )


def shifted(later: Stretch, by: Stretch) -> Stretch:
    """A stretch, moved to begin where `by` ends."""
    return Stretch(
        [by.steps[-1] + value for value in later.steps],
        [by.seconds[-1] + value for value in later.seconds],
        later.psnr,
    )
