"""The CUDA kernels, run on the host by tests/csrc/emulator.h, against plain torch.

What they compute is tested here, fragment by fragment; how fast they are, and that they do the same
on a GPU, is not (see test_rays_gpu.py).
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from ray_cases import BACKGROUND, DISTILL_WEIGHTS, KINDS, TRAIN_WEIGHTS, Subject
from torch import Tensor

from dac import ops

ROOT = Path(__file__).parents[2]
# Of a rendering, in the kernels' order.
OUTPUTS = ("rgb", "accumulation", "depth", "s", "t", "alpha", "weights", "colours")
COMPILER = shutil.which("g++") or shutil.which("c++")

pytestmark = [
    pytest.mark.slow,  # a minute of compiling and emulating
    pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler"),
]


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    assert COMPILER is not None
    folder = tmp_path_factory.mktemp("kernels")
    names = ["planes", "density", "field", "layers", "layered", "rays", "losses", "adam", "steps"]
    sources = [ROOT / f"dac/csrc/cuda/{name}.cu" for name in names]
    flags = ["-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-fPIC"]
    include = [f"-I{ROOT / path}" for path in ("dac/csrc/common", "dac/csrc/cuda", "tests/csrc")]
    units = []
    running = []
    for source in [*sources, ROOT / "tests/csrc/kernels_test.cpp"]:
        units.append(str(folder / f"{source.stem}.o"))
        command = [COMPILER, *flags, "-DDAC_EMULATE", *include, "-x", "c++", "-c", str(source)]
        running.append(subprocess.Popen([*command, "-o", units[-1]]))
    assert [process.wait() for process in running] == [0] * len(running)
    out = folder / "kernels.so"
    subprocess.run([COMPILER, "-shared", *units, "-o", str(out)], check=True)
    return ctypes.CDLL(str(out))


# ---- Calls ----


class _Call(ctypes.Structure):
    _fields_ = [
        ("shape", ctypes.c_void_p),
        ("length", ctypes.c_int64),
        ("space", ctypes.c_void_p),
        ("parameters", ctypes.c_void_p),
        ("sizes", ctypes.c_void_p),
        ("float32", ctypes.c_int),
        ("deterministic", ctypes.c_int),
        ("part", ctypes.c_int64),
        ("R", ctypes.c_int64),
        ("rays", ctypes.c_void_p),
        ("key", ctypes.c_void_p),
        ("anneal", ctypes.c_void_p),
        ("half", ctypes.c_void_p),
    ]


def pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def pointers(tensors: Sequence[Tensor]) -> Any:
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


class Call:
    """What a subject is to the kernels; keeps alive what it points to."""

    def __init__(
        self,
        it: Subject,
        *,
        rays: int | None = None,
        deterministic: bool = False,
        half: Tensor | None = None,
    ) -> None:
        self._kept: list[Any] = [
            torch.tensor(it.shape.integers),
            torch.tensor(it.shape.space, dtype=torch.float64),
            pointers(it.parameters),
            torch.tensor([p.numel() for p in it.parameters]),
            None if it.key is None else torch.tensor([it.key]),
            torch.tensor([it.anneal]),
            half,
        ]
        integers, space, addresses, sizes, key, anneal, _ = self._kept
        self._call = _Call(
            pointer(integers), len(integers), pointer(space), ctypes.addressof(addresses),
            pointer(sizes), it.kind.float32, deterministic, 8,  # rays or points at once
            len(it.flat) if rays is None else rays, pointer(it.flat), pointer(key), pointer(anneal),
            pointer(half),
        )  # fmt: skip

    @property
    def at(self) -> Any:
        return ctypes.byref(self._call)


# ---- Rendering ----


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("key", [None, 5])
def test_render(lib: ctypes.CDLL, name: str, key: int | None) -> None:
    it = Subject(name, key=key)
    R, S = len(it.rays), it.settings.samples
    sizes = [(R, 3), (R,), (R,), (R, S + 1), (R, S + 1), (R, S), (R, S), (R, S, 3)]
    call, out = Call(it), [torch.full(size, torch.nan) for size in sizes]
    assert lib.render(call.at, *map(pointer, out)) == 0
    twin = it.rendering()
    for field, got in zip(OUTPUTS, out, strict=True):
        it.close(field, got, getattr(twin, field))


def test_render_needs_no_samples(lib: ctypes.CDLL) -> None:
    it = Subject("small")
    R = len(it.rays)
    call, out = Call(it), [torch.full(size, torch.nan) for size in [(R, 3), (R,), (R,)]]
    assert lib.render(call.at, *map(pointer, out), *[pointer(None)] * 5) == 0
    it.close("rgb", out[0], it.rendering().rgb)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("rays", [None, 1, 3, 21])
def test_query(lib: ctypes.CDLL, name: str, rays: int | None) -> None:
    it = Subject(name)
    points, directions = it.points(21, rays)
    sigma, colours = torch.full((21,), torch.nan), torch.full((21, 3), torch.nan)
    call = Call(it)
    N, S = (ctypes.c_int64(n) for n in (21, 21 // (rays or 1)))
    out = (sigma, None if rays is None else colours)
    assert lib.query(call.at, N, S, *map(pointer, (points, directions, *out))) == 0
    it.close_query(points, directions, sigma, out[1])


# ---- Learning ----


def train(lib: ctypes.CDLL, it: Subject, learn: bool = True, **more: Any) -> tuple[Tensor, Tensor]:
    flat, terms, weights = it.gradients(), torch.empty(3), torch.tensor(TRAIN_WEIGHTS)
    call = Call(it, **more)
    status = lib.train(
        call.at, pointer(it.target), pointer(BACKGROUND), int(learn),
        *map(pointer, (weights, flat, terms)),
    )  # fmt: skip
    assert status == 0
    return flat, terms


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("learn", [True, False])
def test_train(lib: ctypes.CDLL, name: str, learn: bool) -> None:
    it = Subject(name)
    flat, terms = train(lib, it, learn)
    expected = it.train_terms(learn)
    for index, term in enumerate(expected):
        it.close(f"term {index}", terms[index], term.detach(), slack=3)
    assert learn or terms[2] == 0
    it.close_gradients(flat, expected)


@pytest.mark.parametrize("name", ["small", "float32"])
def test_fixed_point_sums_are_the_float_ones(lib: ctypes.CDLL, name: str) -> None:
    flat, _ = train(lib, Subject(name))
    fixed, _ = train(lib, Subject(name), deterministic=True)
    assert (fixed - flat).norm() / flat.norm() < 1e-5


def test_train_reads_the_halves_it_is_given(lib: ctypes.CDLL) -> None:
    it = Subject("wide")
    own, _ = train(lib, it, deterministic=True)
    half = torch.cat([torch.cat([p.view(-1), p.new_zeros(-p.numel() % 16)]) for p in it.parameters])
    given, _ = train(lib, it, deterministic=True, half=half.half())
    assert torch.equal(own, given)
    other, _ = train(lib, it, deterministic=True, half=half.half() * 1.1)
    assert not torch.equal(own, other)


@pytest.mark.parametrize("name", ["wide", "odd"])
def test_the_order_of_threads_does_not_matter(lib: ctypes.CDLL, name: str) -> None:
    """Between two barriers; sums in fixed point don't depend on it either."""
    results = []
    for order in range(5):
        lib.set_turns(order)
        try:
            results.append(train(lib, Subject(name), deterministic=True))
        finally:
            lib.set_turns(0)
    for flat, terms in results[1:]:
        assert torch.equal(flat, results[0][0]) and torch.equal(terms, results[0][1])


