"""The native operations equal their plain twins, forward and backward, whatever they are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from dac import ops
from dac.errors import UserError
from dac.ops import backend, build, densities, distillation, reference

pytestmark = pytest.mark.skipif(
    build.find_compiler()[0] is None and build.find_built() is None, reason="no C++ compiler"
)

Function = Callable[..., Any]


@pytest.fixture(autouse=True)
def _native() -> Any:
    with backend.using("native"):
        yield


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(g: torch.Generator, *size: int) -> Tensor:
    return torch.randn(*size, generator=g).requires_grad_()


def uniform(g: torch.Generator, *size: int) -> Tensor:
    return torch.rand(*size, generator=g)


def tensors(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else list(result)


def slopes(result: Any, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Gradients of a random sum over the results."""
    g = seeded(7)
    results = tensors(result)
    pulls = [torch.randn(x.shape, generator=g).to(x) for x in results]
    return torch.autograd.grad(results, inputs, pulls)


def wide(x: Any) -> Any:
    """The same in float64, cut from the graph."""
    if isinstance(x, Tensor):
        return x.detach().double().requires_grad_(x.requires_grad)
    return [wide(y) for y in x] if isinstance(x, list) else x


def flat(args: Sequence[Any]) -> list[Tensor]:
    found = [y for x in args for y in (x if isinstance(x, list) else [x])]
    return [x for x in found if isinstance(x, Tensor) and x.requires_grad]


def close(a: Tensor, b: Tensor, what: str, tolerance: float) -> None:
    """Within a share of the largest number, or of a tenth where all are small."""
    assert a.shape == b.shape, what
    assert torch.isfinite(a).all(), what
    scale = b.abs().max().item() if b.numel() else 0.0
    error = (a.double() - b.double()).abs().max().item() if b.numel() else 0.0
    assert error <= tolerance * max(scale, 0.1), f"{what}: {error} of {scale}"


def compare(native: Function, twin: Function, *args: Any, tolerance: float = 3e-6) -> None:
    """The native operation in float32 against its twin in float64."""
    exact = wide(list(args))
    found, expected = native(*args), twin(*exact)
    for i, (a, b) in enumerate(zip(tensors(found), tensors(expected), strict=True)):
        close(a, b, f"result {i}", tolerance)
    inputs, twins = flat(args), flat(exact)
    if inputs:
        pairs = zip(slopes(found, inputs), slopes(expected, twins), strict=True)
        for i, (a, b) in enumerate(pairs):
            close(a, b, f"gradient {i}", 3 * tolerance)


def steps(g: torch.Generator, rays: int, bins: int) -> tuple[Tensor, Tensor]:
    """Ascending edges in [0, 1], and weights that sum to at most 1."""
    edges = uniform(g, rays, bins + 1).sort(-1).values
    weights = uniform(g, rays, bins)
    return edges, weights / (weights.sum(-1, keepdim=True) + 0.1)


def some_points(g: torch.Generator, count: int) -> Tensor:
    """Inside, outside, on the border, in corners; many in one cell, as along a ray."""
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0])] * 3)
    along = torch.linspace(-1.2, 1.2, max(count, 1))[:count, None] * torch.tensor([0.5, 1.0, -0.3])
    inside = uniform(g, count, 3) * 2.6 - 1.3
    return torch.cat([inside, along, corners, 5 * corners]) if count else inside


# A point on a cell's border may fall on either side of it in float32, which changes no value and
# moves a gradient between the same entries by a rounding error.
SHAPES = [(2, 2), (9, 9), (3, 17)]


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 8, 16, 24, 32, 48])
@pytest.mark.parametrize("count", [0, 1, 17, 1000])
def test_triplane(channels: int, count: int) -> None:
    g = seeded(channels)
    planes = [uniform(g, 3, *shape, channels).requires_grad_() for shape in SHAPES]
    compare(ops.triplane, reference.triplane, planes, some_points(g, count), tolerance=2e-5)


@pytest.mark.parametrize("shape", [(2, 2, 1), (3, 5, 2), (33, 17, 3), (16, 16, 32), (64, 64, 8)])
def test_plane_tv(shape: tuple[int, int, int]) -> None:
    plane = uniform(seeded(), 3, *shape).requires_grad_()
    compare(ops.plane_tv, reference.plane_tv, plane)


