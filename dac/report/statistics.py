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
rests on so few; `docs/method.md` has its measured coverage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dac.errors import UserError
from dac.evaluation.records import Evaluation

Floats = NDArray[np.float64]
ViewScores = Mapping[int, Mapping[str, float]]  # seed -> view -> PSNR, dB

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Paired:
    """How two methods differ.

    Attributes:
        mean: of ours minus the reference, dB.
        low, high: the 95 % bootstrap interval of the mean, dB.
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
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0


def paired(ours: Floats, reference: Floats) -> Paired:
    """Compare two methods on one scene; the same numbers give the same interval.

    Args:
        ours, reference: (S, V) scores, seeds and views in the same order.

    Raises:
        ValueError: the shapes differ, or there is nothing to compare.
    """
    return pooled([(ours, reference)])


def pooled(scenes: Sequence[tuple[Floats, Floats]]) -> Paired:
    """Compare two methods on several scenes, each of which counts alike.

    Scenes aren't drawn: the interval speaks of these, not of others. Seeds and views are drawn for
    each scene on its own, since trainings on two scenes share nothing but their seed's number.

    Args:
        scenes: what `paired` takes, of every scene.

    Returns:
        The mean over the scenes; `won` and `views` count all scenes' views, `seeds` is the fewest.

    Raises:
        ValueError: as `paired`; there is no scene.
    """
    if not scenes:
        raise ValueError("no scene to compare on")
    differences = []
    for ours, reference in scenes:
        if ours.shape != reference.shape or ours.ndim != 2 or ours.size == 0:
            raise ValueError(f"can't pair {ours.shape} with {reference.shape}")
        differences.append(np.asarray(ours, np.float64) - np.asarray(reference, np.float64))
    rng = np.random.default_rng(0)
    means = np.mean([_resampled_means(difference, rng) for difference in differences], axis=0)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Paired(
        mean=float(np.mean([difference.mean() for difference in differences])),
        low=float(low),
        high=float(high),
        won=sum(int((difference.mean(axis=0) > 0).sum()) for difference in differences),
        views=sum(difference.shape[1] for difference in differences),
        seeds=min(difference.shape[0] for difference in differences),
    )


def _resampled_means(difference: Floats, rng: np.random.Generator) -> Floats:
    """(B,) means of resampled differences (S, V); see the module's text."""
    S, V = difference.shape
    # How often each is drawn, as shares.
    seeds = rng.multinomial(S, np.full(S, 1 / S), RESAMPLES) / S
    views = rng.multinomial(V, np.full(V, 1 / V), RESAMPLES) / V
    mean = difference.mean()
    of_seed = difference.mean(axis=1) - mean
    of_view = difference.mean(axis=0) - mean
    rest = difference - mean - of_seed[:, None] - of_view[None, :]
    # One value says nothing about a spread, so there is nothing to stretch.
    by_seeds = np.sqrt(S / (S - 1)) if S > 1 else 1.0
    by_views = np.sqrt(V / (V - 1)) if V > 1 else 1.0
    moved = by_seeds * seeds @ of_seed + by_views * views @ of_view
    means: Floats = mean + moved + by_seeds * by_views * ((seeds @ rest) * views).sum(axis=1)
    return means


def paired_records(ours: Sequence[Evaluation], reference: Sequence[Evaluation]) -> Paired | None:
    """Compare the PSNR of two methods on one scene, over the seeds and views that both have.

    Args:
        ours, reference: one record a seed.

    Returns:
        None where they share no seed.

    Raises:
        UserError: records of one seed share no view.
    """
    where = f"scene {ours[0].scene}" if ours else "records"
    both = common_scores(view_scores(ours), view_scores(reference), where)
    return None if both is None else paired(*both)


def view_scores(records: Sequence[Evaluation]) -> ViewScores:
    """The PSNR of every view, by the records' seeds."""
    return {
        record.label.seed: {image.name: image.psnr for image in record.images} for record in records
    }


def common_scores(
    ours: ViewScores, reference: ViewScores, where: str
) -> tuple[Floats, Floats] | None:
    """What `paired` takes: both methods' scores on the seeds and views that they share.

    Args:
        where: what an error names.

    Returns:
        Two arrays (S, V); None where no seed is shared.

    Raises:
        UserError: no view is shared.
    """
    seeds = sorted(ours.keys() & reference.keys())
    if not seeds:
        return None
    common = [set(scores[seed]) for scores in (ours, reference) for seed in seeds]
    views = sorted(set.intersection(*common))
    if not views:
        what = "two methods score no common view"
        raise UserError(where, what, "score the same test views")
    first, second = (
        np.array([[scores[seed][view] for view in views] for seed in seeds])
        for scores in (ours, reference)
    )
    return first, second
