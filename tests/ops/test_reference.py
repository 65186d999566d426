"""Oracles for the plain operations: closed forms, slow loops over random sizes, gradcheck."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dac.ops import reference

SIZES = [(1, 1, 1), (2, 3, 1), (3, 1, 4), (4, 7, 5), (2, 12, 9)]


def steps(rays: int, bins: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random ascending edges in [0, 1] and weights that sum to at most 1, float64."""
    edges = torch.rand(rays, bins + 1, generator=generator, dtype=torch.float64).sort(-1).values
    weights = torch.rand(rays, bins, generator=generator, dtype=torch.float64)
    return edges, weights / (weights.sum(-1, keepdim=True) + 0.1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Planes


def bilinear(plane: Tensor, a: float, b: float) -> Tensor:
    """One entry of a plane (H, W, C), the slow way; the border continues outside."""
    height, width, _ = plane.shape
    x = min(max((a + 1) / 2 * (width - 1), 0.0), width - 1.0)
    y = min(max((b + 1) / 2 * (height - 1), 0.0), height - 1.0)
    i, j = min(int(x), width - 2), min(int(y), height - 2)
    u, v = x - i, y - j
    top = (1 - u) * plane[j, i] + u * plane[j, i + 1]
    bottom = (1 - u) * plane[j + 1, i] + u * plane[j + 1, i + 1]
    return (1 - v) * top + v * bottom


def awkward_points(count: int, generator: torch.Generator) -> Tensor:
    """Points inside, on the border, in corners, at entries' centres and outside."""
    inside = torch.rand(count, 3, generator=generator, dtype=torch.float64) * 2.6 - 1.3
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)] * 3)
    return torch.cat([inside, corners, 5 * corners])


@pytest.mark.parametrize("shape", [((2, 2),), ((3, 5), (4, 4)), ((8, 2), (2, 7), (5, 5))])
def test_triplane_equals_a_naive_bilinear_loop(shape: tuple[tuple[int, int], ...]) -> None:
    g = seeded(len(shape))
    planes = [torch.rand(3, h, w, 2, generator=g, dtype=torch.float64) for h, w in shape]
    points = awkward_points(20, g)
    slow = []
    for x, y, z in points.tolist():
        scales = [
            bilinear(p[0], x, y) * bilinear(p[1], x, z) * bilinear(p[2], y, z) for p in planes
        ]
        slow.append(torch.cat(scales))
    torch.testing.assert_close(reference.triplane(planes, points), torch.stack(slow))


def test_triplane_gradients() -> None:
    g = seeded(0)
    planes = [torch.rand(3, n, n, 2, generator=g, dtype=torch.float64) for n in (3, 4)]
    points = (torch.rand(5, 3, generator=g, dtype=torch.float64) * 1.8 - 0.9).requires_grad_()
    planes = [plane.requires_grad_() for plane in planes]
    assert torch.autograd.gradcheck(
        lambda a, b, x: reference.triplane([a, b], x), (*planes, points)
    )


def test_plane_tv_counts_each_plane_and_axis_once() -> None:
    plane = torch.rand(3, 4, 6, 2, generator=seeded(0), dtype=torch.float64)
    total = 0.0
    for one in plane:
        rows = [(one[j + 1, i] - one[j, i]).square() for j in range(3) for i in range(6)]
        columns = [(one[j, i + 1] - one[j, i]).square() for j in range(4) for i in range(5)]
        total += torch.stack(rows).mean().item() + torch.stack(columns).mean().item()
    assert reference.plane_tv(plane).item() == pytest.approx(total, rel=1e-12)
    assert reference.plane_tv(torch.full((3, 5, 5, 2), 0.3)).item() == 0
    assert torch.autograd.gradcheck(reference.plane_tv, plane.requires_grad_())


# Directions and networks