@pytest.mark.parametrize("widths", [(3, 2), (8, 64, 1), (5, 7, 6, 3), (31, 16, 16, 3), (48, 70, 9)])
@pytest.mark.parametrize("rays", [None, 1, 5])
@pytest.mark.parametrize("rows", [0, 5, 35, 1000, 5000])
def test_network(widths: tuple[int, ...], rays: int | None, rows: int) -> None:
    g = seeded(rows)
    x = normal(g, rows, widths[0])
    weights = [normal(g, b, a) for a, b in pairwise(widths)]
    shift = None if rays is None else normal(g, rays if rows else 0, widths[1])
    # A ReLU near zero may open in one precision only: allow for such a row.
    compare(ops.network, reference.network, x, weights, shift, tolerance=2e-5)


def test_network_without_gradient_to_its_input() -> None:
    g = seeded()
    x, weights = normal(g, 300, 8), [normal(g, 16, 8), normal(g, 2, 16)]
    whole = slopes(ops.network(x, weights), [x, *weights])
    part = slopes(ops.network(x.detach(), weights), weights)
    assert all(torch.equal(a, b) for a, b in zip(whole[1:], part, strict=True))


@pytest.mark.parametrize("count", [0, 1, 1000])
@pytest.mark.parametrize("channels", [3, 8])
@pytest.mark.parametrize("hidden", [(), (16,)])
def test_density(count: int, channels: int, hidden: tuple[int, ...]) -> None:
    g = seeded(count)
    planes = [uniform(g, 3, *shape, channels).requires_grad_() for shape in SHAPES[1:]]
    weights = [normal(g, b, a) for a, b in pairwise((2 * channels, *hidden, 1))]
    points = some_points(g, count)
    compare(ops.density, densities.density, planes, weights, points, tolerance=5e-5)


def test_density_is_finite_where_its_logit_is_not_small() -> None:
    planes = [torch.full((3, 4, 4, 8), 3.0).requires_grad_()]
    weights = [torch.full((16, 8), 1.0).requires_grad_(), torch.ones(1, 16).requires_grad_()]
    sigma = ops.density(planes, weights, torch.zeros(5, 3))
    assert (sigma == torch.finfo(torch.float32).max).all()
    assert all(torch.isfinite(x).all() for x in slopes(sigma, [*planes, *weights]))


BINS = [1, 2, 15, 48, 129]
RAYS = [0, 1, 17, 100]


@pytest.mark.parametrize("bins", BINS)
@pytest.mark.parametrize("rays", RAYS)
def test_volume_weights(rays: int, bins: int) -> None:
    g = seeded(bins)
    sigma = (uniform(g, rays, bins) * 40 * (uniform(g, rays, bins) < 0.7)).requires_grad_()
    delta = (uniform(g, rays, bins) * (uniform(g, rays, bins) < 0.8) / bins).requires_grad_()
    compare(ops.volume_weights, reference.volume_weights, sigma, delta)
    compare(ops.volume_weights, reference.volume_weights, sigma, delta.detach())


def test_empty_rays_and_walls() -> None:
    big = torch.finfo(torch.float32).max
    sigma = torch.tensor([[0.0, 0.0, big, 5.0, big], [big] * 5, [1e-9] * 5]).requires_grad_()
    delta = torch.tensor([[1.0, 1.0, 0.5, 0.5, 0.0], [0.0] * 5, [1e-3] * 5])
    alpha, weights = ops.volume_weights(sigma, delta)
    assert weights[0].tolist() == [0, 0, 1, 0, 0]
    assert alpha[1].tolist() == weights[1].tolist() == [0] * 5
    torch.testing.assert_close(alpha[2], torch.full((5,), 1e-12), rtol=1e-5, atol=0)
    (slope,) = slopes((alpha, weights), [sigma])
    assert torch.isfinite(slope).all()
    nothing = ops.composite(weights, torch.rand(3, 5, 3))[1]
    assert nothing.tolist() == [0, 0, 0]


@pytest.mark.parametrize("bins", BINS)
@pytest.mark.parametrize("rays", RAYS)
@pytest.mark.parametrize("width", [1, 3])
def test_composite(rays: int, bins: int, width: int) -> None:
    g = seeded(bins)
    compare(ops.composite, reference.composite, normal(g, rays, bins), normal(g, rays, bins, width))


