"""The single operations that `bench.run` times, forward and backward.

Shapes, points and histograms are those that the operations meet in a step of the trained model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor

from bench import plain, plain_ops
from bench.cases import Case, Setting, ours
from bench.timing import Body
from dac import ops
from dac.fields.kplanes import ProposalField
from dac.fields.model import Model
from dac.fields.protocol import Rendering
from dac.ops.backend import using
from dac.training.checkpoints import make_optimizer
from dac.training.objective import Part, split
from dac.training.update import KernelAdam, autograd_update


@dataclass(frozen=True)
class _Inputs:
    """Both models, a jittered rendering of a batch, and the points that it looked at.

    Attributes:
        points, coarse: (N, 3) middles of the field's and the first level's bins, laid out as the
            package lays them out; a plain user's lie point by point.
    """

    model: Model
    other: plain.PlainModel
    out: Rendering
    points: Tensor
    coarse: Tensor

    @classmethod
    def make(cls, setting: Setting) -> _Inputs:
        model, batch = setting.copy(), setting.batches(0)
        rays = model.make_rays(batch.origins, batch.directions)
        with using("reference"), torch.no_grad():
            out = model.render(rays, key=1)
        points, coarse = (model._points(rays, t) for t in (out.t, out.proposals[0].t))
        return cls(model, plain.from_model(setting.model), out, points, coarse)


def _with_gradient(forward: Callable[[], Tensor], inputs: Sequence[Tensor]) -> Callable[[], object]:
    """Forward, and backward with an upstream gradient of ones."""
    ones = torch.ones_like(forward())
    return lambda: torch.autograd.grad(forward(), inputs, ones)


def _case(
    name: str,
    ours_: Callable[[], Tensor],
    inputs: Sequence[Tensor],
    theirs: Callable[[], Tensor],
    their_inputs: Sequence[Tensor],
    threads: int | None = None,
) -> Case:
    bodies = ours(lambda: _with_gradient(ours_, inputs))
    bodies["plain"] = Body(_with_gradient(theirs, their_inputs))
    return Case(name, bodies, threads)


def _triplane(setting: Setting) -> Case:
    """The field's planes, one thread."""
    it = _Inputs.make(setting)
    planes, scales = list(it.model.field.planes), it.other.field.planes()
    rows = it.points.contiguous()
    return _case(
        "triplane",
        lambda: ops.triplane(planes, it.points),
        planes,
        lambda: plain_ops.triplane(scales, rows),
        [plane for scale in scales for plane in scale],
        threads=1,
    )


def _network(setting: Setting) -> Case:
    """The density network."""
    it = _Inputs.make(setting)
    weights = list(cast(Sequence[Tensor], it.model.field.density))
    theirs = it.other.field.density
    with torch.no_grad():
        x = ops.triplane(list(it.model.field.planes), it.points)
    x, y = x.clone().requires_grad_(), x.clone().requires_grad_()
    return _case(
        "network",
        lambda: ops.network(x, weights),
        [x, *weights],
        lambda: theirs(y),
        [y, *theirs.parameters()],
    )


def _proposal_density(setting: Setting) -> Case:
    """The first level: planes, network, exponential."""
    it = _Inputs.make(setting)
    level = cast(ProposalField, it.model.proposal_fields[0])
    theirs, rows = it.other.levels()[0], it.coarse.contiguous()
    return _case(
        "proposal_density",
        lambda: level.density(it.coarse),
        list(level.parameters()),
        lambda: theirs(rows),
        list(theirs.parameters()),
    )


def _volume_weights(setting: Setting) -> Case:
    """Of the first level."""
    level = _Inputs.make(setting).out.proposals[0]
    sigma, delta = level.sigma.clone().requires_grad_(), level.t.diff(dim=-1)
    return _case(
        "volume_weights",
        lambda: ops.volume_weights(sigma, delta)[1],
        [sigma],
        lambda: plain_ops.volume_weights(sigma, delta)[1],
        [sigma],
    )


def _resample(setting: Setting) -> Case:
    """From the first level to the second; no gradient."""
    level, following = _Inputs.make(setting).out.proposals
    shape = following.s.shape
    u = (torch.arange(shape[1]) + torch.rand(shape)) / shape[1]
    bodies = ours(lambda: partial(ops.resample, level.s, level.weights, u))
    bodies["plain"] = Body(partial(plain_ops.resample, level.s, level.weights, u))
    return Case("resample", bodies)


def _distortion_loss(setting: Setting) -> Case:
    """Of the field's histogram."""
    out = _Inputs.make(setting).out
    w = out.weights.clone().requires_grad_()
    return _case(
        "distortion_loss",
        lambda: ops.distortion_loss(out.s, w),
        [w],
        lambda: plain_ops.distortion_loss(out.s, w),
        [w],
    )


def _histogram_loss(setting: Setting) -> Case:
    """Of the second level against the field's histogram."""
    out = _Inputs.make(setting).out
    level = out.proposals[1]
    w = level.weights.clone().requires_grad_()
    return _case(
        "histogram_loss",
        lambda: ops.histogram_loss(out.s, out.weights, level.s, w),
        [w],
        lambda: plain_ops.histogram_loss(out.s, out.weights, level.s, w),
        [w],
    )


def _plane_tv(setting: Setting) -> Case:
    """Of the field's planes."""
    planes = list(setting.copy().field.planes)
    theirs = [p for scale in plain.from_model(setting.model).field.planes() for p in scale]
    return _case(
        "plane_tv",
        lambda: torch.stack([ops.plane_tv(plane) for plane in planes]).sum(),
        planes,
        lambda: plain_ops.plane_tv(theirs),
        theirs,
    )


def _adam_tv(setting: Setting) -> Case:
    """A step on the planes' total variation alone: its gradient, and Adam."""
    train = setting.train

    def make() -> Callable[[], object]:
        model = setting.copy()
        optimizer = make_optimizer(model, eps=train.adam_eps)
        if model.kernel_model() is not None:
            weights = {"plane_tv": train.plane_tv, "proposal_tv": train.proposal_tv}
            adam = KernelAdam(model, optimizer, weights)

            def apply() -> None:
                adam.apply(
                    adam.rates(train.learning_rate, proposals_learn=True), proposals_learn=True
                )
                adam.count(proposals_learn=True)

            return apply

        def losses(_step: int, _part: Part) -> dict[str, Tensor]:
            field, levels = model.plane_tv()
            return {"plane_tv": train.plane_tv * field, "proposal_tv": train.proposal_tv * levels}

        step = autograd_update(losses, optimizer, split(1, 1))
        return lambda: step(0, train.learning_rate)

    other = plain.from_model(setting.model)
    optimizer = plain.make_optimizer(other, train)
    planes = [p for p in other.parameters() if p.dim() == 4]

    def theirs() -> None:
        terms = {"plane_tv": train.plane_tv * plain_ops.plane_tv(planes)}
        plain.update(optimizer, terms, train.learning_rate)

    return Case("adam_tv", {**ours(make), "plain": Body(theirs)})


OPERATIONS: dict[str, Callable[[Setting], Case]] = {
    "triplane": _triplane,
    "network": _network,
    "proposal_density": _proposal_density,
    "volume_weights": _volume_weights,
    "resample": _resample,
    "distortion_loss": _distortion_loss,
    "histogram_loss": _histogram_loss,
    "plane_tv": _plane_tv,
    "adam_tv": _adam_tv,
}
