"""How a run went: its curve, and the loss terms between two points of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dac.artifacts import read_json
from dac.errors import UserError


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
    """

    step: int = 0
    seconds: float = 0.0
    curve: Curve = field(default_factory=Curve)
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Progress:
        """Read what `dataclasses.asdict` gave."""
        return cls(**{**data, "curve": Curve(**data["curve"])})

    def take_means(self) -> dict[str, float]:
        """Each term's mean since it was last asked for."""
        means = {name: self.sums[name] / self.counts[name] for name in self.sums}
        self.sums, self.counts = {}, {}
        return means


class LossReader:
    """Loss terms on their way from the device into a run's progress.

    They are read some steps at a time, because reading waits for the device; every step's are
    checked.
    """

    def __init__(self, label: str, progress: Progress) -> None:
        self.last = math.nan
        """Total of the last step read."""
        self._label = label
        self._progress = progress
        self._pending: list[tuple[int, tuple[str, ...], Tensor]] = []

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, step: int, names: tuple[str, ...], values: Tensor) -> None:
        """Keep a step's terms, (names,) values, detached."""
        self._pending.append((step, names, values))

    def read(self) -> None:
        """Move what is pending into the progress.

        Raises:
            UserError: a term of some step is not finite.
        """
        if not self._pending:
            return
        values = iter(torch.cat([values for _, _, values in self._pending]).tolist())
        for step, names, _ in self._pending:
            terms = {name: next(values) for name in names}
            for name, value in terms.items():
                if not math.isfinite(value):
                    raise UserError(
                        self._label,
                        f"the loss '{name}' is {value} in step {step}; the run is stopped",
                        "lower the learning rate, or look for damaged images or poses",
                    )
                self._progress.sums[name] = self._progress.sums.get(name, 0.0) + value
                self._progress.counts[name] = self._progress.counts.get(name, 0) + 1
            self.last = sum(terms.values())
        self._pending.clear()