@pytest.mark.parametrize("bins", BINS)
@pytest.mark.parametrize("rays", RAYS)
def test_histograms(rays: int, bins: int) -> None:
    g = seeded(bins)
    s, w = steps(g, rays, bins)
    s_coarse, w_coarse = steps(g, rays, bins // 2 + 1)
    s = torch.where(uniform(g, *s.shape) < 0.2, s_coarse[:, :1], s).sort(-1).values
    w_coarse = (w_coarse * 0.5).requires_grad_()
    compare(ops.outer_bound, reference.outer_bound, s, s_coarse, w_coarse)
    if rays == 0:  # a mean of nothing
        assert ops.histogram_loss(s, w, s_coarse, w_coarse).isnan()
        assert ops.distortion_loss(s, w).isnan()
        return
    compare(ops.histogram_loss, reference.histogram_loss, s, w, s_coarse, w_coarse)
    compare(ops.distortion_loss, reference.distortion_loss, s, w.requires_grad_())


@pytest.mark.parametrize("bins", BINS)
@pytest.mark.parametrize("count", [1, 7, 65])
def test_resample(bins: int, count: int) -> None:
    g = seeded(bins)
    s, w = steps(g, 50, bins)
    w = w * (uniform(g, 50, bins) < 0.3)
    u = uniform(g, 50, count).sort(-1).values
    new = ops.resample(s, w, u)
    torch.testing.assert_close(new, reference.resample(s, w, u), atol=2e-5, rtol=0)
    assert (new.diff() >= 0).all() and (new >= s[:, :1]).all() and (new <= s[:, -1:]).all()
    assert not ops.resample(s, w.requires_grad_(), u).requires_grad


@pytest.mark.parametrize("rays", [1, 17, 3000])
@pytest.mark.parametrize("bins", [1, 48])
def test_losses_of_distillation(rays: int, bins: int) -> None:
    g = seeded(rays)
    student, expert = normal(g, rays, bins), uniform(g, rays, bins)
    compare(ops.alpha_loss, distillation.alpha_loss, student, expert)
    student, expert = normal(g, rays, bins, 3), uniform(g, rays, bins, 3)
    compare(ops.colour_loss, distillation.colour_loss, student, expert)
    compare(ops.colour_loss, distillation.colour_loss, student, expert, uniform(g, rays, bins))


# What every operation promises


def turned(x: Tensor) -> Tensor:
    """The same values, their memory in another order."""
    return x.detach().transpose(0, -1).contiguous().transpose(0, -1).requires_grad_(x.requires_grad)


def cases() -> dict[str, tuple[Function, list[Any]]]:
    """Every operation as torch knows it, with inputs."""
    g = seeded(3)
    native = torch.ops.dac
    planes = [uniform(g, 3, n, n, 8).requires_grad_() for n in (5, 8)]
    points = uniform(g, 700, 3) * 2.2 - 1.1
    weights = [normal(g, 16, 16), normal(g, 1, 16)]
    sigma, delta = (uniform(g, 20, 30).requires_grad_() for _ in range(2))
    s, w = steps(g, 20, 30)
    s_coarse, w_coarse = steps(g, 20, 12)
    w_coarse = (w_coarse * 0.5).requires_grad_()
    learned = w.clone().requires_grad_()
    colours, truth = normal(g, 20, 30, 3), uniform(g, 20, 30, 3)
    return {
        "triplane": (native.triplane.default, [planes, points]),
        "plane_tv": (native.plane_tv.default, [planes[0]]),
        "network": (native.network.default, [normal(g, 700, 16), weights, normal(g, 7, 16)]),
        "network without shift": (native.network.default, [normal(g, 700, 16), weights, None]),
        "density": (native.density.default, [planes, weights, points]),
        "volume_weights": (native.volume_weights.default, [sigma, delta]),
        "composite": (native.composite.default, [sigma, colours]),
        "resample": (native.resample.default, [s, w, uniform(g, 20, 9).sort(-1).values, 0.01]),
        "distortion_loss": (native.distortion_loss.default, [s, learned]),
        "outer_bound": (native.outer_bound.default, [s, s_coarse, w_coarse]),
        "histogram_loss": (native.histogram_loss.default, [s, w, s_coarse, w_coarse, 1e-7]),
        "alpha_loss": (native.alpha_loss.default, [sigma, w]),
        "colour_loss": (native.colour_loss.default, [colours, truth, None]),
        "colour_loss with weights": (native.colour_loss.default, [colours, truth, w]),
    }


NAMES = [
    *("triplane", "plane_tv", "network", "network without shift", "density", "volume_weights"),
    *("composite", "resample", "distortion_loss", "outer_bound", "histogram_loss", "alpha_loss"),
    *("colour_loss", "colour_loss with weights"),
]


def run(name: str, change: Callable[[Tensor], Tensor] = lambda x: x) -> list[Tensor]:
    """Results and gradients of an operation."""
    function, args = cases()[name]
    changed = [
        [change(y) for y in x] if isinstance(x, list) else change(x) if isinstance(x, Tensor) else x
        for x in args
    ]
    result = function(*changed)
    inputs = flat(changed)
    return [*tensors(result), *(slopes(result, inputs) if inputs else ())]


def test_all_operations_are_here() -> None:
    assert set(NAMES) == set(cases())


@pytest.mark.parametrize("name", NAMES)
def test_opcheck(name: str) -> None:
    function, args = cases()[name]
    torch.library.opcheck(function, tuple(args))


@pytest.mark.parametrize("name", NAMES)
def test_memory_in_another_order_changes_nothing(name: str) -> None:
    pairs = zip(run(name), run(name, turned), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", NAMES)
def test_same_bits_again_and_with_any_number_of_threads(name: str) -> None:
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 1, 2, 3):
            torch.set_num_threads(threads)
            found.append(run(name))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_bfloat16_is_computed_in_float32() -> None:
    g = seeded()
    plane = uniform(g, 3, 8, 8, 16).bfloat16().requires_grad_()
    points = uniform(g, 300, 3) * 2 - 1
    narrow = ops.triplane([plane], points)
    exact = ops.triplane([plane.float()], points)
    assert narrow.dtype == torch.bfloat16
    assert torch.equal(narrow, exact.bfloat16())
    pull = torch.ones_like(exact)
    (a,) = torch.autograd.grad(narrow, plane, pull.bfloat16())
    (b,) = torch.autograd.grad(exact, plane, pull)
    assert a.dtype == torch.bfloat16 and torch.equal(a, b)
    weights = [normal(g, 4, 16).bfloat16(), normal(g, 2, 4).bfloat16()]
    x = narrow.detach()
    expected = ops.network(x.float(), [w.float() for w in weights]).bfloat16()
    assert torch.equal(ops.network(x, weights), expected)


def test_other_dtypes_are_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="DAC_BACKEND=reference"):
        ops.plane_tv(torch.zeros(3, 4, 4, 2, dtype=torch.float64))


