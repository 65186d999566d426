"""Is a gain one? Paired differences of two methods over test views and seeds.

Both methods render the same views and share their seeds, so what is compared is each view's own
difference d[s, v] = ours - reference (dB), and how hard a view is cancels out.

Notation: S seeds, V views, B resamples. The model behind the interval is two-way: d[s, v] = mean +
seed effect a[s] + view effect b[v] + rest. Seeds and views are resampled independently of each
other (a seed's trainings meet every view, a view is seen by every seed), as Owen's "pigeonhole"
bootstrap does (A. B. Owen, *The pigeonhole bootstrap*, Annals of Applied Statistics 1, 2007).
Resampled means of n values spread too little by sqrt((n - 1) / n), which for three seeds is 18 %:
deviations are stretched by its inverse, each effect by its own n.

With one seed the interval speaks of views alone: how much another training would differ is not in
it, and the tables say so. With two or three seeds it is still optimistic, as any interval is that
rests on so few; `docs/method.md` has its measured coverage. With one view there is no interval, and
nothing is sure, whatever the seeds: views differ most, and one says nothing about how much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dac.errors import UserError

Floats = NDArray[np.float64]
ViewScores = Mapping[int, Mapping[str, float]]  # seed -> view -> PSNR, dB

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Paired:
    """How two methods differ.

    Attributes:
        mean: of ours minus the reference, dB.
        low, high: the 95 % bootstrap interval of the mean, dB; NaN where there is none, since a
            scene has one view.
        won: views on which ours, averaged over the seeds, is ahead.
        views, seeds: that both have.
    """

    mean: float
    low: float
    high: float
    won: int
    views: int
    seeds: int

    @property
    def sure(self) -> bool:
        """Whether there is an interval, and it leaves zero out."""
        return self.low > 0 or self.high < 0


def paired(scenes: Sequence[Floats]) -> Paired:
    """Compare two methods on scenes, each of which counts alike; the same input, the same interval.

    Scenes aren't drawn: the interval speaks of these, not of others. Seeds and views are drawn for
    each scene on its own, since trainings on two scenes share nothing but their seed's number.

    Args:
        scenes: (S, V) differences of every scene, ours minus the reference.

    Returns:
        The mean over the scenes; `won` and `views` count all scenes' views, `seeds` is the fewest.

    Raises:
        ValueError: there is no scene, or nothing to compare on one.
    """
    if not scenes:
        raise ValueError("no scene to compare on")
    for difference in scenes:
        if difference.ndim != 2 or difference.size == 0:
            raise ValueError(f"differences {difference.shape} aren't seeds by views")
    low = high = float("nan")
    if min(difference.shape[1] for difference in scenes) > 1:
        draws = _draws(tuple(difference.shape for difference in scenes), RESAMPLES)
        means = np.mean([_resampled_means(*each) for each in zip(scenes, draws, strict=True)], 0)
        low, high = (float(x) for x in np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    return Paired(
        mean=float(np.mean([difference.mean() for difference in scenes])),
        low=low,
        high=high,
        won=sum(int((difference.mean(axis=0) > 0).sum()) for difference in scenes),
        views=sum(difference.shape[1] for difference in scenes),
        seeds=min(difference.shape[0] for difference in scenes),
    )


@lru_cache(maxsize=8)  # A table's differences have few shapes, and a shape many differences.
def _draws(shapes: tuple[tuple[int, ...], ...], count: int) -> list[tuple[Floats, Floats]]:
    """For each scene's (S, V), how often each seed (B, S) and view (B, V) is drawn, as shares."""
    rng = np.random.default_rng(0)
    return [
        (
            rng.multinomial(S, np.full(S, 1 / S), count) / S,
            rng.multinomial(V, np.full(V, 1 / V), count) / V,
        )
        for S, V in shapes
    ]


def _resampled_means(difference: Floats, draws: tuple[Floats, Floats]) -> Floats:
    """(B,) means of resampled differences (S, V), V > 1; see the module's text."""
    S, V = difference.shape
    seeds, views = draws
    mean = difference.mean()
    of_seed = difference.mean(axis=1) - mean
    of_view = difference.mean(axis=0) - mean
    rest = difference - mean - of_seed[:, None] - of_view[None, :]
    # One seed says nothing about a spread, so there is nothing to stretch.
    by_seeds = np.sqrt(S / (S - 1)) if S > 1 else 1.0
    by_views = np.sqrt(V / (V - 1))
    moved = by_seeds * seeds @ of_seed + by_views * views @ of_view
    means: Floats = mean + moved + by_seeds * by_views * (seeds * (views @ rest.T)).sum(axis=1)
    return means


def aligned(methods: Sequence[ViewScores], where: str) -> tuple[list[str], Floats] | None:
    """Scores of methods on one scene, on the seeds and views that all of them share.

    Args:
        methods: their scores.
        where: what an error names.

    Returns:
        The views, and the scores (methods, S, V); None where no seed is shared.

    Raises:
        UserError: no view is shared.
    """
    seeds = sorted(set.intersection(*(set(scores) for scores in methods)))
    if not seeds:
        return None
    views = sorted(set.intersection(*(set(s[seed]) for s in methods for seed in seeds)))
    if not views:
        what = "methods to compare score no common view"
        raise UserError(where, what, "score the same test views")
    values = [[[s[seed][view] for view in views] for seed in seeds] for s in methods]
    return views, np.array(values, np.float64)