@pytest.mark.parametrize("name", ["small", "wide", "odd"])
@pytest.mark.parametrize("paper", [True, False])
def test_distil(lib: ctypes.CDLL, name: str, paper: bool) -> None:
    it = Subject(name)
    lesson = it.lesson()
    flat, terms, weights = it.gradients(), torch.empty(7), torch.tensor(DISTILL_WEIGHTS)
    call = Call(it)
    status = lib.distil(
        call.at, pointers(lesson), it.settings.samples, pointer(BACKGROUND), int(paper),
        *map(pointer, (weights, flat, terms)),
    )  # fmt: skip
    assert status == 0
    expected = it.distill_terms(lesson, paper)
    for index, term in enumerate(expected):
        it.close(f"term {index}", terms[index], term.detach(), slack=3)
    it.close_gradients(flat, expected)


def test_no_rays(lib: ctypes.CDLL) -> None:
    flat, terms = train(lib, Subject("small"), rays=0)
    assert (flat == 0).all() and (terms == 0).all()


# ---- Adam ----


@pytest.mark.parametrize("bad", [None, torch.nan, -torch.inf, 1e21])
@pytest.mark.parametrize("size", [(3, 7, 5, 4), (3, 40, 70, 8), (3, 33, 3, 5), (3, 2, 300, 1)])
def test_adam_with_total_variation(
    lib: ctypes.CDLL, size: tuple[int, ...], bad: float | None
) -> None:
    """Where a slope is not finite, or too large for its square, nothing changes."""
    g = torch.Generator().manual_seed(0)
    shapes = [size, (13, 9), size]
    x = [torch.randn(shape, generator=g) for shape in shapes]
    m = [0.1 * torch.randn(shape, generator=g) for shape in shapes]
    v = [torch.rand(shape, generator=g) for shape in shapes]
    slopes = [torch.randn(shape, generator=g) for shape in shapes]
    spoilt = [torch.rand(shape, generator=g) < (0.0 if bad is None else 0.1) for shape in shapes]
    for slope, where in zip(slopes, spoilt, strict=True):
        slope[where] = bad or 0.0
    half = [torch.full(shape, torch.nan, dtype=torch.float16) for shape in shapes]
    tv, active, betas_eps = torch.tensor([3.0, 0.0, 1.0]), [1, 1, 0], (0.9, 0.99, 1e-8)
    rates = torch.tensor([[0.01, 1.5], [0.02, 1.3], [0.03, 1.1]])
    old = [[y.clone() for y in group] for group in (x, m, v)]
    sizes = [d for shape in shapes for d in (shape if len(shape) == 4 else (0, 0, 117, 1))]
    values, norm = torch.full((3,), torch.nan), torch.full((), torch.nan)
    lib.set_turns(size[1] % 5)  # some order of threads
    lib.adam(
        3, *map(pointers, (x, m, v, slopes_copy := [y.clone() for y in slopes], half)),
        (ctypes.c_int * 12)(*sizes), pointer(tv), (ctypes.c_int * 3)(*active),
        pointer(rates), (ctypes.c_float * 3)(*betas_eps),
        pointer(values), pointer(norm),
    )  # fmt: skip
    lib.set_turns(0)
    assert all((slope == 0).all() for slope in slopes_copy)
    beta1, beta2, eps = betas_eps
    squares = 0.0
    for i in range(2):
        before, first, second = (group[i].double() for group in old)
        leaf = before.clone().requires_grad_()
        slope, total = slopes[i].double(), torch.zeros(())
        if i == 0:
            total = ops.reference.plane_tv(leaf)
            slope = slope + tv[i] * torch.autograd.grad(total, leaf)[0]
        squares += slope.square().sum().item()
        stays = spoilt[i]
        first = torch.where(stays, first, beta1 * first + (1 - beta1) * slope)
        second = torch.where(stays, second, beta2 * second + (1 - beta2) * slope**2)
        new = before - rates[i, 0] * first / (second.sqrt() * rates[i, 1] + eps)
        new = torch.where(stays, before, new)
        torch.testing.assert_close(x[i].double(), new, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(m[i].double(), first, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(v[i].double(), second, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(half[i], x[i].half(), rtol=0, atol=0)
        assert values[i].item() == pytest.approx(total.item(), rel=1e-5)
    if bad is None:
        assert norm.item() == pytest.approx(squares**0.5, rel=1e-5)
    else:
        assert not norm.isfinite()
    for group, was in zip((x, m, v), old, strict=True):
        assert torch.equal(group[2], was[2])
    assert values[2] == 0 and values[1] == 0
