"""Normalised distances, first edges and resampling."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dac.fields import sampling

KINDS: tuple[sampling.Kind, ...] = ("box", "contraction")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.floats(0.01, 5), st.floats(1e-3, 1e3), st.integers(0, 99))
def test_s_and_t_round_trip(kind: sampling.Kind, near: float, length: float, seed: int) -> None:
    ends = torch.tensor([near], dtype=torch.float64), torch.tensor([near + length]).double()
    s = torch.rand(1, 40, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    s = torch.cat([torch.zeros(1, 1), s.sort(-1).values, torch.ones(1, 1)], -1)
    t = sampling.t_from_s(kind, s, *ends)
    assert (t.diff() >= 0).all()
    assert t[0, 0].item() == pytest.approx(near) and t[0, -1].item() == pytest.approx(near + length)
    back = sampling.s_from_t(kind, t, *ends)
    torch.testing.assert_close(back, s, atol=1e-9, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_t_ascends_in_float32(kind: sampling.Kind) -> None:
    near, far = torch.tensor([0.05, 0.5, 2.0]), torch.tensor([1000.0, 0.9, 2.0])
    s = torch.linspace(0, 1, 20_001).expand(3, -1)
    t = sampling.t_from_s(kind, s, near, far)
    assert (t.diff() >= 0).all() and (t >= near[:, None]).all() and (t <= far[:, None]).all()
    assert torch.equal(t[2], torch.full_like(t[2], 2.0))
    assert torch.equal(sampling.s_from_t(kind, t, near, far)[2], torch.zeros(20_001))


def test_half_the_piecewise_samples_lie_within_distance_one() -> None:
    s = torch.linspace(0, 1, 101, dtype=torch.float64)[None]
    t = sampling.t_from_s(
        "contraction", s, torch.tensor([1e-9]).double(), torch.tensor([1e9]).double()
    )
    torch.testing.assert_close(t[0, :51], s[0, :51] * 2, atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(
        (1 / t[0, 50:-1]).diff(), torch.full((49,), -0.02).double(), atol=1e-7, rtol=0
    )


def test_first_edges() -> None:
    like = torch.zeros(1)
    even = sampling.first_edges(2, 4, like, None)
    assert even.tolist() == [[0, 0.25, 0.5, 0.75, 1]] * 2
    one = sampling.first_edges(200, 4, like, 9)
    two = sampling.first_edges(200, 4, like, 9)
    assert torch.equal(one, two)
    assert (one.diff() >= 0).all() and one.min() >= 0 and one.max() <= 1
    assert ((one - even[:1]).abs() <= 0.125 + 1e-6).all()
    torch.testing.assert_close(one[:, 1:4].mean(0), even[0, 1:4], atol=0.02, rtol=0)


@pytest.mark.parametrize("key", [None, 7])
def test_next_edges_are_detached_new_and_follow_the_weights(key: int | None) -> None:
    s = torch.linspace(0, 1, 9).expand(64, 9).contiguous().requires_grad_()
    weights = torch.zeros(64, 8)
    weights[:, 5] = 0.9
    weights.requires_grad_()
    new = sampling.next_edges(s, weights, 40, 1.0, key, 1)
    assert not new.requires_grad
    assert (new.diff() >= 0).all()
    inside = ((new > 5 / 8) & (new < 6 / 8)).float().mean().item()
    assert inside == pytest.approx(0.91 / 0.98, abs=0.02)


def test_anneal_zero_samples_evenly_and_one_by_weight() -> None:
    s = torch.linspace(0, 1, 5)[None]
    weights = torch.tensor([[0.0, 0.9, 0.1, 0.0]])
    even = sampling.next_edges(s, weights, 9, 0.0, None, 1)
    torch.testing.assert_close(even, torch.linspace(0.05, 0.95, 10)[None], atol=1e-6, rtol=0)
    half = sampling.next_edges(s, weights, 999, 0.5, None, 1)[0]
    shares = weights[0].sqrt() + 0.01
    torch.testing.assert_close(
        torch.histogram(half, s[0]).hist / 1000, shares / shares.sum(), atol=2e-3, rtol=0
    )
