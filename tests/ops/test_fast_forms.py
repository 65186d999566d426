"""The reference backend's fast forms equal their twins in `reference`, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from dac import ops
from dac.ops import backend, reference

SHAPES = [((2, 2, 1),), ((3, 5, 2), (4, 4, 2)), ((8, 2, 3), (2, 7, 3), (16, 16, 3))]


@pytest.fixture(autouse=True)
def _plain_torch() -> Iterator[None]:
    with backend.using("reference"):
        yield


def gradients(result: Tensor, inputs: list[Tensor], seed: int = 0) -> tuple[Tensor, ...]:
    pull = torch.randn(result.shape, generator=torch.Generator().manual_seed(seed))
    return torch.autograd.grad(result, inputs, pull.to(result))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("columns", [False, True])
def test_triplane(
    shape: tuple[tuple[int, int, int], ...], dtype: torch.dtype, columns: bool
) -> None:
    g = torch.Generator().manual_seed(0)
    planes = [torch.rand(3, *s, generator=g, dtype=dtype).requires_grad_() for s in shape]
    points = torch.rand(200, 3, generator=g, dtype=dtype) * 2.6 - 1.3
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0], dtype=dtype)] * 3)
    points = torch.cat([points, corners, 4 * corners])
    if columns:
        points = points.T.contiguous().T
    fast, plain = ops.triplane(planes, points), reference.triplane(planes, points)
    torch.testing.assert_close(fast, plain, atol=2e-6, rtol=1e-5)
    pairs = zip(gradients(fast, planes), gradients(plain, planes), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)


def test_triplane_gradcheck_and_no_points() -> None:
    g = torch.Generator().manual_seed(0)
    plane = torch.rand(3, 3, 4, 2, generator=g, dtype=torch.float64).requires_grad_()
    points = torch.rand(6, 3, generator=g, dtype=torch.float64) * 2.2 - 1.1
    assert torch.autograd.gradcheck(lambda p: ops.triplane([p], points), plane)
    nothing = ops.triplane([plane], points[:0])
    assert nothing.shape == (0, 2)
    (grad,) = torch.autograd.grad(nothing.sum(), plane)
    assert grad.abs().sum() == 0


def test_a_point_that_is_not_a_number_finds_none() -> None:
    plane, points = torch.rand(3, 4, 5, 2), torch.rand(6, 3)
    points[2, 1] = torch.nan
    features = ops.triplane([plane], points)
    assert features[2].isnan().all() and features[[0, 1, 3, 4, 5]].isfinite().all()


def test_triplane_reads_a_transposed_plane() -> None:
    plane = torch.rand(3, 4, 4, 2).permute(0, 2, 1, 3)
    points = torch.rand(10, 3)
    torch.testing.assert_close(
        ops.triplane([plane], points), reference.triplane([plane], points), atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("shape", [(2, 2, 1), (3, 5, 2), (16, 16, 4)])
def test_plane_tv(shape: tuple[int, int, int]) -> None:
    g = torch.Generator().manual_seed(0)
    planes = torch.rand(3, *shape, generator=g, dtype=torch.float64).requires_grad_()
    fast, plain = ops.plane_tv(planes), reference.plane_tv(planes)
    torch.testing.assert_close(fast, plain)
    torch.testing.assert_close(gradients(fast, [planes]), gradients(plain, [planes]))


WIDTHS = [(3, 2), (8, 64, 1), (5, 7, 6, 3), (31, 16, 16, 3)]


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("rays", [None, 5])
@pytest.mark.parametrize("rows", [35, 5000])
def test_network(widths: tuple[int, ...], rays: int | None, rows: int) -> None:
    g = torch.Generator().manual_seed(0)

    def random(*size: int) -> Tensor:
        return torch.randn(*size, generator=g, dtype=torch.float64).requires_grad_()

    x = random(rows, widths[0])
    weights = [random(b, a) for a, b in pairwise(widths)]
    shift = None if rays is None else random(rays, widths[1])
    inputs = [x, *weights] + ([] if shift is None else [shift])
    fast, plain = ops.network(x, weights, shift), reference.network(x, weights, shift)
    torch.testing.assert_close(fast, plain)
    torch.testing.assert_close(gradients(fast, inputs), gradients(plain, inputs))


def test_network_gradcheck_slices_and_no_rows() -> None:
    g = torch.Generator().manual_seed(1)
    wide = torch.randn(6, 9, generator=g, dtype=torch.float64).requires_grad_()
    weights = [torch.randn(b, a, generator=g, dtype=torch.float64) for a, b in ((4, 5), (5, 2))]
    shift = torch.randn(3, 5, generator=g, dtype=torch.float64).requires_grad_()
    for weight in weights:
        weight.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, s, a, b: ops.network(x[:, 3:7], [a, b], s), (wide, shift, *weights)
    )
    empty = ops.network(wide[:0, 3:7], weights, shift[:0])
    assert empty.shape == (0, 2)
    empty.sum().backward()