def test_spherical_harmonics_are_orthonormal() -> None:
    # Gauss-Legendre in cos(theta), even steps in phi: exact for products of degree 6.
    height = torch.tensor(
        [-0.9491079123427585, -0.7415311855993945, -0.4058451513773972, 0.0], dtype=torch.float64
    )
    area = torch.tensor(
        [0.1294849661688697, 0.2797053914892766, 0.3818300505051189, 0.4179591836734694],
        dtype=torch.float64,
    )
    z = torch.cat([height, -height[:3]])
    phi = torch.arange(8, dtype=torch.float64) * (math.pi / 4) + 0.1
    radius = (1 - z * z).sqrt()[:, None]
    xyz = [radius * phi.cos(), radius * phi.sin(), z[:, None].expand(7, 8)]
    weight = (torch.cat([area, area[:3]])[:, None] * math.pi / 4).expand(7, 8)
    basis = reference.spherical_harmonics(torch.stack(xyz, -1)).view(-1, 16)
    gram = basis.T @ (basis * weight.reshape(-1, 1))
    torch.testing.assert_close(gram, torch.eye(16, dtype=torch.float64), atol=1e-12, rtol=0)


def test_network_against_loops_and_the_split_first_layer() -> None:
    g = seeded(1)
    x = torch.randn(6, 3, generator=g, dtype=torch.float64)
    ray = torch.randn(2, 2, generator=g, dtype=torch.float64)
    first = torch.randn(4, 5, generator=g, dtype=torch.float64)
    last = torch.randn(2, 4, generator=g, dtype=torch.float64)
    whole = torch.cat([ray.repeat_interleave(3, 0), x], 1)
    slow = torch.stack([last @ (first @ row).clamp_min(0) for row in whole])
    shift = ray @ first[:, :2].T
    torch.testing.assert_close(reference.network(x, [first[:, 2:], last], shift), slow)
    torch.testing.assert_close(reference.network(whole, [first, last]), slow)


