"""Everything that there is to ask of a GPU, in one call.

    python -m bench.gpu                      # build, check, measure, print
    python -m bench.gpu --train data/lego_400 --steps 30000

Builds the library with its CUDA kernels; holds every operation to its twin (tests/cuda); measures
the rates that bound a step: a copy's, that of rows gathered and of rows added at random (see
gpu_probe.cu), a matrix product's; works out from them how long a step takes at least (the *floor*);
times the step, captured in a graph and not, against it and against plain torch's. Writes
results/bench_gpu.json. Exits with 1 where a check fails. See docs/gpu.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dac.errors import UserError
from dac.fields.model import Model, build_model
from dac.ops import build
from dac.ops import rays as kernels
from dac.ops.backend import library, using
from dac.scenes.scene import Space
from dac.settings import EvaluateSettings, ModelSettings, SceneSettings, TrainSettings
from dac.storage.artifacts import write_json
from dac.training.batches import RayBatch
from dac.training.checkpoints import make_optimizer
from dac.training.losses import photometric_loss, regularisers
from dac.training.objective import Part, split
from dac.training.update import StepResult, autograd_update

ROOT = Path(__file__).resolve().parents[1]
OUT = Path("results/bench_gpu.json")
# The paper's size.
MODEL = ModelSettings(resolution=64, scales=(1, 2, 4, 8))
RAYS = 4096
SPACE = Space("box", ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)), 2.0, 6.0)
WEIGHTS = kernels.TrainWeights(1.0, 0.001, 1.0)


@dataclass(frozen=True)
class Rates:
    """What the machine does in a second: bytes, and floating-point operations."""

    copy: float
    gather: float
    reduce: float
    product: float


@dataclass(frozen=True)
class Work:
    """What a step has to do: bytes gathered, reduced and streamed, operations of the networks."""

    gathered: float
    reduced: float
    streamed: float
    operations: float


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--no-checks", action="store_true", help="measure only")
    parser.add_argument("--rounds", type=int, default=51, help="timed repetitions")
    parser.add_argument("--train", type=Path, help="a Blender data set to train and score")
    parser.add_argument("--steps", type=int, default=30_000)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    try:
        _require_gpu()
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
        print(f"Library: {library()}", flush=True)
    except UserError as error:
        sys.exit(f"error: {error}")
    failed = not options.no_checks and _checks_fail()
    rates = measure_rates()
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "rates": vars(rates),
        "steps": [time_step(rates, options.rounds, learn=learn) for learn in (True, False)],
    }
    if options.train:
        found["training"] = train(options.train, options.steps)
        said = "{data}: {steps} steps in {seconds:.0f} s, test PSNR {psnr:.2f} dB"
        print(said.format(**found["training"]))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out, found)
    print(f"Written: {options.out}")
    sys.exit(int(failed))


def _require_gpu() -> None:
    if not torch.cuda.is_available():
        raise UserError("bench.gpu", "torch sees no GPU here", "run it on a machine with one")
    build.make_recipe(cuda=True)


def _checks_fail() -> bool:
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "tests/cuda"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode != 0


# ---- The machine ----


def seconds(run: Callable[[], object], rounds: int, warmup: int = 5) -> float:
    """Median of the seconds that the GPU takes over `run`, by events."""
    for _ in range(warmup):
        run()
    marks = []
    for _ in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        begin.record()
        run()
        end.record()
        marks.append((begin, end))
    torch.cuda.synchronize()
    return float(statistics.median(begin.elapsed_time(end) for begin, end in marks)) * 1e-3


def measure_rates() -> Rates:
    """The machine's rates, on random data, in sizes far beyond its caches."""
    probe = _probe()
    rates = Rates(_copy_rate(2 << 30), probe["gather"], probe["reduce"], _product_rate(8192))
    print(
        f"copy {rates.copy / 1e12:.2f} TB/s, gather {rates.gather / 1e12:.2f} TB/s, "
        f"reductions {rates.reduce / 1e12:.2f} TB/s, products {rates.product / 1e12:.0f} TFLOP/s",
        flush=True,
    )
    return rates


