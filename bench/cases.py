"""What `bench.run` times.

Every case is built for the bodies `native` and `reference`: the package's own code, as a run of the
workflow goes through it, with the backend chosen by `dac.ops.backend.using`. All start from one
trained model, each with its own copy, and train on while they are timed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from bench.scene import divide, make_scene
from bench.timing import Body
from dac.conquer.lessons import TaughtRays
from dac.conquer.objective import DistillObjective
from dac.evaluation.render import render_view
from dac.evaluation.truth import background_colour
from dac.export.mesh import field_colour, field_density
from dac.fields.model import Model, build_model
from dac.ops.backend import using
from dac.scenes.scene import Scene
from dac.settings import DistillSettings, ModelSettings, TrainSettings
from dac.training.batches import RayBatch, RayBatches
from dac.training.checkpoints import make_optimizer
from dac.training.images import ImageObjective
from dac.training.objective import Part, split
from dac.training.update import KernelAdam, Update, autograd_update, make_update

_BATCHES = 16  # prepared ahead and used in turn
_FAR = 6000  # a step at which annealing and the cadence's ramp are over
_TEACHERS = 4


@dataclass(frozen=True)
class Sizes:
    """How large everything is.

    Attributes:
        model: shapes, and samples a ray.
        rays: a step.
        view: side of the rendered view, pixels.
        views: of the scene.
        trained: steps that the common model has behind it, so that densities are not trivial.
        chunk: rays rendered at once, as `EvaluateSettings` has it.
        grid: side of the slab of points at which a mesh's density is asked for.
    """

    model: ModelSettings
    rays: int
    view: int
    views: int
    trained: int
    chunk: int
    grid: int


SIZES = Sizes(
    model=ModelSettings(
        resolution=64,
        scales=(1, 2),
        channels=16,
        proposal_resolutions=(64, 128),
        proposal_samples=(128, 64),
        samples=48,
        hidden=64,
    ),
    rays=1024,
    view=200,
    views=20,
    trained=60,
    chunk=8192,
    grid=256,
)


@dataclass(frozen=True)
class Case:
    """A name, its bodies, rays a repetition."""

    name: str
    bodies: dict[str, Body]
    rays: int | None = None


class Setting:
    """The scene, the trained model and what the cases share."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.scene = make_scene(sizes.views, sizes.view)
        self.train = TrainSettings(
            rays=sizes.rays, warmup_steps=10, anneal_steps=0, proposal_update_every=1
        )
        self._batches = RayBatches(
            self.scene,
            self.scene.train,
            rays=sizes.rays,
            seed=0,
            background=self.train.background,
            device=torch.device("cpu"),
        )
        with using("reference"):
            self.model = build_model(sizes.model, self.scene.space, seed=0)
            step = dac_step(self.model, self.scene, self.train)
            for number in range(sizes.trained):
                step(number, 2e-2 * min(1.0, (number + 1) / 10))

    def copy(self) -> Model:
        """The trained model, a body's own, in memory as a run has it."""
        model = build_model(self.sizes.model, self.scene.space, seed=0)
        model.load_state_dict(self.model.state_dict())
        return model

    @torch.no_grad()
    def disturbed(self, seed: int) -> Model:
        """The trained model with every parameter moved by some per cent at random."""
        model, generator = self.copy(), torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.mul_(1 + 0.05 * noise)
        return model

    def batches(self, step: int) -> RayBatch:
        """The batch that `dac_step` makes in a step."""
        return self._batches(step)


def both(make: Callable[[], Callable[[], object]]) -> dict[str, Body]:
    """Bodies of both backends, each made and run under its own."""
    bodies = {}
    for name in ("native", "reference"):
        context: Callable[[], AbstractContextManager[object]] = partial(using, name)
        with context():
            bodies[name] = Body(make(), context)
    return bodies


def dac_step(model: Model, scene: Scene, train: TrainSettings) -> Update:
    """The step that a baseline runs."""
    objective = ImageObjective(model, scene, scene.train, train, seed=0)
    return make_update(objective, make_optimizer(model, eps=train.adam_eps), 1)


def _counted(step: Callable[[int], object]) -> Callable[[], object]:
    """Repetitions of a step, at the numbers from `_FAR` on."""
    numbers = itertools.count(_FAR)
    return lambda: step(next(numbers))


def _prepared(bodies: dict[str, Body], kind: type, items: Sequence[Any]) -> dict[str, Body]:
    """The bodies with batches that are there already, so that the step alone is timed.

    Args:
        kind: what makes batches; called with a step, its instances give one of `items`.
    """

    @contextmanager
    def recalling(body: Body) -> Iterator[None]:
        def recall(_self: object, step: int) -> Any:
            return items[step % len(items)]

        with mock.patch.object(kind, "__call__", recall), body.context():
            yield

    return {name: Body(body.run, partial(recalling, body)) for name, body in bodies.items()}


