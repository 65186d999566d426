"""Schedules against their formulas, at given steps and over random settings."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dac.training.schedules import learning_rate_factor, proposal_anneal, proposals_learn


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 1 / 512),
        (255, 0.5),
        (511, 1.0),
        (512, 1.0),
        (512 + (30_000 - 512) // 2, 0.5 * (1 + math.cos(0.999 * math.pi / 2))),
        (30_000, 0.5 * (1 + math.cos(0.999 * math.pi))),
        (99_999, 0.5 * (1 + math.cos(0.999 * math.pi))),
    ],
)
def test_cosine_at_given_steps(step: int, expected: float) -> None:
    factor = learning_rate_factor(step, warmup=512, horizon=30_000)
    assert factor == pytest.approx(expected, rel=1e-12)


@given(st.integers(0, 50), st.integers(51, 300))
def test_cosine_rises_then_falls_within_bounds(warmup: int, horizon: int) -> None:
    rates = [learning_rate_factor(i, warmup=warmup, horizon=horizon) for i in range(horizon)]
    assert all(0 < rate <= 1 for rate in rates)
    assert rates[: warmup + 1] == sorted(rates[: warmup + 1])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert rates[warmup] == 1


def test_constant_does_not_depend_on_the_horizon() -> None:
    for step in (0, 5, 10, 1000):
        factors = {
            learning_rate_factor(step, warmup=10, horizon=horizon, schedule="constant")
            for horizon in (20, 40)
        }
        assert factors == {min(1.0, (step + 1) / 10)}


def test_anneal_at_given_steps() -> None:
    assert proposal_anneal(0, slope=10, steps=1000) == 0
    assert proposal_anneal(100, slope=10, steps=1000) == pytest.approx(1 / 1.9)
    assert proposal_anneal(500, slope=10, steps=1000) == pytest.approx(5 / 5.5)
    assert proposal_anneal(1000, slope=10, steps=1000) == 1
    assert proposal_anneal(7, slope=10, steps=0) == 1


@given(st.integers(1, 8), st.integers(0, 400))
def test_proposals_learn_at_every_step_first_and_at_every_nth_later(every: int, ramp: int) -> None:
    learns = [proposals_learn(i, every=every, ramp=ramp) for i in range(ramp + 20 * every)]
    assert all(learns[: ramp // every])
    updates = [step for step, learn in enumerate(learns) if learn]
    gaps = [b - a for a, b in pairwise(updates)]
    assert all(1 <= gap <= every for gap in gaps)
    late = [b - a for a, b in pairwise(updates) if a > ramp]
    assert late and set(late) == {every}


def test_proposal_cadence_matches_the_interval_it_replaces() -> None:
    # Over the ramp the number of updates is the integral of 1 / interval.
    count = sum(proposals_learn(i, every=5, ramp=5000) for i in range(5000))
    assert count == pytest.approx(1000 * (1 + math.log(5)), abs=2)