def _copy_rate(size: int) -> float:
    """Bytes read and written a second."""
    source = torch.randint(255, (size,), dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * size / seconds(lambda: target.copy_(source), 21)


def _product_rate(side: int) -> float:
    """Operations a second on halves."""
    a, b = (torch.randn(side, side, device="cuda", dtype=torch.float16) for _ in range(2))
    return 2 * side**3 / seconds(lambda: a @ b, 21)


def _probe() -> dict[str, float]:
    """Compile and run gpu_probe.cu."""
    nvcc = build.find_nvcc()
    assert nvcc is not None  # _require_gpu has asked
    (arch,) = build.cuda_archs()[:1]
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "probe")
        code = f"-gencode=arch=compute_{arch},code=sm_{arch}"
        source = str(ROOT / "bench/gpu_probe.cu")
        subprocess.run(
            [*nvcc.command, "-std=c++20", "-O3", code, source, "-o", program], check=True
        )
        said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    found: dict[str, float] = json.loads(said)
    return found


# ---- The step ----


def work_of(settings: ModelSettings, rays: int, *, learn: bool) -> Work:
    """The least that a step must do, with planes as halves and gradients in float32.

    Gathered forward and again backward; one reduction for each entry of a cell and point (hits that
    are merged along a ray take less); networks once forward and twice backward; Adam reads and
    writes each number's value, moments and gradient, and writes its half.
    """
    corners, half, single = 12, 2, 4
    levels = zip(settings.proposal_samples, settings.proposal_resolutions, strict=True)
    C, H = settings.proposal_channels, settings.hidden
    gathered = reduced = operations = 0.0
    numbers = 0.0
    for samples, side in levels:
        points = rays * samples
        numbers += (3 * side * side * C + H * C + H) * learn
        gathered += points * corners * C * half * (2 if learn else 1)
        reduced += points * corners * C * single * learn
        operations += 2 * points * (C * H + H) * (3 if learn else 1)
    points, F = rays * settings.samples, settings.channels * len(settings.scales)
    G = settings.geometry_features
    weights = F * H + H * (1 + G) + (16 + G) * H + (settings.colour_layers - 1) * H * H + 3 * H
    sides = [settings.resolution * scale for scale in settings.scales]
    numbers += weights + sum(3 * side * side * settings.channels for side in sides)
    gathered += 2 * points * corners * F * half
    reduced += points * corners * F * single
    operations += 3 * 2 * points * weights
    return Work(gathered, reduced, numbers * (8 * single + half), operations)


def floor(work: Work, rates: Rates) -> float:
    """Seconds of a step whose parts follow one another, each at its rate."""
    return (
        work.gathered / rates.gather
        + work.reduced / rates.reduce
        + work.streamed / rates.copy
        + work.operations / rates.product
    )


