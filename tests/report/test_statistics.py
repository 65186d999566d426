"""Paired differences: closed forms, and how often the interval holds the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dac.errors import UserError
from dac.report.rows import Row, load_rows
from dac.report.statistics import paired


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(2, 40), st.floats(-3, 3))
def test_a_constant_gain_is_sure(S: int, V: int, gain: float) -> None:
    result = paired([np.full((S, V), gain)])
    assert result.mean == pytest.approx(gain, abs=1e-9)
    assert (result.low, result.high) == pytest.approx((gain, gain), abs=1e-9)
    assert (result.views, result.seeds) == (V, S)
    assert result.sure or abs(gain) < 1e-6


@pytest.mark.parametrize("S", [1, 3])
def test_of_one_view_there_is_no_interval_and_nothing_is_sure(S: int) -> None:
    difference = np.random.default_rng(0).normal(5, 0.1, (S, 1))
    result = paired([difference])
    assert result.mean == pytest.approx(difference.mean()) and (result.won, result.views) == (1, 1)
    assert np.isnan([result.low, result.high]).all() and not result.sure
    # Nor is a mean over scenes, one of which has one view.
    both = paired([difference, np.ones((S, 9))])
    assert np.isnan([both.low, both.high]).all() and not both.sure and both.views == 10


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(2, 30), st.integers(0, 99))
def test_swapped_methods_swap_the_interval(S: int, V: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    difference = rng.normal(0, 1, (S, V))
    there, back = paired([difference]), paired([-difference])
    assert there.mean == pytest.approx(-back.mean)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.won + back.won == V
    assert there.low <= there.mean <= there.high
    assert paired([difference]) == there


def test_views_alone_give_the_textbooks_standard_error() -> None:
    difference = np.random.default_rng(1).normal(0.3, 1.0, (1, 400))
    result = paired([difference])
    error = difference.std(ddof=1) / np.sqrt(400)
    assert (result.high - result.low) / 2 == pytest.approx(1.96 * error, rel=0.03)


def test_seeds_that_disagree_widen_the_interval() -> None:
    views = np.random.default_rng(2).normal(0, 0.1, (1, 50))
    agreeing = np.repeat(views + 0.1, 3, axis=0)
    disagreeing = agreeing + np.array([[-0.5], [0.0], [0.5]])
    assert paired([agreeing]).sure
    assert not paired([disagreeing]).sure


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(2, 9), st.integers(0, 99))
def test_every_scene_counts_alike_whatever_its_views(S: int, V: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    small, large = rng.normal(0.5, 1, (S, V)), rng.normal(-0.1, 1, (S, 5 * V))
    result = paired([small, large])
    assert result.mean == pytest.approx((small.mean() + large.mean()) / 2)
    assert result.low <= result.mean <= result.high
    assert (result.views, result.seeds) == (6 * V, S)
    assert result.won == (small.mean(axis=0) > 0).sum() + (large.mean(axis=0) > 0).sum()


def test_scenes_errors_are_independent() -> None:
    """n alike scenes narrow the interval by sqrt(n), even where their numbers are the same."""
    difference = np.random.default_rng(1).normal(0.3, 1.0, (1, 200))
    alone, four = paired([difference]), paired([difference] * 4)
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
        result = paired([difference])
        held += result.low <= 0.2 <= result.high
    assert least <= held / trials <= 0.99


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (3,)])
def test_what_has_no_pairs_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="aren't seeds by views"):
        paired([np.ones((1, 2)), np.zeros(shape)])
    with pytest.raises(ValueError, match="no scene"):
        paired([])


def test_rows_are_paired_by_seed_and_view(record: Callable[..., Path]) -> None:
    ours = [record("zoo", "dac", 30.0 + seed, seed=seed) for seed in (2, 0, 1)]
    other = [record("zoo", "baseline-2x", 29.5 + seed, seed=seed) for seed in (2, 1)]
    reference, row = load_rows([*ours, *other])
    assert row.psnr == pytest.approx([30, 31, 32])  # by ascending seed
    result = row.minus(reference)
    assert result is not None
    assert result.mean == pytest.approx(0.5) and result.won == result.views == 3
    assert result.seeds == 2
    (alone,) = load_rows([record("zoo", "dac", 30.0, seed=9)])
    assert alone.minus(reference) is None


def test_rows_without_a_common_view_are_refused(record: Callable[..., Path]) -> None:
    one, two = load_rows([record("zoo", method, 30.0) for method in ("baseline-2x", "dac")])
    (run,) = two.runs
    images = tuple(replace(image, name=f"other {image.name}") for image in run.images)
    other = Row.of([replace(run, images=images)])
    with pytest.raises(UserError, match="no common view"):
        one.minus(other)
