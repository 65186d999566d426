"""The native operations on a GPU against their twins in float64 on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from ray_cases import BACKGROUND, DISTILL_WEIGHTS, KINDS, TRAIN_WEIGHTS, Subject
from torch import Tensor

from dac.ops import memory
from dac.ops import rays as kernels
from dac.ops.backend import library
from dac.ops.rays import KernelModel, Lesson, StepRays

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(scope="module", autouse=True)
def native() -> None:
    library()


def gpu(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.cuda() for tensor in tensors]


def halves(parameters: Sequence[Tensor]) -> Tensor:
    """All parameters as halves, flat, each start rounded up as in the flat gradient."""
    parts = []
    for parameter in parameters:
        count = parameter.numel()
        parts += [parameter.reshape(-1).half(), parameter.new_zeros(-count % 16).half()]
    return torch.cat(parts)


class OnGPU:
    """A subject's arguments on the GPU."""

    def __init__(self, it: Subject, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("DAC_CUDA_FLOAT32", str(int(it.kind.float32)))
        self.it = it
        self.parameters = gpu(it.parameters)
        self.model = KernelModel(self.parameters, it.shape)
        self.rays, self.target = it.flat.cuda(), it.target.cuda()
        self.background = BACKGROUND.cuda()
        self.key = None if it.key is None else torch.tensor([it.key], device="cuda")
        self.anneal = torch.tensor([it.anneal], device="cuda")

    def train(self, learn: bool = True, *, half: bool = False) -> tuple[Tensor, Tensor]:
        gradients = self.it.gradients().cuda()
        more = [halves(self.parameters)] if half else []
        model = KernelModel([*self.parameters, *more], self.it.shape)
        terms = kernels.train_rays(
            model, gradients, self.batch(), self.target, learn, TRAIN_WEIGHTS
        )
        return gradients, terms

    def batch(self) -> StepRays:
        """The rays as a step's."""
        assert self.key is not None
        return StepRays(self.rays, self.background, self.key, self.anneal)


# ---- Whole rays ----


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("key", [None, 5])
def test_render(name: str, key: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    it = Subject(name, key=key)
    on = OnGPU(it, monkeypatch)
    rendered, sampled = kernels.sample_rays(on.model, on.rays, on.key, on.anneal)
    twin = it.rendering()
    for field, got in {**rendered._asdict(), **sampled._asdict()}.items():
        it.close(field, got, getattr(twin, field))
    alone = kernels.render_rays(on.model, on.rays, on.key, on.anneal)
    for got, same in zip(alone, rendered, strict=True):
        torch.testing.assert_close(got, same, rtol=0, atol=0)


def test_render_many_rays(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than are in memory at once; a ray's jitter goes by its place in the call."""
    it = Subject("small", key=None)
    on = OnGPU(it, monkeypatch)
    count = 20_000
    many = on.rays.repeat(-(-count // len(on.rays)), 1)[:count]
    got = kernels.render_rays(on.model, many, None, on.anneal)
    few = kernels.render_rays(on.model, on.rays, None, on.anneal)
    index = torch.arange(count, device="cuda") % len(on.rays)
    for all_of, some in zip(got, few, strict=True):
        torch.testing.assert_close(all_of, some[index], rtol=0, atol=0)


def test_rays_keep_their_number_in_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Subject("small")
    on = OnGPU(it, monkeypatch)
    _, whole = kernels.sample_rays(on.model, on.rays, on.key, on.anneal)
    rest = on.rays[5:].contiguous()
    _, part = kernels.sample_rays(on.model, rest, on.key, on.anneal, 5)
    for some, all_of in zip(part, whole, strict=True):
        torch.testing.assert_close(some, all_of[5:], rtol=0, atol=0)


def test_running_out_of_memory_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Subject("small", key=None)
    on = OnGPU(it, monkeypatch)
    many = on.rays.repeat(1000, 1)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        with pytest.raises(RuntimeError) as told:
            kernels.render_rays(on.model, many, None, on.anneal)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert memory.ran_out(told.value)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("rays", [None, 7])
def test_query(name: str, rays: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    it = Subject(name)
    on = OnGPU(it, monkeypatch)
    points, directions = it.points(77, rays)
    seen = None if directions is None else directions.cuda()
    sigma, colours = kernels.query_points(on.parameters, it.shape, points.cuda(), seen)
    it.close_query(points, directions, sigma, colours)


def test_query_many_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than are in memory at once."""
    it = Subject("small")
    on = OnGPU(it, monkeypatch)
    few = it.points(100, None)[0].cuda()
    some, _ = kernels.query_points(on.parameters, it.shape, few)
    all_of, _ = kernels.query_points(on.parameters, it.shape, few.repeat(12_000, 1))
    torch.testing.assert_close(all_of, some.repeat(12_000), rtol=0, atol=0)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("learn", [True, False])
def test_train(name: str, learn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    it = Subject(name)
    gradients, terms = OnGPU(it, monkeypatch).train(learn)
    expected = it.train_terms(learn)
    for index, term in enumerate(expected):
        it.close(f"term {index}", terms[index], term.detach(), slack=3)
    assert learn or terms[2] == 0
    it.close_gradients(gradients, expected)


def test_train_reads_the_halves_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    on = OnGPU(Subject("wide"), monkeypatch)
    own, _ = on.train()
    given, _ = on.train(half=True)
    assert (own - given).norm() / own.norm() < 1e-5


@pytest.mark.parametrize("name", KINDS)
def test_deterministic_sums(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAC_DETERMINISTIC", "1")
    on = OnGPU(Subject(name), monkeypatch)
    first, _ = on.train()
    for _ in range(3):
        assert torch.equal(first, on.train()[0])
    monkeypatch.delenv("DAC_DETERMINISTIC")
    loose, _ = on.train()
    assert (first - loose).norm() / first.norm() < 1e-5


@pytest.mark.parametrize("name", ["small", "wide", "odd"])
@pytest.mark.parametrize("paper", [True, False])
def test_distil(name: str, paper: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    it = Subject(name)
    on = OnGPU(it, monkeypatch)
    lesson, gradients = it.lesson(), it.gradients().cuda()
    terms = kernels.distill_rays(
        on.model, gradients, on.batch(), Lesson(*gpu(lesson)), paper, DISTILL_WEIGHTS
    )
    expected = it.distill_terms(lesson, paper)
    for index, term in enumerate(expected):
        it.close(f"term {index}", terms[index], term.detach(), slack=3)
    it.close_gradients(gradients, expected)


def adam(
    on: OnGPU, moments: list[list[Tensor]], gradients: Tensor, rates: Tensor
) -> tuple[Tensor, Tensor]:
    count = len(on.it.parameters)
    tv = [0.5 if p.dim() == 4 else 0.0 for p in on.it.parameters]
    return kernels.adam_step(
        on.parameters, *moments, gradients, tv, [True] * count, rates, (0.9, 0.999), 1e-15
    )


def test_adam_is_the_one_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which tests/ops holds to torch's."""
    it = Subject("wide")
    on = OnGPU(it, monkeypatch)
    count, g = len(it.parameters), torch.Generator().manual_seed(0)
    gradients = torch.randn(it.gradients().shape, generator=g)
    rates = torch.tensor([[0.01, 1.3]] * count)
    here = [[torch.zeros_like(p) for p in it.parameters] for _ in range(2)]
    there = [gpu(group) for group in here]
    copies = torch.zeros(max(torch.get_num_threads(), 1), gradients.shape[1])
    copies[0] = gradients[0]
    mine = [p.clone() for p in it.parameters]
    expected_values = torch.ops.dac.adam_tv(
        mine, *here, copies, [0.5 if p.dim() == 4 else 0.0 for p in mine], [True] * count, rates,
        [0.9, 0.999, 1e-15],
    )  # fmt: skip
    flat = gradients.cuda()
    values = adam(on, there, flat, rates.cuda())
    for value, wanted in zip(values, expected_values, strict=True):
        torch.testing.assert_close(value.cpu(), wanted, rtol=1e-5, atol=0)
    assert (flat == 0).all()
    for got, expected in zip(on.parameters, mine, strict=True):
        torch.testing.assert_close(got.cpu(), expected, rtol=1e-5, atol=1e-6)


def test_a_graph_captures_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits or reads the device on the host; what changes is read on the device."""
    monkeypatch.setenv("DAC_DETERMINISTIC", "1")
    it = Subject("wide")
    eager, captured = OnGPU(it, monkeypatch), OnGPU(it, monkeypatch)
    rates = torch.tensor([[0.01, 1.3]] * len(it.parameters), device="cuda")

    def stepper(on: OnGPU) -> Callable[[], Tensor]:
        moments = [[torch.zeros_like(p) for p in on.parameters] for _ in range(2)]
        gradients = on.it.gradients().cuda()

        def step() -> Tensor:
            terms = kernels.train_rays(
                on.model, gradients, on.batch(), on.target, True, TRAIN_WEIGHTS
            )
            adam(on, moments, gradients, rates)
            return terms

        return step

    one, other = stepper(eager), stepper(captured)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        other()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        terms = other()
    one()
    for key in (7, 8):
        for on in (eager, captured):
            assert on.key is not None
            on.key.fill_(key)
        expected = one()
        graph.replay()
        assert torch.equal(terms, expected)
    for got, same in zip(captured.parameters, eager.parameters, strict=True):
        assert torch.equal(got, same)
