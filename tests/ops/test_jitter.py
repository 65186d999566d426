"""Jitter: its bits by an oracle in Python's integers, and that they look random."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dac import ops

KEY = 0x5A17_90C3_1F2E_4D68
"""Of all statistics below, so that they are constants and never fail by chance."""


def scramble(x: int) -> int:
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ x >> 16


def oracle(key: int, level: int, ray: int, index: int) -> float:
    row = scramble(ray ^ scramble((level + key) % 2**32)) + (key >> 32)
    return (scramble((row + index * 0x9E3779B9) % 2**32) >> 8) / 2**24


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(0, 5), st.integers(0, 7), st.integers(0, 7))
def test_bits_are_the_oracles(key: int, level: int, rays: int, count: int) -> None:
    expected = [[oracle(key, level, ray, i) for i in range(count)] for ray in range(rays)]
    values = ops.jitter(key, level, rays, count)
    assert values.dtype == torch.float32 and values.shape == (rays, count)
    assert values.tolist() == expected


@pytest.mark.parametrize("key", [0, 2**31, 2**32 - 1, 2**32, 2**63 - 1, KEY])
def test_bits_are_the_oracles_far_out(key: int) -> None:
    values = ops.jitter(key, 2, 5000, 600)
    for ray, index in [(0, 0), (4999, 599), (4096, 1), (1, 512), (2500, 300)]:
        assert values[ray, index].item() == oracle(key, 2, ray, index)
    assert values.min() >= 0 and values.max() < 1


def test_it_is_uniform() -> None:
    values = ops.jitter(KEY, 0, 1000, 1000).double()
    assert abs(values.mean().item() - 1 / 2) < 4 * (1 / 12 / 1e6) ** 0.5
    assert abs(values.var().item() - 1 / 12) < 4 * (1 / 180 / 1e6) ** 0.5
    hits = torch.histc(values, 256, 0, 1)
    # Chi-squared with 255 degrees of freedom: its 0.01 and 99.99 percentiles.
    assert 178 < ((hits - 1e6 / 256) ** 2 / (1e6 / 256)).sum().item() < 346
    lowest = (values * 2**24).long() & 255
    hits = torch.bincount(lowest.flatten(), minlength=256)
    assert 178 < ((hits - 1e6 / 256) ** 2 / (1e6 / 256)).sum().item() < 346


def test_each_ray_and_each_index_is_uniform() -> None:
    values = ops.jitter(KEY, 1, 400, 400).double()
    for axis in (0, 1):
        means = (values.mean(dim=axis) - 1 / 2) / (1 / 12 / 400) ** 0.5
        assert means.abs().max() < 4 and means.var().item() == pytest.approx(1, abs=0.3)


def test_neighbours_are_independent() -> None:
    """Of every pair of streams that differ in one argument, the correlation is as by chance."""
    here = ops.jitter(KEY, 0, 500, 500)
    others = {
        "level": ops.jitter(KEY, 1, 500, 500),
        "level 2": ops.jitter(KEY, 2, 500, 500),
        "key": ops.jitter(KEY + 1, 0, 500, 500),
        "key's upper half": ops.jitter(KEY + 2**32, 0, 500, 500),
        "ray": here.roll(1, 0),
        "index": here.roll(1, 1),
        "ray and index": here.roll((1, 1), (0, 1)),
        "itself turned": here.T,
    }
    for name, other in others.items():
        pair = torch.stack([here.flatten(), other.flatten()]).double()
        assert abs(torch.corrcoef(pair)[0, 1].item()) < 4 / 500, name
        joint = (pair * 16).long()
        hits = torch.bincount(joint[0] * 16 + joint[1], minlength=256)
        expected = 500 * 500 / 256
        assert ((hits - expected) ** 2 / expected).sum().item() < 346, name
        assert (here == other).float().mean().item() < 1e-4 or name == "itself turned", name