def _train_case(setting: Setting, *, learn: bool) -> Case:
    """A step on batches that are there already; with or without the proposals' update."""
    train = setting.train
    if not learn:
        train = train.model_copy(update={"proposal_update_every": 10**9, "proposal_update_ramp": 0})
    batches = [setting.batches(step) for step in range(_BATCHES)]
    bodies = both(lambda: _train_body(setting, train))
    name = "train_step" if learn else "train_step_no_proposal"
    return Case(name, _prepared(bodies, RayBatches, batches), rays=train.rays)


def _loop_case(setting: Setting) -> Case:
    """A step with the making of its batch."""
    bodies = both(lambda: _train_body(setting, setting.train))
    return Case("train_loop", bodies, rays=setting.train.rays)


def _train_body(setting: Setting, train: TrainSettings) -> Callable[[], object]:
    step = dac_step(setting.copy(), setting.scene, train)
    return _counted(lambda number: step(number, train.learning_rate))


def _distill_case(setting: Setting) -> Case:
    """Experts rendered with jitter, the student at their samples, its proposals: all with losses.

    The experts and the student are the trained model, each disturbed in its own way.
    """
    train, settings = setting.train, DistillSettings(rays=setting.sizes.rays)
    scene, partition = setting.scene, divide(setting.scene, _TEACHERS)
    teachers = [setting.disturbed(seed).requires_grad_(False) for seed in range(_TEACHERS)]

    def make() -> Callable[[], object]:
        student = setting.disturbed(_TEACHERS)
        objective = DistillObjective(
            student, teachers, scene, partition, train, settings, mode="corrected", seed=0
        )
        step = make_update(objective, make_optimizer(student, eps=train.adam_eps), 1)
        return _counted(lambda number: step(number, train.learning_rate))

    source = TaughtRays(scene, partition, train, settings, seed=0, device=torch.device("cpu"))
    batches = [source(step) for step in range(_BATCHES)]
    bodies = both(make)
    return Case("distill_step", _prepared(bodies, TaughtRays, batches), rays=train.rays)


def _render_case(setting: Setting) -> Case:
    """A whole view, in chunks."""
    scene, sizes = setting.scene, setting.sizes
    picture = (scene.cameras, scene.test[0], background_colour(scene))
    bodies = both(lambda: partial(render_view, setting.model, *picture, sizes.chunk))
    return Case("render_view", bodies, rays=setting.sizes.view**2)


def _mesh_density_case(setting: Setting) -> Case:
    """A slab of the grid that a mesh is made of."""
    side = torch.linspace(-1, 1, setting.sizes.grid)
    plane = torch.cartesian_prod(side, side)
    points = torch.cat([torch.full((len(plane), 1), 0.3), plane], dim=1)
    return Case("mesh_density", both(lambda: partial(field_density(setting.model), points)))


def _mesh_colour_case(setting: Setting) -> Case:
    """Vertices of a mesh: their colours, along a short piece of a ray each."""
    g = torch.Generator().manual_seed(0)
    points = torch.rand(setting.sizes.grid**2 // 16, 3, generator=g) - 0.5
    normals = torch.nn.functional.normalize(points, dim=-1)
    return Case("mesh_colour", both(lambda: partial(field_colour(setting.model), points, normals)))


def _adam_tv_case(setting: Setting) -> Case:
    """A step on the planes' total variation alone: its gradient, and Adam."""
    train = setting.train

    def make() -> Callable[[], object]:
        model = setting.copy()
        optimizer = make_optimizer(model, eps=train.adam_eps)
        if model.kernel_model() is not None:
            adam = KernelAdam(model, optimizer, train.model_dump())

            def apply() -> None:
                adam.apply(
                    adam.rates(train.learning_rate, proposals_learn=True), proposals_learn=True
                )
                adam.count(proposals_learn=True)

            return apply

        def terms(_step: int, _part: Part) -> dict[str, Tensor]:
            field, levels = model.plane_tv()
            return {"plane_tv": train.plane_tv * field, "proposal_tv": train.proposal_tv * levels}

        step = autograd_update(terms, optimizer, split(1, 1))
        return lambda: step(0, train.learning_rate)

    return Case("adam_tv", both(make))


CASES: dict[str, Callable[[Setting], Case]] = {
    "train_step": partial(_train_case, learn=True),
    "train_step_no_proposal": partial(_train_case, learn=False),
    "train_loop": _loop_case,
    "distill_step": _distill_case,
    "render_view": _render_case,
    "mesh_density": _mesh_density_case,
    "mesh_colour": _mesh_colour_case,
    "adam_tv": _adam_tv_case,
}
