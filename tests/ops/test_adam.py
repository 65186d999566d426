"""Adam, total variation and the gradient's norm in one pass, against plain torch in float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from dac import ops
from dac.ops import memory
from dac.ops import rays as kernels
from dac.ops.backend import library

SHAPES = [(3, 5, 7, 4), (13, 9), (3, 2, 2, 1), (1, 33), (3, 9, 3, 16), (64, 64)]
TV = [0.7, 0.0, 0.3, 0.0, 0.0, 0.0]
RATES = torch.tensor([[0.01 * (i + 1), 1.3] for i in range(len(SHAPES))])
BETAS, EPS = (0.9, 0.999), 1e-15
ACTIVE = {"all": [True] * 6, "some": [True, False, False, True, True, True]}


@pytest.fixture(autouse=True)
def native() -> None:
    library()


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


class State(NamedTuple):
    """Parameters, moments, and a gradient (copies, length)."""

    x: list[Tensor]
    m: list[Tensor]
    v: list[Tensor]
    gradients: Tensor

    def copy(self) -> State:
        return State(*([y.clone() for y in group] for group in self[:3]), self.gradients.clone())

    def step(self, active: list[bool]) -> tuple[Tensor, Tensor]:
        return kernels.adam_step(
            self.x, self.m, self.v, self.gradients, TV, active, RATES, BETAS, EPS
        )

    def slopes(self) -> list[Tensor]:
        """The whole gradient in float64, total variation included."""
        found = []
        parts = memory.views(self.gradients.double().sum(dim=0), self.x)
        for x, part, weight in zip(self.x, parts, TV, strict=True):
            leaf = x.double().requires_grad_()
            slope = part.clone()
            if weight:
                slope += weight * torch.autograd.grad(ops.reference.plane_tv(leaf), leaf)[0]
            found.append(slope)
        return found


def state(threads: int, seed: int = 0) -> State:
    g = torch.Generator().manual_seed(seed)
    x = [torch.randn(shape, generator=g) for shape in SHAPES]
    m = [0.1 * torch.randn(shape, generator=g) for shape in SHAPES]
    v = [torch.rand(shape, generator=g) for shape in SHAPES]
    gradients = torch.zeros(threads, memory.length(x))
    for copy in gradients:
        for part in memory.views(copy, x):
            part.copy_(torch.randn(part.shape, generator=g))
    return State(x, m, v, gradients)


@pytest.mark.parametrize("which", ACTIVE)
def test_it_is_adam(threads: int, which: str) -> None:
    active, it = ACTIVE[which], state(threads)
    was, slopes = it.copy(), it.slopes()
    variations, norm = it.step(active)
    moved = torch.cat([s.flatten() for s, moves in zip(slopes, active, strict=True) if moves])
    assert norm.shape == () and norm.item() == pytest.approx(moved.norm().item(), rel=1e-6)
    for i, slope in enumerate(slopes):
        if not active[i]:
            assert all(
                torch.equal(new[i], old[i]) for new, old in zip(it[:3], was[:3], strict=True)
            )
            assert variations[i] == 0
            continue
        m = BETAS[0] * was.m[i].double() + (1 - BETAS[0]) * slope
        v = BETAS[1] * was.v[i].double() + (1 - BETAS[1]) * slope**2
        x = was.x[i].double() - RATES[i, 0] * m / (v.sqrt() * RATES[i, 1] + EPS)
        for got, expected in ((it.x[i], x), (it.m[i], m), (it.v[i], v)):
            # Where the gradients' copies cancel, their rounding is all there is.
            torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=5e-6)
        variation = ops.reference.plane_tv(was.x[i].double()) if x.dim() == 4 else 0.0
        assert variations[i].item() == pytest.approx(float(variation), rel=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e21])
@pytest.mark.parametrize("share", [0.0, 0.1])
def test_what_has_no_finite_gradient_stays(threads: int, bad: float, share: float) -> None:
    """1e21 is finite, but not its square. A share of 0 is one number somewhere."""
    clean = state(threads)
    was, it = clean.copy(), clean.copy()
    g = torch.Generator().manual_seed(threads)
    hit = [torch.rand(shape, generator=g) < share for shape in SHAPES]
    hit[threads].view(-1)[int(torch.randint(hit[threads].numel(), (), generator=g))] = True
    for part, where in zip(memory.views(it.gradients[threads - 1], it.x), hit, strict=True):
        part[where] = bad
    clean.step(ACTIVE["all"])
    _, norm = it.step(ACTIVE["all"])
    assert not norm.isfinite()
    assert not it.gradients.any()
    for got, expected, old in zip(it[:3], clean[:3], was[:3], strict=True):
        for a, b, c, where in zip(got, expected, old, hit, strict=True):
            assert torch.equal(a, torch.where(where, c, b))


def test_a_number_of_threads_gives_the_same_bits(threads: int) -> None:
    one, two = state(threads), state(threads)
    assert torch.equal(one.step(ACTIVE["all"])[1], two.step(ACTIVE["all"])[1])


def test_a_resting_parameters_gradient_is_not_looked_at(threads: int) -> None:
    it = state(threads)
    memory.views(it.gradients[0], it.x)[2].fill_(float("nan"))
    _, norm = it.step(ACTIVE["some"])
    assert norm.isfinite()


def test_the_norm_is_accurate() -> None:
    """Of many numbers of one size, where a single running sum of float32 would stall."""
    x = [torch.zeros(3, 512, 128, 32)]
    gradients = torch.full((torch.get_num_threads(), memory.length(x)), 0.0)
    gradients[0] = 0.1
    zeros = [[torch.zeros_like(y) for y in x] for _ in range(2)]
    _, norm = kernels.adam_step(x, *zeros, gradients, [0.0], [True], RATES[:1], BETAS, EPS)
    expected = 0.1 * x[0].numel() ** 0.5
    assert norm.item() == pytest.approx(expected, rel=2e-6)
