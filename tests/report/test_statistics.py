"""Paired differences: closed forms, and how often the interval holds the truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dac.errors import UserError
from dac.evaluation.records import Evaluation
from dac.report.statistics import paired, paired_records, pooled


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 40), st.floats(-3, 3), st.integers(0, 99))
def test_a_constant_gain_is_sure(S: int, V: int, gain: float, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(30, 5, (S, V))
    result = paired(scores + gain, scores)
    assert result.mean == pytest.approx(gain, abs=1e-9)
    assert (result.low, result.high) == pytest.approx((gain, gain), abs=1e-9)
    assert (result.views, result.seeds) == (V, S)


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(2, 30), st.integers(0, 99))
def test_swapped_methods_swap_the_interval(S: int, V: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.normal(30, 1, (S, V)), rng.normal(30, 1, (S, V))
    there, back = paired(one, two), paired(two, one)
    assert there.mean == pytest.approx(-back.mean)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.won + back.won == V
    assert there.low <= there.mean <= there.high
    assert paired(one, two) == there


def test_views_alone_give_the_textbooks_standard_error() -> None:
    difference = np.random.default_rng(1).normal(0.3, 1.0, (1, 400))
    result = paired(difference, np.zeros_like(difference))
    error = difference.std(ddof=1) / np.sqrt(400)
    assert (result.high - result.low) / 2 == pytest.approx(1.96 * error, rel=0.03)


def test_seeds_that_disagree_widen_the_interval() -> None:
    views = np.random.default_rng(2).normal(0, 0.1, (1, 50))
    agreeing = np.repeat(views + 0.1, 3, axis=0)
    disagreeing = agreeing + np.array([[-0.5], [0.0], [0.5]])
    zero = np.zeros_like(agreeing)
    assert paired(agreeing, zero).sure
    assert not paired(disagreeing, zero).sure


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(2, 9), st.integers(0, 99))
def test_every_scene_counts_alike_whatever_its_views(S: int, V: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    small, large = rng.normal(0.5, 1, (S, V)), rng.normal(-0.1, 1, (S, 5 * V))
    result = pooled([(small, np.zeros_like(small)), (large, np.zeros_like(large))])
    assert result.mean == pytest.approx((small.mean() + large.mean()) / 2)
    assert result.low <= result.mean <= result.high
    assert (result.views, result.seeds) == (6 * V, S)
    assert result.won == (small.mean(axis=0) > 0).sum() + (large.mean(axis=0) > 0).sum()
    assert pooled([(small, large[:, :V])]) == paired(small, large[:, :V])


def test_scenes_errors_are_independent() -> None:
    """n alike scenes narrow the interval by sqrt(n), even where their numbers are the same."""
    difference = np.random.default_rng(1).normal(0.3, 1.0, (1, 200))
    one = (difference, np.zeros_like(difference))
    alone, four = paired(*one), pooled([one] * 4)
    assert four.mean == pytest.approx(alone.mean)
    assert (alone.high - alone.low) / (four.high - four.low) == pytest.approx(2, rel=0.06)


# Shares of seeds' and views' variance; the coverage that was measured, less three standard errors.
@pytest.mark.parametrize(
    ("S", "seed_spread", "least"), [(1, 0.0, 0.92), (3, 0.0, 0.92), (3, 0.1, 0.86), (8, 0.3, 0.87)]
)
def test_the_interval_holds_the_truth_about_as_often_as_it_says(
    S: int, seed_spread: float, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dac.report.statistics.RESAMPLES", 1000)
    rng = np.random.default_rng(3)
    V, trials, held = 40, 400, 0
    for _ in range(trials):
        difference = 0.2 + rng.normal(0, seed_spread, (S, 1)) + rng.normal(0, 0.5, (1, V))
        difference = difference + rng.normal(0, 0.2, (S, V))
        result = paired(difference, np.zeros_like(difference))
        held += result.low <= 0.2 <= result.high
    assert least <= held / trials <= 0.99


@pytest.mark.parametrize("shapes", [((1, 2), (2, 1)), ((0, 3), (0, 3)), ((3,), (3,))])
def test_what_has_no_pairs_is_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="can't pair"):
        paired(*(np.zeros(shape) for shape in shapes))
    with pytest.raises(ValueError, match="no scene"):
        pooled([])


def test_records_are_paired_by_seed_and_view(record: Callable[..., Path]) -> None:
    ours = [record("zoo", "dac", 30.0 + seed, seed=seed) for seed in (0, 1, 2)]
    other = [record("zoo", "baseline-2x", 29.5 + seed, seed=seed) for seed in (2, 1)]
    result = paired_records(*([Evaluation.load(path) for path in part] for part in (ours, other)))
    assert result is not None
    assert result.mean == pytest.approx(0.5) and result.won == result.views == 3
    assert result.seeds == 2
    alone = [Evaluation.load(record("zoo", "dac", 30.0, seed=9))]
    assert paired_records(alone, [Evaluation.load(path) for path in other]) is None


def test_records_without_a_common_view_are_refused(record: Callable[..., Path]) -> None:
    one, two = (Evaluation.load(record("zoo", "dac", 30.0)) for _ in range(2))
    images = tuple(
        type(image)(f"other{i}", image.psnr, image.ssim, image.ms_ssim)
        for i, image in enumerate(two.images)
    )
    other = type(two)(**{**two.__dict__, "images": images})
    with pytest.raises(UserError, match="no common view"):
        paired_records([one], [other])
