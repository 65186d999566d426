"""How a run went: its curve, and the loss terms between two points of it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dac.errors import UserError
from dac.storage.artifacts import read_json

_REMEMBERED = 16


@dataclass
class Curve:
    """One entry a curve point.

    Attributes:
        steps: steps done.
        psnr: in dB on the held-out pixels; None where the scene has none.
        losses: each term's mean since the point before, its weight included; None where it was
            never a term.
        seconds: of training so far, measuring and saving left out.
        lr: learning rate of the point's last step.
    """

    steps: list[int] = field(default_factory=list)
    psnr: list[float | None] = field(default_factory=list)
    losses: dict[str, list[float | None]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> Curve:
        """Read a curve.json.

        Raises:
            UserError: the file is missing or damaged.
        """
        try:
            return cls(**read_json(path))
        except TypeError as error:
            raise UserError(path, f"is no curve ({error})", "delete it, run again") from None

    def add(
        self, step: int, psnr: float | None, means: Mapping[str, float], seconds: float, lr: float
    ) -> None:
        """Append a point."""
        for name in means:
            self.losses.setdefault(name, [None] * len(self.steps))
        for name, values in self.losses.items():
            values.append(means.get(name))
        self.steps.append(step)
        self.psnr.append(psnr)
        self.seconds.append(seconds)
        self.lr.append(lr)


@dataclass
class Progress:
    """Where a run stands; with the tensors, all that a resumed run needs.

    Attributes:
        step: the next step.
        seconds: spent so far.
        curve: so far.
        sums, counts: of each term since the last curve point.
        rollbacks: how often the run went back to a saved state; each halves the learning rate.
        parts: micro-batches of a batch (see `training.objective`).
    """

    step: int = 0
    seconds: float = 0.0
    curve: Curve = field(default_factory=Curve)
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    rollbacks: int = 0
    parts: int = 1

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Progress:
        """Read what `dataclasses.asdict` gave."""
        return cls(**{**data, "curve": Curve(**data["curve"])})

    def take_means(self) -> dict[str, float]:
        """Each term's mean since it was last asked for."""
        means = {name: self.sums[name] / self.counts[name] for name in self.sums}
        self.sums, self.counts = {}, {}
        return means


class StepRecord(NamedTuple):
    """A step's numbers: its learning rate, its loss terms, its gradient's norm."""

    step: int
    rate: float
    terms: dict[str, float]
    gradient_norm: float


class DivergedError(Exception):
    """A loss term or the gradient of a step is not finite.

    Args:
        what: e.g. `the loss 'photometric' is nan in step 5`.
        steps: the last ones read; the last of them is the one.
    """

    def __init__(self, what: str, steps: Sequence[StepRecord]) -> None:
        super().__init__(what)
        self.what = what
        self.steps = tuple(steps)


class LossReader:
    """What steps did, on its way from the device into a run's progress.

    It is read some steps at a time, because reading waits for the device; every step is checked.
    """

    def __init__(self, progress: Progress) -> None:
        self.last = math.nan
        """Total of the last step read."""
        self._progress = progress
        self._pending: list[tuple[int, float, tuple[str, ...]]] = []
        self._values: list[Tensor] = []
        self._read: deque[StepRecord] = deque(maxlen=_REMEMBERED)

    def __len__(self) -> int:
        return len(self._pending)

    def add(
        self, step: int, rate: float, names: tuple[str, ...], terms: Tensor, gradient_norm: Tensor
    ) -> None:
        """Keep a step's terms (names,) and its gradient's norm (), detached."""
        self._pending.append((step, rate, names))
        self._values += [terms, gradient_norm.view(1)]

    def read(self) -> None:
        """Move what is pending into the progress.

        Raises:
            DivergedError: a term or the gradient of some step is not finite.
        """
        if not self._pending:
            return
        values = iter(torch.cat(self._values).tolist())
        for step, rate, names in self._pending:
            terms = {name: next(values) for name in names}
            self._read.append(StepRecord(step, rate, terms, next(values)))
            self._check()
            for name, value in terms.items():
                self._progress.sums[name] = self._progress.sums.get(name, 0.0) + value
                self._progress.counts[name] = self._progress.counts.get(name, 0) + 1
            self.last = sum(terms.values())
        self._pending.clear()
        self._values.clear()

    def _check(self) -> None:
        last = self._read[-1]
        named = {f"the loss '{name}'": value for name, value in last.terms.items()}
        for name, value in {**named, "the gradient's norm": last.gradient_norm}.items():
            if not math.isfinite(value):
                raise DivergedError(f"{name} is {value} in step {last.step}", self._read)
