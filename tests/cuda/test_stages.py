"""The stages that CPU and CUDA kernels share, and the CPU's along a ray, against plain torch.

The headers are compiled for the host, each function called through ctypes in float32 and compared
with the twin in float64.
"""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dac.fields import sampling, space
from dac.ops import reference
from dac.scenes.scene import Space

ROOT = Path(__file__).parents[2]
COMPILER = shutil.which("c++") or shutil.which("g++")
KINDS = ("box", "contraction")

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")

Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    assert COMPILER is not None
    out = tmp_path_factory.mktemp("stages") / "stages.so"
    flags = ["-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    include = [f"-I{ROOT / path}" for path in ("dac/csrc", "dac/csrc/common")]
    source = ROOT / "tests/csrc/stages_test.cpp"
    subprocess.run([COMPILER, *flags, *include, str(source), "-o", str(out)], check=True)
    loaded = ctypes.CDLL(str(out))
    for function in (loaded.distortion, loaded.histogram, loaded.adam_step):
        function.restype = ctypes.c_float
    return loaded


def at(array: NDArray[Any] | None) -> Any:
    return None if array is None else array.ctypes.data_as(ctypes.c_void_p)


def floats(*values: float) -> list[ctypes.c_float]:
    return [ctypes.c_float(value) for value in values]


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def edges(random: np.random.Generator, count: int) -> Array:
    return np.sort(random.random(count + 1)).astype(np.float32)


def exact(values: Array) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float64))


def scramble(x: int) -> int:
    x ^= x >> 16
    x = x * 0x7FEB352D & 0xFFFFFFFF
    x ^= x >> 15
    x = x * 0x846CA68B & 0xFFFFFFFF
    return x ^ x >> 16


@pytest.mark.parametrize("key", [0, 7, 2**31, 2**32 - 1, 2**32 + 5, 2**63 - 1])
def test_jitter_is_its_formula(lib: ctypes.CDLL, key: int) -> None:
    rays, count = 5, 9
    for level in range(3):
        out = np.empty((rays, count), np.float32)
        lib.jitters(ctypes.c_uint64(key), level, rays, count, at(out))
        low, high = key & 0xFFFFFFFF, key >> 32
        for ray in range(rays):
            row = scramble(ray ^ scramble(level + low & 0xFFFFFFFF)) + high & 0xFFFFFFFF
            for index in range(count):
                x = scramble(row + index * 0x9E3779B9 & 0xFFFFFFFF)
                assert out[ray, index] == (x >> 8) * 2.0**-24
        if hasattr(reference, "jitter"):
            twin = reference.jitter(torch.tensor([key]), level, rays, count)
            np.testing.assert_array_equal(twin.numpy(), out)