def some_rays(model: Model, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rays (R, 8) packed, origins and directions (R, 3), on the GPU: towards the box's middle."""
    g = torch.Generator().manual_seed(0)
    origins = torch.nn.functional.normalize(torch.randn(count, 3, generator=g), dim=-1) * 4
    targets = torch.rand(count, 3, generator=g) * 1.2 - 0.6
    directions = torch.nn.functional.normalize(targets - origins, dim=-1)
    origins, directions = origins.cuda(), directions.cuda()
    return model.make_rays(origins, directions).packed(), origins, directions


def native_step(model: Model, rays: Tensor, target: Tensor, *, learn: bool) -> Callable[[], Tensor]:
    """Gradients and Adam, with halves kept beside the parameters."""
    parameters = [parameter.detach() for parameter in model.parameters()]
    gradients = kernels.new_gradients(parameters)
    half = _halves(parameters, gradients.shape[1])
    given = kernels.KernelModel([*parameters, half], model.shape)
    first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    tv = [1e-4 if p.dim() == 4 else 0.0 for p in parameters]
    proposal = [name.startswith("proposal") for name, _ in model.named_parameters()]
    active = [learn or not of_proposal for of_proposal in proposal]
    rates = torch.tensor([[1e-3, 1.0]] * len(parameters), device="cuda")
    background, anneal = torch.rand(3, device="cuda"), torch.ones(1, device="cuda")
    key = torch.zeros(1, dtype=torch.int64, device="cuda")
    batch = kernels.StepRays(rays, background, key, anneal)

    def step() -> Tensor:
        key.add_(1)
        terms = kernels.train_rays(given, gradients, batch, target, learn, WEIGHTS)
        kernels.adam_step(
            [*parameters, half], first, second, gradients, tv, active, rates, (0.9, 0.999), 1e-15,
        )  # fmt: skip
        return terms

    return step


def _halves(parameters: list[Tensor], length: int) -> Tensor:
    half = torch.zeros(length, dtype=torch.float16, device="cuda")
    start = 0
    for parameter in parameters:
        half[start : start + parameter.numel()] = parameter.reshape(-1).half()
        start += -(-parameter.numel() // 16) * 16
    return half


def reference_step(model: Model, batch: RayBatch, *, learn: bool) -> Callable[[], StepResult]:
    """What plain torch does of the same: the package's losses, autograd, Adam."""
    settings = TrainSettings(rays=RAYS)

    def terms(step: int, _part: Part) -> dict[str, Tensor]:
        rays = model.make_rays(batch.origins, batch.directions)
        seen = model.render(rays, key=step, proposal_grad=learn)
        return {
            "photometric": photometric_loss(seen, batch.rgb, batch.background),
            **regularisers(
                model, settings, seen.s, seen.weights, seen.proposals, proposals_learn=learn
            ),
        }

    optimizer = make_optimizer(model, eps=settings.adam_eps)
    step = autograd_update(terms, optimizer, split(RAYS, 1))
    return lambda: step(0, 1e-3)


def captured(step: Callable[[], object]) -> Callable[[], None]:
    """The step as a graph."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def time_step(rates: Rates, rounds: int, *, learn: bool) -> dict[str, Any]:
    """A step at the paper's size against its floor and against plain PyTorch."""
    model = build_model(MODEL, SPACE, seed=0).cuda()
    rays, origins, directions = some_rays(model, RAYS)
    target = torch.rand(RAYS, 3, device="cuda")
    batch = RayBatch(
        torch.zeros(RAYS, dtype=torch.int64), origins, directions, target,
        torch.rand(3, device="cuda"),
    )  # fmt: skip
    with using("native"):
        step = native_step(model, rays, target, learn=learn)
        eager = seconds(step, rounds)
        graph = seconds(captured(step), rounds)
    with using("reference"):
        theirs = seconds(reference_step(model, batch, learn=learn), max(rounds // 3, 5))
    least = floor(work_of(MODEL, RAYS, learn=learn), rates)
    name = "train_step" if learn else "train_step_no_proposal"
    print(
        f"{name}: floor {least * 1e3:.2f} ms, graph {graph * 1e3:.2f} ms ({graph / least:.2f} of "
        f"the floor), calls {eager * 1e3:.2f} ms, reference {theirs * 1e3:.2f} ms "
        f"({theirs / graph:.1f} x)",
        flush=True,
    )
    return {
        "name": name,
        "floor_ms": least * 1e3,
        "graph_ms": graph * 1e3,
        "calls_ms": eager * 1e3,
        "reference_ms": theirs * 1e3,
        "step_over_floor": graph / least,
        "reference_over_step": theirs / graph,
    }


# ---- A scene ----


def train(data: Path, steps: int) -> dict[str, Any]:
    """Train a Blender data set at the paper's size, as a run does, and score its test views."""
    from dac.evaluation.evaluate import evaluate_model
    from dac.scenes.importer import import_scene
    from dac.training.baseline import train_baseline

    with tempfile.TemporaryDirectory() as folder:
        scene, run = Path(folder) / "scene", Path(folder) / "run"
        import_scene(data, "blender", SceneSettings(), name=data.name).save(scene)
        began = time.perf_counter()
        train_baseline(
            scene, MODEL, TrainSettings(rays=RAYS, steps=steps), steps=steps, seed=0, out=run,
            state=Path(folder) / "state",
        )  # fmt: skip
        took = time.perf_counter() - began
        label = {"method": "baseline-1x", "model": "kplanes", "seed": 0, "steps": steps}
        out, state = Path(folder) / "evaluation", Path(folder) / "evaluation-state"
        scored = evaluate_model(scene, run, EvaluateSettings(), label, out, state=state)
    return {"data": data.name, "steps": steps, "seconds": took, "psnr": scored.mean.psnr}


if __name__ == "__main__":
    main()
