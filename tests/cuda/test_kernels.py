"""The CUDA kernels of whole rays, run on the host by tests/csrc/emulator.h, against plain torch.

What they compute is tested here, fragment by fragment; how fast they are, and that they do the same
on a GPU, is not (see test_ops_gpu.py). The twin is the model in float64.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from dac import ops
from dac.conquer.losses import (
    accumulation_loss,
    alpha_loss,
    colour_loss,
    proposal_histogram_loss,
    rendered_colour_loss,
)
from dac.fields.model import build_model
from dac.fields.protocol import Rays, over
from dac.fields.whole_rays import model_shape
from dac.ops.backend import using
from dac.scenes.scene import Space
from dac.settings import ModelSettings
from dac.training.losses import interlevel_loss

ROOT = Path(__file__).parents[2]
COMPILER = shutil.which("g++") or shutil.which("c++")

BOX = Space("box", ((-1.0, -1.2, -1.0), (1.0, 1.0, 0.8)), 0.5, 6.0)
OPEN = Space("contraction", BOX.box, 0.05, 1000.0)

pytestmark = [
    pytest.mark.slow,  # a minute of compiling and emulating
    pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler"),
]


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    assert COMPILER is not None
    folder = tmp_path_factory.mktemp("kernels")
    names = ["planes", "density", "field", "layers", "rays", "adam", "steps"]
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
        ("R", ctypes.c_int64),
        ("rays", ctypes.c_void_p),
        ("key", ctypes.c_void_p),
        ("anneal", ctypes.c_void_p),
    ]


def pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def pointers(tensors: Sequence[Tensor]) -> Any:
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


class Subject:
    """A model and rays, and the kernels' view of both.

    Args:
        key: None places the samples evenly.
        exact: float32 layers instead of tensor cores.
    """

    def __init__(
        self,
        settings: ModelSettings,
        where: Space,
        rays: int = 21,
        *,
        key: int | None = 5,
        anneal: float = 0.7,
        exact: bool = False,
        deterministic: bool = False,
    ) -> None:
        self.key, self.anneal = key, anneal
        self.model = build_model(settings, where, 3)
        g = torch.Generator().manual_seed(4)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                # Planes are of both signs, and weights larger than new ones: densities vary.
                scale = 0.4 if "planes" in name else 0.15
                parameter += scale * torch.randn(parameter.shape, generator=g)
                if not exact:  # both sides see the planes that halves can hold
                    parameter.copy_(parameter.half().float())
        self.parameters = [p.detach().clone() for p in self.model.parameters()]
        origins = torch.nn.functional.normalize(torch.randn(rays, 3, generator=g), dim=-1) * 3
        targets = torch.rand(rays, 3, generator=g) * 2 - 1
        targets[-1] = 40  # a ray that misses the box
        directions = torch.nn.functional.normalize(targets - origins, dim=-1)
        single = self.model.make_rays(origins, directions)
        parts = (single.origins, single.directions, single.near[:, None], single.far[:, None])
        self.flat = torch.cat(parts, dim=1)
        self.rays = Rays(*(x.double() for x in (origins, directions, single.near, single.far)))
        self.model.double()
        shape = model_shape(settings, where)
        self._keep: list[Any] = [
            torch.tensor(shape.integers),
            torch.tensor(shape.space, dtype=torch.float64),
            pointers(self.parameters),
            torch.tensor([p.numel() for p in self.parameters]),
            None if key is None else torch.tensor([key]),
            torch.tensor([anneal]),
        ]
        integers, space, addresses, sizes, key_at, anneal_at = self._keep
        self.call = _Call(
            pointer(integers), len(integers), pointer(space), ctypes.addressof(addresses),
            pointer(sizes), exact, deterministic, rays, pointer(self.flat), pointer(key_at),
            pointer(anneal_at),
        )  # fmt: skip
        self.settings = settings

    def gradients(self) -> Tensor:
        """A flat buffer of zeros."""
        return torch.zeros(sum(-(-p.numel() // 16) * 16 for p in self.parameters))

    def split(self, flat: Tensor) -> dict[str, Tensor]:
        """The flat gradient by parameter."""
        parts, start = {}, 0
        for name, parameter in self.model.named_parameters():
            parts[name] = flat[start : start + parameter.numel()].view(parameter.shape)
            start += -(-parameter.numel() // 16) * 16
        return parts


class Kind(NamedTuple):
    settings: ModelSettings
    space: Space
    exact: bool


def settings(**changes: Any) -> ModelSettings:
    values: dict[str, Any] = {
        "resolution": 9, "scales": (1, 2), "channels": 8, "proposal_resolutions": (7, 12),
        "proposal_samples": (40, 36), "samples": 20, "hidden": 32, "colour_layers": 1, **changes,
    }  # fmt: skip
    return ModelSettings(**values)


KINDS = {
    "small": Kind(settings(), BOX, False),
    "open": Kind(settings(), OPEN, False),
    "wide": Kind(
        settings(hidden=64, colour_layers=2, channels=32, proposal_channels=16, scales=(1, 2, 3)),
        BOX,
        False,
    ),
    "widest": Kind(
        settings(hidden=64, colour_layers=1, channels=32, scales=(1, 2, 3, 4)), BOX, False
    ),
    "float32": Kind(settings(), OPEN, True),
    # No width that tensor cores take.
    "odd": Kind(
        settings(
            hidden=20, colour_layers=3, channels=6, proposal_channels=3, geometry_features=7,
            samples=33, proposal_samples=(64, 31),
        ),
        BOX,
        False,
    ),
}  # fmt: skip
PRECISE = ("float32", "odd")


def subject(name: str, **more: Any) -> Subject:
    kind = KINDS[name]
    return Subject(kind.settings, kind.space, exact=name in PRECISE, **more)


def close(name: str, what: str, got: Tensor, expected: Tensor, slack: float = 1) -> None:
    """By ||got - expected|| / ||expected||: float32 arithmetic, or sixteen-bit operands."""
    bound = slack * (1e-4 if name in PRECISE else 2e-2)
    error = (got.double() - expected).norm() / expected.norm().clamp_min(1e-30)
    assert error < bound, f"{what}: {error:.2e}"


# ---- Rendering ----


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("key", [None, 5])
def test_render(lib: ctypes.CDLL, name: str, key: int | None) -> None:
    it = subject(name, key=key)
    R, S = len(it.rays), it.settings.samples
    sizes = [(R, 3), (R,), (R,), (R, S + 1), (R, S + 1), (R, S), (R, S), (R, S, 3)]
    out = [torch.full(size, torch.nan) for size in sizes]
    assert lib.render(ctypes.byref(it.call), *map(ctypes.c_void_p, map(pointer, out))) == 0
    with torch.no_grad(), using("reference"):
        twin = it.model.render(it.rays, key=key, anneal=it.anneal)
    names = ["rgb", "accumulation", "depth", "s", "t", "alpha", "weights", "colours"]
    for field, got in zip(names, out, strict=True):
        assert got.isfinite().all()
        close(name, field, got, getattr(twin, field))


def test_render_needs_no_samples(lib: ctypes.CDLL) -> None:
    it = subject("small")
    R = len(it.rays)
    out = [torch.full(size, torch.nan) for size in [(R, 3), (R,), (R,)]]
    nothing = [ctypes.c_void_p(None)] * 5
    assert (
        lib.render(ctypes.byref(it.call), *map(ctypes.c_void_p, map(pointer, out)), *nothing) == 0
    )
    with torch.no_grad(), using("reference"):
        twin = it.model.render(it.rays, key=it.key, anneal=it.anneal)
    close("small", "rgb", out[0], twin.rgb)


# ---- Learning ----


def compare_gradients(name: str, it: Subject, flat: Tensor, loss: Tensor) -> None:
    named = dict(it.model.named_parameters())
    slopes = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    for (parameter, got), slope in zip(it.split(flat).items(), slopes, strict=True):
        if slope is None or not slope.any():
            assert (got == 0).all(), parameter
            continue
        cosine = torch.dot(got.flatten().double(), slope.flatten()) / (got.norm() * slope.norm())
        assert cosine > (0.999999 if name in PRECISE else 0.999), f"{parameter}: {cosine:.5f}"
        close(name, parameter, got, slope, slack=2)


TRAIN_WEIGHTS = (1.0, 0.05, 0.8)


def train(lib: ctypes.CDLL, it: Subject, target: Tensor, learn: bool) -> tuple[Tensor, Tensor]:
    flat, terms = it.gradients(), torch.empty(3)
    background, weights = torch.tensor([0.2, 0.5, 0.9]), torch.tensor(TRAIN_WEIGHTS)
    status = lib.train(
        ctypes.byref(it.call), ctypes.c_void_p(pointer(target)),
        ctypes.c_void_p(pointer(background)), int(learn), ctypes.c_void_p(pointer(weights)),
        ctypes.c_void_p(pointer(flat)), ctypes.c_void_p(pointer(terms)),
    )  # fmt: skip
    assert status == 0
    return flat, terms


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("learn", [True, False])
def test_train(lib: ctypes.CDLL, name: str, learn: bool) -> None:
    it = subject(name)
    target = torch.rand(len(it.rays), 3, generator=torch.Generator().manual_seed(1))
    flat, terms = train(lib, it, target, learn)
    with using("reference"):
        twin = it.model.render(it.rays, key=it.key, anneal=it.anneal, proposal_grad=learn)
        background = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
        photometric = (over(twin, background) - target).square().mean()
        distortion = ops.distortion_loss(twin.s, twin.weights)
        interlevel = interlevel_loss(twin.s, twin.weights, twin.proposals) if learn else None
    expected = [photometric, distortion, interlevel]
    parts = [
        weight * term
        for weight, term in zip(TRAIN_WEIGHTS, expected, strict=True)
        if term is not None
    ]
    for index, part in enumerate(parts):
        close(name, f"term {index}", terms[index], part.detach(), slack=3)
    if not learn:
        assert terms[2] == 0
    compare_gradients(name, it, flat, torch.stack(parts).sum())


@pytest.mark.parametrize("name", ["small", "float32"])
def test_fixed_point_sums_are_the_float_ones(lib: ctypes.CDLL, name: str) -> None:
    target = torch.rand(21, 3, generator=torch.Generator().manual_seed(1))
    flat, _ = train(lib, subject(name), target, True)
    fixed, _ = train(lib, subject(name, deterministic=True), target, True)
    assert (fixed - flat).norm() / flat.norm() < 1e-5


@pytest.mark.parametrize("name", ["small", "wide", "odd"])
@pytest.mark.parametrize("paper", [True, False])
def test_distil(lib: ctypes.CDLL, name: str, paper: bool) -> None:
    it = subject(name)
    expert = build_model(it.settings, it.model.space, 8).double()
    with torch.no_grad(), using("reference"):
        said = expert.render(it.rays, key=9)
    names = ("s", "t", "alpha", "weights", "colours", "rgb", "accumulation")
    # The twin sees the numbers that float32 holds.
    lesson = [getattr(said, field).float() for field in names]
    s, t, alpha, weights, colours, rgb, accumulation = (x.double() for x in lesson)
    scale = (0.5, 2.0, 0.3, 1.5, 0.1, 0.02, 0.7)
    flat, terms, behind = it.gradients(), torch.empty(7), torch.tensor([0.1, 0.8, 0.4])
    of = torch.tensor(scale)
    status = lib.distil(
        ctypes.byref(it.call), pointers(lesson), it.settings.samples,
        ctypes.c_void_p(pointer(behind)), int(paper), ctypes.c_void_p(pointer(of)),
        ctypes.c_void_p(pointer(flat)), ctypes.c_void_p(pointer(terms)),
    )  # fmt: skip
    assert status == 0
    with using("reference"):
        sigma, c = it.model.query(it.rays, t)
        a, w = ops.volume_weights(sigma, t.diff(dim=-1))
        proposals = it.model.proposals(it.rays, key=it.key, anneal=it.anneal)
        acc, shown = w.sum(-1), ops.composite(w, c)
        background = behind.double()
        expected = [
            alpha_loss(a, alpha),
            colour_loss(c, colours, None if paper else weights),
            proposal_histogram_loss(s, alpha if paper else weights, proposals),
            rendered_colour_loss(
                shown + (1 - acc)[:, None] * background,
                rgb + (1 - accumulation)[:, None] * background,
            ),
            accumulation_loss(acc, accumulation) * (not paper),
            ops.distortion_loss(s, w),
            interlevel_loss(s, w, proposals),
        ]
    parts = [weight * term for weight, term in zip(scale, expected, strict=True)]
    for index, part in enumerate(parts):
        close(name, f"term {index}", terms[index], part.detach(), slack=3)
    compare_gradients(name, it, flat, torch.stack(parts).sum())


def test_no_rays(lib: ctypes.CDLL) -> None:
    it = subject("small")
    it.call.R = 0
    flat, terms = train(lib, it, torch.empty(0, 3), True)
    assert (flat == 0).all() and (terms == 0).all()


# ---- Adam ----


@pytest.mark.parametrize("size", [(3, 7, 5, 4), (3, 40, 70, 8), (3, 33, 3, 5), (3, 2, 300, 1)])
def test_adam_with_total_variation(lib: ctypes.CDLL, size: tuple[int, ...]) -> None:
    g = torch.Generator().manual_seed(0)
    shapes = [size, (13, 9), size]
    x = [torch.randn(shape, generator=g) for shape in shapes]
    m = [0.1 * torch.randn(shape, generator=g) for shape in shapes]
    v = [torch.rand(shape, generator=g) for shape in shapes]
    slopes = [torch.randn(shape, generator=g) for shape in shapes]
    half = [torch.full(shape, torch.nan, dtype=torch.float16) for shape in shapes]
    tv, active, betas_eps = torch.tensor([3.0, 0.0, 1.0]), [1, 1, 0], (0.9, 0.99, 1e-8)
    rates = torch.tensor([[0.01, 1.5], [0.02, 1.3], [0.03, 1.1]])
    old = [[y.clone() for y in group] for group in (x, m, v)]
    sizes = [d for shape in shapes for d in (shape if len(shape) == 4 else (0, 0, 117, 1))]
    values = torch.full((3,), torch.nan)
    lib.adam(
        3, *map(pointers, (x, m, v, slopes_copy := [y.clone() for y in slopes], half)),
        (ctypes.c_int * 12)(*sizes), ctypes.c_void_p(pointer(tv)), (ctypes.c_int * 3)(*active),
        ctypes.c_void_p(pointer(rates)), (ctypes.c_float * 3)(*betas_eps),
        ctypes.c_void_p(pointer(values)),
    )  # fmt: skip
    assert all((slope == 0).all() for slope in slopes_copy)
    beta1, beta2, eps = betas_eps
    for i in range(2):
        before, first, second = (group[i].double() for group in old)
        leaf = before.clone().requires_grad_()
        slope, total = slopes[i].double(), torch.zeros(())
        if i == 0:
            total = ops.reference.plane_tv(leaf)
            slope = slope + tv[i] * torch.autograd.grad(total, leaf)[0]
        first = beta1 * first + (1 - beta1) * slope
        second = beta2 * second + (1 - beta2) * slope**2
        new = before - rates[i, 0] * first / (second.sqrt() * rates[i, 1] + eps)
        torch.testing.assert_close(x[i].double(), new, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(m[i].double(), first, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(v[i].double(), second, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(half[i], x[i].half(), rtol=0, atol=0)
        assert values[i].item() == pytest.approx(total.item(), rel=1e-5)
    for group, was in zip((x, m, v), old, strict=True):
        assert torch.equal(group[2], was[2])
    assert values[2] == 0 and values[1] == 0
