"""How DaC's PSNR comes about: from the 1x baseline by experts, distillation and fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dac.report.controls import Controls
from dac.report.statistics import Floats, Paired, aligned, paired
from dac.report.text import one_line

STAGES = ("experts", "distilled", "dac")


@dataclass(frozen=True)
class Waterfall:
    """What each stage adds, over the seeds and views that all of them and the 1x baseline share.

    Attributes:
        mode: of the conquer phase.
        stages: what the routed experts add to the 1x baseline, distillation to the experts, and
            fine-tuning to the distilled model; the means add up.
        sectors: (K, 3) PSNR after each stage minus the 1x baseline's on the test views of each
            sector, dB; NaN where it has none.
        twice: the 2x baseline's PSNR minus the 1x's, dB; NaN where it shares no seed.
    """

    mode: str
    stages: list[Paired]
    sectors: Floats
    twice: float


def waterfall(found: Controls) -> Waterfall | None:
    """Of the controls of one mode; None where a stage is missing, or they share no seed.

    Raises:
        UserError: they share no view.
    """
    once, experts, dac = found.once, found.experts, found.dac
    if once is None or experts is None or found.distilled is None or dac is None:
        return None
    where = f"scene {one_line(found.scene)}"
    methods = [row.scores for row in (once, experts, found.distilled, dac)]
    shared = aligned(methods, where)
    if shared is None:
        return None
    views, scores = shared
    gains = (scores[1:] - scores[0]).mean(axis=1)
    routed = {image.name: image.group for image in experts.runs[0].images}
    owner = np.array([routed[view] for view in views])
    sectors = np.full((found.K, len(STAGES)), np.nan)
    for sector in range(found.K):
        if (owner == sector).any():
            sectors[sector] = gains[:, owner == sector].mean(axis=1)
    stages = [paired([after - before]) for before, after in pairwise(scores)]
    both = None if found.twice is None else aligned([*methods, found.twice.scores], where)
    twice = float("nan") if both is None else float((both[1][-1] - both[1][0]).mean())
    return Waterfall(dac.label.mode or "", stages, sectors, twice)