def test_shapes_that_do_not_fit_are_refused() -> None:
    a, b, edges = torch.rand(4, 5), torch.rand(4, 6), torch.rand(4, 6)
    plane, points = torch.rand(3, 4, 4, 2), torch.rand(7, 3)
    wrong: list[tuple[Function, tuple[Any, ...]]] = [
        (ops.triplane, ([plane], points[:, :2])),
        (ops.triplane, ([plane[:, :1]], points)),
        (ops.plane_tv, (plane[0],)),
        (ops.network, (a, [torch.rand(3, 4)])),
        (ops.network, (a, [torch.rand(3, 5)], torch.rand(3, 3))),
        (ops.density, ([plane], [torch.rand(1, 3)], points)),
        (ops.volume_weights, (a, b)),
        (ops.composite, (b, torch.rand(4, 5, 3))),
        (ops.resample, (edges, b, a)),
        (ops.resample, (edges, a, a[:2])),
        (ops.distortion_loss, (edges, b)),
        (ops.histogram_loss, (edges, a, edges[:2], a[:2])),
        (ops.outer_bound, (edges, edges, b)),
        (ops.alpha_loss, (a, b)),
        (ops.colour_loss, (torch.rand(4, 5, 3), torch.rand(4, 5, 3), b)),
    ]
    for function, args in wrong:
        with pytest.raises(RuntimeError):
            function(*args)


def test_nan_survives() -> None:
    delta = torch.full((1, 20), 0.1)
    sigma = torch.ones(1, 20)
    sigma[0, 18] = float("nan")
    alpha, weights = ops.volume_weights(sigma, delta)
    assert alpha[0].isnan().tolist() == [i == 18 for i in range(20)]
    assert weights[0, 18:].isnan().all()
    rows = ops.network(torch.full((1, 2), float("nan")), [torch.ones(3, 2)])
    assert rows.isnan().all()


def test_compiled_into_one_graph() -> None:
    args = cases()["volume_weights"][1]

    def loss(sigma: Tensor, delta: Tensor) -> Tensor:
        alpha, weights = torch.ops.dac.volume_weights(sigma, delta)
        return (alpha.square() + weights).sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    expected = torch.autograd.grad(loss(*args), args)
    torch.testing.assert_close(torch.autograd.grad(compiled(*args), args), expected)