def test_jitter_is_uniform(lib: ctypes.CDLL) -> None:
    out = np.empty((512, 257), np.float32)
    lib.jitters(ctypes.c_uint64(3), 1, 512, 257, at(out))
    assert out.min() >= 0 and out.max() < 1
    assert abs(out.mean() - 0.5) < 0.003 and abs(out.var() - 1 / 12) < 0.002
    # Neither along a ray nor across rays is one number the neighbour of another.
    for a, b in ((out[:, 1:], out[:, :-1]), (out[1:], out[:-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.01


@pytest.mark.parametrize("samples", [1, 3, 64])
def test_first_edges(lib: ctypes.CDLL, samples: int) -> None:
    even = np.full(samples + 1, 0.5, np.float32)
    out = np.empty(samples + 1, np.float32)
    lib.first_edges(samples, at(even), at(out))
    twin = sampling.first_edges(1, samples, torch.zeros(1, dtype=torch.float64), None)
    np.testing.assert_allclose(out, twin[0], atol=1e-7)
    u = rng(samples).random(samples + 1).astype(np.float32)
    lib.first_edges(samples, at(u), at(out))
    np.testing.assert_allclose(out, (twin[0] + (exact(u) - 0.5) / samples).clamp(0, 1), atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_distances(lib: ctypes.CDLL, kind: sampling.Kind) -> None:
    random = rng(1)
    n = 500
    s = random.random(n).astype(np.float32)
    s[:100], s[100:200] = 0, 1
    near = (random.random(n) * 3).astype(np.float32)
    far = (near + random.random(n) * 50 * (random.random(n) > 0.2)).astype(np.float32)
    out = np.empty(n, np.float32)
    lib.distances(KINDS.index(kind), n, at(s), at(near), at(far), at(out))
    twin = sampling.t_from_s(kind, exact(s)[:, None], exact(near), exact(far))[:, 0]
    # 1 / (2 - 2 g) loses the digits that g shares with 1.
    np.testing.assert_allclose(out, twin, rtol=1e-6 if kind == "box" else 2e-5)
    assert (out >= near).all() and (out <= far).all()
    if kind == "box":
        assert (out[:100] == near[:100]).all() and (out[100:200] == far[100:200]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_cube_from_world(lib: ctypes.CDLL, kind: sampling.Kind) -> None:
    box = ((-1.5, -1.0, -0.5), (1.0, 2.0, 4.0))
    where = Space(kind, box, 0.1, 100.0)
    x = (rng(2).normal(size=(400, 3)) * [1, 3, 30]).astype(np.float32)
    x[0] = 0
    lower, upper = np.array(box, np.float32)
    centre, half = (lower + upper) / 2, (upper - lower) / 2
    out = x.copy()
    lib.cube(KINDS.index(kind), len(x), at(centre), at(half), at(out))
    twin = space.cube_from_world(where, exact(x))
    np.testing.assert_allclose(out, twin, rtol=1e-5, atol=1e-6)
    if kind == "contraction":
        assert (np.abs(out) <= 1).all()


@pytest.mark.parametrize("size", [2, 3, 64])
def test_plane_cell(lib: ctypes.CDLL, size: int) -> None:
    x = np.concatenate(
        [
            rng(3).uniform(-1.3, 1.3, 500),
            np.linspace(-1, 1, size),
            [-1, 1, -2, 2, -np.inf, np.inf, np.nan],
        ]
    ).astype(np.float32)
    cell, along = np.empty(len(x), np.int32), np.empty(len(x), np.float32)
    lib.cells(size, len(x), at(x), at(cell), at(along))
    assert (cell >= 0).all() and (cell <= size - 2).all()
    assert (along >= 0).all() and (along <= 1).all()
    scaled = np.clip((x[:-1].astype(np.float64) + 1) * (size - 1) / 2, 0, size - 1)
    np.testing.assert_allclose((cell + along)[:-1], scaled, atol=1e-6 * size)


def test_harmonics(lib: ctypes.CDLL) -> None:
    x = rng(4).normal(size=(300, 3))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    out = np.empty((300, 16), np.float32)
    lib.harmonics(300, at(x), at(out))
    np.testing.assert_allclose(out, reference.spherical_harmonics(exact(x)), atol=2e-6)


def test_density_slope(lib: ctypes.CDLL) -> None:
    leaf = torch.tensor([-200, -15.5, -15, -1, 0, 3, 15, 15.5, 80], dtype=torch.float64)
    leaf.requires_grad_()
    sigma = reference.truncated_exp(leaf)
    (slope,) = torch.autograd.grad(sigma.sum(), leaf)
    given = sigma.detach().numpy().astype(np.float32)
    out = np.empty_like(given)
    lib.density_slopes(len(given), at(given), at(out))
    np.testing.assert_allclose(out, slope, rtol=2e-6)


@pytest.mark.parametrize("bins", [1, 2, 48])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_volume_weights_backward(lib: ctypes.CDLL, bins: int, with_alpha: bool) -> None:
    random = rng(bins)
    tau = np.exp(random.normal(size=bins) - 2).astype(np.float32)
    if bins > 2:
        tau[[3, 10, 30]] = 0, 80, 20  # nothing behind the second is seen
    to_alpha, to_w = random.normal(size=(2, bins)).astype(np.float32)
    leaf = exact(tau).requires_grad_()
    alpha, w = reference.volume_weights(leaf, torch.ones(bins, dtype=torch.float64))
    value = (w * exact(to_w)).sum() + with_alpha * (alpha * exact(to_alpha)).sum()
    (slope,) = torch.autograd.grad(value, leaf)
    through = torch.exp(-(leaf.cumsum(0) - leaf)).detach().numpy().astype(np.float32)
    out = np.zeros(bins, np.float32)
    opacity = alpha.detach().numpy().astype(np.float32)
    parts = (opacity, through, to_alpha if with_alpha else None, to_w)
    lib.weights_backward(bins, *map(at, parts), at(out))
    np.testing.assert_allclose(out, slope, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("bins", "count"), [(1, 1), (1, 5), (64, 49), (128, 2), (7, 300)])
@pytest.mark.parametrize("jittered", [False, True])
def test_resample(lib: ctypes.CDLL, bins: int, count: int, jittered: bool) -> None:
    random = rng(bins + count)
    s = edges(random, bins)
    w = (random.random(bins) * (random.random(bins) > 0.5)).astype(np.float32)
    key, level, ray = 77, 2, 5
    jitter = np.full((ray + 1, count), 0.5, np.float32)
    if jittered:
        lib.jitters(ctypes.c_uint64(key), level, ray + 1, count, at(jitter))
    row = (scramble(ray ^ scramble(level + key))) & 0xFFFFFFFF
    u = (np.arange(count, dtype=np.float32) + jitter[ray]) / np.float32(count)
    twin = reference.resample(exact(s)[None], exact(w)[None], exact(u)[None])[0]
    out = np.zeros(count, np.float32)
    lib.resampled(bins, at(s), at(w), count, int(jittered), ctypes.c_uint32(row), at(out))
    np.testing.assert_allclose(out, twin, atol=2e-6)
    assert (np.diff(out) >= 0).all()


@pytest.mark.parametrize("bins", [1, 2, 48])
def test_distortion(lib: ctypes.CDLL, bins: int) -> None:
    random = rng(bins)
    s, w = edges(random, bins), random.random(bins).astype(np.float32) / bins
    leaf = exact(w).requires_grad_()
    value = reference.distortion_loss(exact(s)[None], leaf[None])
    (slope,) = torch.autograd.grad(value, leaf)
    before, scale = random.normal(size=bins).astype(np.float32), 0.25
    to_w = before.copy()
    term = lib.distortion(bins, at(s), at(w), *floats(scale), at(to_w))
    assert term == pytest.approx(value.item(), rel=1e-4, abs=1e-7)
    np.testing.assert_allclose(to_w, before + scale * slope.numpy(), atol=1e-5)


@pytest.mark.parametrize(("fine", "coarse"), [(1, 1), (48, 128), (128, 7), (20, 20)])
@pytest.mark.parametrize("where", ["anywhere", "shared", "beyond", "no length"])
def test_histogram(lib: ctypes.CDLL, fine: int, coarse: int, where: str) -> None:
    random = rng(fine * coarse)
    s_coarse = edges(random, coarse)
    s = edges(random, fine)
    if where == "shared":
        s = np.sort(random.choice(s_coarse, fine + 1))
    elif where == "beyond":
        s = np.sort(s * 2 - 0.5)
    elif where == "no length":
        s[:] = s_coarse[0]
        s[-1] = s_coarse[-1]
    s = s.astype(np.float32)
    w = random.random(fine).astype(np.float32)
    w[::3] = 0
    w_coarse = (random.random(coarse) / coarse).astype(np.float32)
    leaf = exact(w_coarse).requires_grad_()
    loss = reference.histogram_loss(
        exact(s)[None], exact(w)[None], exact(s_coarse)[None], leaf[None]
    )
    value = loss * fine
    (slope,) = torch.autograd.grad(value, leaf)
    before, scale = random.normal(size=coarse).astype(np.float32), 0.5
    to_coarse, steps = before.copy(), np.full(coarse + 1, np.nan, np.float32)
    histograms = (fine, at(s), at(w), coarse, at(s_coarse), at(w_coarse))
    term = lib.histogram(*histograms, *floats(scale), at(to_coarse), at(steps))
    assert term == pytest.approx(value.item(), rel=1e-4, abs=1e-9)
    np.testing.assert_allclose(to_coarse, before + scale * slope.numpy(), rtol=1e-4, atol=1e-4)


def test_adam(lib: ctypes.CDLL) -> None:
    random = rng(9)
    lr, beta1, beta2, eps = 1e-2, 0.9, 0.999, 1e-15
    x, m, v = (np.full(1, value, np.float32) for value in (0.3, 0, 0))
    leaf = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([leaf], lr=lr, betas=(beta1, beta2), eps=eps)
    for step in range(1, 40):
        g = float(np.float32(random.normal() * 10 ** random.uniform(-6, 2)))
        leaf.grad = torch.full_like(leaf, g)
        optimizer.step()
        rate, scale = lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
        square = lib.adam_step(at(x), at(m), at(v), *floats(g, beta1, beta2, eps, rate, scale))
        np.testing.assert_allclose(x, leaf.detach(), rtol=2e-5, atol=1e-6)
        assert square == pytest.approx(g * g, rel=1e-6)