def test_truncated_exp() -> None:
    x = torch.tensor([-40.0, -3.0, 0.0, 7.0, 20.0, 1000.0], dtype=torch.float64).requires_grad_()
    y = reference.truncated_exp(x)
    y.sum().backward()
    assert torch.isfinite(y).all()
    torch.testing.assert_close(y[:5], x[:5].exp())
    torch.testing.assert_close(x.grad, x.detach().clamp(-15, 15).exp())
    inside = torch.linspace(-5, 5, 7, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(reference.truncated_exp, inside)


# Volume rendering


def test_constant_slab_has_its_closed_form() -> None:
    edges = torch.rand(4, 30, generator=seeded(0), dtype=torch.float64).sort(-1).values
    edges = torch.cat([torch.zeros(4, 1), edges, torch.ones(4, 1)], -1) * 2
    sigma = torch.full((4, 31), 1.7, dtype=torch.float64)
    alpha, weights = reference.volume_weights(sigma, edges.diff())
    expected = (-1.7 * edges[:, :-1]).exp() - (-1.7 * edges[:, 1:]).exp()
    torch.testing.assert_close(weights, expected, atol=1e-14, rtol=1e-12)
    assert weights.sum(-1).tolist() == pytest.approx([1 - math.exp(-3.4)] * 4)
    torch.testing.assert_close(alpha, 1 - (-1.7 * edges.diff()).exp())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_opaque_wall_hides_what_is_behind(dtype: torch.dtype) -> None:
    sigma = torch.tensor([[0.0, 0.0, 3e38, 5.0, 3e38]], dtype=dtype).requires_grad_()
    delta = torch.tensor([[1.0, 1.0, 0.5, 0.5, 0.0]], dtype=dtype)
    alpha, weights = reference.volume_weights(sigma, delta)
    assert weights.tolist() == [[0, 0, 1, 0, 0]]
    assert alpha[0, 4].item() == 0
    weights.sum().backward()
    assert torch.isfinite(sigma.grad).all()


@pytest.mark.parametrize(("rays", "bins", "_"), SIZES)
def test_weights_equal_the_slow_loop(rays: int, bins: int, _: int) -> None:
    g = seeded(bins)
    sigma = torch.rand(rays, bins, generator=g, dtype=torch.float64) * 5
    delta = torch.rand(rays, bins, generator=g, dtype=torch.float64)
    slow = torch.zeros(rays, bins, dtype=torch.float64)
    for r in range(rays):
        through = 1.0
        for i in range(bins):
            a = 1 - math.exp(-sigma[r, i].item() * delta[r, i].item())
            slow[r, i] = a * through
            through *= 1 - a
    alpha, weights = reference.volume_weights(sigma, delta)
    torch.testing.assert_close(weights, slow)
    torch.testing.assert_close(alpha, reference.alpha_from_sigma(sigma, delta))
    torch.testing.assert_close(reference.weights_from_alpha(alpha), slow)
    torch.testing.assert_close(weights.sum(-1), 1 - (1 - alpha).prod(-1))
    values = torch.rand(rays, bins, 3, generator=g, dtype=torch.float64)
    loop = sum((slow[:, i, None] * values[:, i] for i in range(bins)), torch.zeros(rays, 3))
    torch.testing.assert_close(reference.composite(weights, values), loop.double())


def test_volume_gradients() -> None:
    g = seeded(3)
    sigma = (torch.rand(3, 5, generator=g, dtype=torch.float64) * 3).requires_grad_()
    delta = torch.rand(3, 5, generator=g, dtype=torch.float64).requires_grad_()
    alpha = torch.rand(3, 5, generator=g, dtype=torch.float64).requires_grad_()
    values = torch.rand(3, 5, 2, generator=g, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(reference.volume_weights, (sigma, delta))
    assert torch.autograd.gradcheck(reference.alpha_from_sigma, (sigma, delta))
    assert torch.autograd.gradcheck(reference.weights_from_alpha, alpha)
    assert torch.autograd.gradcheck(reference.composite, (alpha, values))


def test_weights_from_alpha_has_exact_gradients_at_opaque_bins() -> None:
    alpha = torch.tensor([[0.2, 1.0, 0.5, 1.0, 0.3]], dtype=torch.float64).requires_grad_()
    pull = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]], dtype=torch.float64)
    (reference.weights_from_alpha(alpha) * pull).sum().backward()
    # By hand: dL/da_k = T_k (v_k - what the bins behind k render to).
    behind, slow = 0.0, []
    for a, v in zip(reversed(alpha[0].tolist()), reversed(pull[0].tolist()), strict=True):
        slow.append(v - behind)
        behind = a * v + (1 - a) * behind
    through = torch.tensor([1.0, 0.8, 0.0, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(alpha.grad[0], torch.tensor(slow[::-1]).double() * through)


# Histograms


@pytest.mark.parametrize(("rays", "bins", "_"), SIZES)
def test_distortion_equals_the_double_loop(rays: int, bins: int, _: int) -> None:
    s, w = steps(rays, bins, seeded(bins))
    slow = 0.0
    for r in range(rays):
        middle = (s[r, 1:] + s[r, :-1]) / 2
        for i in range(bins):
            slow += (w[r, i] ** 2 * (s[r, i + 1] - s[r, i]) / 3).item()
            for j in range(bins):
                slow += (w[r, i] * w[r, j] * (middle[i] - middle[j]).abs()).item()
    assert reference.distortion_loss(s, w).item() == pytest.approx(slow / rays, rel=1e-10)


@pytest.mark.parametrize(("rays", "bins", "coarse"), SIZES)
def test_histogram_loss_equals_the_slow_loop(rays: int, bins: int, coarse: int) -> None:
    g = seeded(bins)
    s, w = steps(rays, bins, g)
    sc, wc = steps(rays, coarse, g)
    slow = torch.zeros(rays, bins, dtype=torch.float64)
    for r in range(rays):
        for i in range(bins):
            for j in range(coarse):
                if sc[r, j] < s[r, i + 1] and sc[r, j + 1] > s[r, i]:
                    slow[r, i] += wc[r, j]
    torch.testing.assert_close(reference.outer_bound(s, sc, wc), slow, atol=1e-14, rtol=1e-10)
    loss = ((w - slow).clamp_min(0) ** 2 / (w + 1e-7)).mean()
    torch.testing.assert_close(reference.histogram_loss(s, w, sc, wc), loss)


def test_histogram_loss_is_zero_where_the_bound_covers() -> None:
    s, w = steps(8, 16, seeded(0))
    assert reference.histogram_loss(s, w, s, w).item() < 1e-14
    s32, w32 = s.float(), w.float()
    assert reference.histogram_loss(s32, w32, s32, w32).item() < 1e-10
    # Pairs of bins merged hold at least the mass of each.
    assert reference.histogram_loss(s, w, s[:, ::2], w[:, ::2] + w[:, 1::2]).item() < 1e-14
    assert reference.histogram_loss(s, w, s, 0.5 * w).item() > 1e-3


def test_losses_teach_only_the_coarse_histogram() -> None:
    g = seeded(5)
    s, w = steps(3, 6, g)
    sc, wc = steps(3, 4, g)
    for tensor in (s, w, wc):
        tensor.requires_grad_()
    reference.histogram_loss(s, w, sc, wc).backward()
    assert s.grad is None and w.grad is None and wc.grad is not None
    smaller = (0.3 * wc.detach()).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: reference.histogram_loss(s, w, sc, v), smaller, atol=1e-6
    )
    assert torch.autograd.gradcheck(reference.distortion_loss, (s.detach(), w))


def test_empty_bins_are_harmless_in_float32() -> None:
    s = torch.zeros(2, 6)
    s[1] = torch.tensor([0.0, 0.2, 0.2, 0.2, 1.0, 1.0])
    sigma = torch.tensor([[3.4e38] * 5, [0.0, 3.4e38, 1.0, 3.4e38, 3.4e38]]).requires_grad_()
    alpha, weights = reference.volume_weights(sigma, s.diff())
    assert alpha[0].tolist() == [0] * 5 and weights[0].sum().item() == 0
    u = torch.linspace(0, 1, 9).expand(2, 9)
    new = reference.resample(s, weights, u)
    assert torch.isfinite(new).all() and (new.diff() >= 0).all()
    loss = reference.distortion_loss(s, weights) + reference.histogram_loss(
        new, u[:, 1:], s, weights
    )
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(sigma.grad).all()


def inverse_cdf(edges: list[float], weights: list[float], u: float, padding: float) -> float:
    padded = [w + padding for w in weights]
    total, reached = sum(padded), 0.0
    for i, w in enumerate(padded):
        if reached + w / total >= u or i == len(padded) - 1:
            part = min(max((u - reached) / (w / total), 0.0), 1.0)
            return edges[i] + part * (edges[i + 1] - edges[i])
        reached += w / total
    raise AssertionError


@pytest.mark.parametrize(("rays", "bins", "count"), SIZES)
def test_resample_equals_an_inverse_cdf_loop(rays: int, bins: int, count: int) -> None:
    g = seeded(bins)
    s, w = steps(rays, bins, g)
    u = torch.rand(rays, count, generator=g, dtype=torch.float64).sort(-1).values
    u[:, -1] = 1
    slow = [
        [inverse_cdf(s[r].tolist(), w[r].tolist(), v, 0.01) for v in u[r].tolist()]
        for r in range(rays)
    ]
    torch.testing.assert_close(reference.resample(s, w, u), torch.tensor(slow).double())


def test_resample_follows_the_histogram() -> None:
    s = torch.tensor([[0.0, 0.1, 0.4, 0.7, 1.0]])
    w = torch.tensor([[0.1, 0.0, 0.6, 0.3]])
    u = ((torch.arange(100_000) + 0.5) / 100_000)[None]
    samples = reference.resample(s, w, u)[0]
    share = torch.histogram(samples, s[0]).hist / 100_000
    torch.testing.assert_close(share, (w[0] + 0.01) / 1.04, atol=2e-5, rtol=0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 60))
def test_resampled_edges_ascend_within_the_old_ones(seed: int, bins: int, count: int) -> None:
    g = seeded(seed)
    s, w = (x.float() for x in steps(4, bins, g))
    w = (
        w
        * (torch.rand(w.shape, generator=g) < 0.3)
        * 10 ** torch.randint(-8, 1, w.shape, generator=g)
    )
    u = torch.rand(4, count, generator=g).sort(-1).values
    new = reference.resample(s, w, u)
    assert (new.diff() >= 0).all()
    assert (new >= s[:, :1]).all() and (new <= s[:, -1:]).all()
