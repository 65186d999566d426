"""Models, rays and lessons for the whole-ray kernels, and what plain torch makes of them.

The twin is the model in float64 on the CPU, operation by operation; kernels compute in float32, or
with sixteen-bit operands. Rays number 21, the last of which misses the box.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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
from dac.fields.protocol import Rays, Rendering, over
from dac.fields.whole_rays import model_shape
from dac.ops.backend import using
from dac.ops.rays import DistillWeights, KernelModel, Lesson, StepRays, TrainWeights
from dac.scenes.scene import Space
from dac.settings import ModelSettings
from dac.training.losses import interlevel_loss

BOX = Space("box", ((-1.0, -1.2, -1.0), (1.0, 1.0, 0.8)), 0.5, 6.0)
OPEN = Space("contraction", BOX.box, 0.05, 1000.0)
BACKGROUND = torch.tensor([0.2, 0.5, 0.9])
TRAIN_WEIGHTS = TrainWeights(1.0, 0.05, 0.8)
DISTILL_WEIGHTS = DistillWeights(0.5, 2.0, 0.3, 1.5, 0.1, 0.02, 0.7)


class Kind(NamedTuple):
    """A shape of model. `precise`: no tensor cores take it, or float32 is asked for."""

    settings: ModelSettings
    space: Space
    float32: bool = False
    precise: bool = False


def small_settings(**changes: Any) -> ModelSettings:
    values: dict[str, Any] = {
        "resolution": 9, "scales": (1, 2), "channels": 8, "proposal_resolutions": (7, 12),
        "proposal_samples": (40, 36), "samples": 20, "hidden": 32, "colour_layers": 1, **changes,
    }  # fmt: skip
    return ModelSettings(**values)


_WIDE: dict[str, Any] = {"hidden": 64, "channels": 32}
_ODD: dict[str, Any] = {
    "hidden": 20, "colour_layers": 3, "channels": 6, "proposal_channels": 3,
    "geometry_features": 7, "samples": 33, "proposal_samples": (64, 31),
}  # fmt: skip
KINDS = {
    "small": Kind(small_settings(), BOX),
    "open": Kind(small_settings(), OPEN),
    "wide": Kind(
        small_settings(**_WIDE, colour_layers=2, proposal_channels=16, scales=(1, 2, 3)), BOX
    ),
    "widest": Kind(small_settings(**_WIDE, scales=(1, 2, 3, 4)), BOX),
    "float32": Kind(small_settings(), OPEN, float32=True, precise=True),
    "odd": Kind(small_settings(**_ODD), BOX, precise=True),
}


class Subject:
    """A model with rays.

    Attributes:
        model: in float64.
        parameters: the same in float32.
        rays: in float64; `flat` (R, 8) the same in float32.

    Args:
        name: of `KINDS`; or a kind.
        key: None places the samples evenly.
    """

    def __init__(self, name: str | Kind, *, key: int | None = 5, anneal: float = 0.7) -> None:
        self.kind = KINDS[name] if isinstance(name, str) else name
        self.key, self.anneal = key, anneal
        self.settings, where = self.kind.settings, self.kind.space
        self.model = build_model(self.settings, where, 3)
        self.shape = model_shape(self.settings, where)
        g = torch.Generator().manual_seed(4)
        with torch.no_grad():
            for parameter_name, parameter in self.model.named_parameters():
                # Planes are of both signs, and weights larger than new ones: densities vary.
                scale = 0.4 if "planes" in parameter_name else 0.15
                parameter += scale * torch.randn(parameter.shape, generator=g)
                if not self.kind.precise:  # both sides see numbers that halves can hold
                    parameter.copy_(parameter.half().float())
        self.parameters = [p.detach().clone() for p in self.model.parameters()]
        self.kernel_model = KernelModel(self.parameters, self.shape)
        origins = torch.nn.functional.normalize(torch.randn(21, 3, generator=g), dim=-1) * 3
        targets = torch.rand(21, 3, generator=g) * 2 - 1
        targets[-1] = 40
        directions = torch.nn.functional.normalize(targets - origins, dim=-1)
        single = self.model.make_rays(origins, directions)
        self.flat = single.packed()
        self.rays = Rays(*(x.double() for x in (origins, directions, single.near, single.far)))
        self.target = torch.rand(21, 3, generator=g)
        self.model.double()

    def step_rays(self) -> StepRays:
        """The rays as a step's, in float32."""
        assert self.key is not None
        key, anneal = torch.tensor([self.key]), torch.tensor([self.anneal])
        return StepRays(self.flat, BACKGROUND, key, anneal)

    def gradients(self) -> Tensor:
        """A flat buffer of zeros."""
        return torch.zeros(1, sum(-(-p.numel() // 16) * 16 for p in self.parameters))

    def split(self, flat: Tensor) -> dict[str, Tensor]:
        """The flat gradient by parameter."""
        parts, start = {}, 0
        for name, parameter in self.model.named_parameters():
            parts[name] = flat.view(-1)[start : start + parameter.numel()].view(parameter.shape)
            start += -(-parameter.numel() // 16) * 16
        return parts

    def close(self, what: str, got: Tensor, expected: Tensor, slack: float = 1) -> None:
        """By ||got - expected|| / ||expected||: float32 arithmetic, or sixteen-bit operands."""
        assert got.isfinite().all(), what
        bound = slack * (1e-4 if self.kind.precise else 2e-2)
        error = (got.cpu().double() - expected).norm() / expected.norm().clamp_min(1e-30)
        assert error < bound, f"{what}: {error:.2e}"

    def close_gradients(self, flat: Tensor, terms: list[Tensor], slack: float = 2) -> None:
        """The flat gradient against that of the terms' sum."""
        named = dict(self.model.named_parameters())
        total = torch.stack(terms).sum()
        slopes = torch.autograd.grad(total, list(named.values()), allow_unused=True)
        for (name, got), slope in zip(self.split(flat.cpu()).items(), slopes, strict=True):
            if slope is None or not slope.any():
                assert (got == 0).all(), name
                continue
            norms = got.double().norm() * slope.norm()
            cosine = torch.dot(got.flatten().double(), slope.flatten()) / norms
            assert cosine > (0.999999 if self.kind.precise else 0.999), f"{name}: {cosine:.7f}"
            self.close(name, got, slope, slack)

    def points(self, count: int, rays: int | None) -> tuple[Tensor, Tensor | None]:
        """Points inside and outside of the box, and directions for `rays` groups of them."""
        g = torch.Generator().manual_seed(6)
        points = torch.rand(count, 3, generator=g) * 3 - 1.5
        if rays is None:
            return points, None
        return points, torch.nn.functional.normalize(torch.randn(rays, 3, generator=g), dim=-1)

    def close_query(
        self, points: Tensor, directions: Tensor | None, sigma: Tensor, colours: Tensor | None
    ) -> None:
        """The field at points against plain torch."""
        wide = None if directions is None else directions.double()
        with using("reference"):
            twin = self.model.query_points(points.double(), wide)
        self.close("sigma", sigma, twin[0])
        assert (colours is None) == (twin[1] is None)
        if colours is not None and twin[1] is not None:
            self.close("colours", colours, twin[1])

    # ---- The twin ----

    @torch.no_grad()
    def rendering(self) -> Rendering:
        """What plain torch renders."""
        with using("reference"):
            return self.model.render(self.rays, key=self.key, anneal=self.anneal)

    def train_terms(self, learn: bool) -> list[Tensor]:
        """Photometric, distortion and, where proposals learn, interlevel; weighted."""
        with using("reference"):
            seen = self.model.render(
                self.rays, key=self.key, anneal=self.anneal, proposal_grad=learn
            )
            rgb = over(seen, BACKGROUND.double())
            terms = [
                (rgb - self.target).square().mean(),
                ops.distortion_loss(seen.s, seen.weights),
            ]
            if learn:
                terms.append(interlevel_loss(seen.s, seen.weights, seen.proposals))
        return [weight * term for weight, term in zip(TRAIN_WEIGHTS, terms, strict=False)]

    def lesson(self) -> Lesson:
        """Another model's, in float32."""
        expert = build_model(self.settings, self.kind.space, 8).double()
        with torch.no_grad(), using("reference"):
            said = expert.render(self.rays, key=9)
        return Lesson(*(getattr(said, field).float() for field in Lesson._fields))

    def distill_terms(self, lesson: Lesson, paper: bool) -> list[Tensor]:
        """In the order of `DistillWeights`, weighted."""
        s, t, alpha, weights, colours, rgb, accumulation = (x.double() for x in lesson)
        background = BACKGROUND.double()
        with using("reference"):
            sigma, c = self.model.query(self.rays, t)
            a, w = ops.volume_weights(sigma, t.diff(dim=-1))
            proposals = self.model.proposals(self.rays, key=self.key, anneal=self.anneal)
            acc, shown = w.sum(-1), ops.composite(w, c)
            terms = [
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
        return [weight * term for weight, term in zip(DISTILL_WEIGHTS, terms, strict=True)]
