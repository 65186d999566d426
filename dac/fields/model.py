"""A renderable model: a field, its proposal levels, and the space they live in.

Notation: R rays, S bins of the final level; t metric edges, s normalised edges (see `sampling`).
The caller splits large sets of rays into chunks.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dac import ops
from dac.errors import UserError
from dac.fields import sampling, space, whole_rays
from dac.fields.kplanes import ExplicitField, HybridField, ProposalField
from dac.fields.protocol import Histogram, Rays, Rendering
from dac.ops import memory
from dac.ops.rays import KernelModel, Rendered, Sampled, query_points, render_rays, sample_rays
from dac.scenes.scene import Space
from dac.settings import ModelSettings, validate
from dac.storage.artifacts import read_json, write_json

_AGAIN = "delete the folder and run its rule again"


class Model(nn.Module):
    """K-Planes with two proposal levels. `build_model` makes one from a seed."""

    def __init__(self, settings: ModelSettings, where: Space) -> None:
        super().__init__()
        self.settings = settings
        self.space = where
        levels = range(len(settings.proposal_resolutions))
        self.proposal_fields = nn.ModuleList(ProposalField(settings, level) for level in levels)
        hybrid = settings.decoder == "hybrid"
        self.field = HybridField(settings) if hybrid else ExplicitField(settings)
        self.shape = whole_rays.model_shape(settings, where)

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return next(self.parameters()).device

    def make_rays(self, origins: Tensor, directions: Tensor) -> Rays:
        """Rays (R, 3), (R, 3; unit) with near and far clipped to the space."""
        return Rays(origins, directions, *space.clip(self.space, origins, directions))

    def _points(self, rays: Rays, t: Tensor) -> Tensor:
        """The bins' midpoints (R*S, 3) in the planes' coordinates; no gradient reaches t."""
        middle = (t[:, 1:] + t[:, :-1]).detach() / 2
        # Coordinate by coordinate in memory: a loop over three is slow, and so is the lookup of it.
        origins, directions = (v.T.contiguous() for v in (rays.origins, rays.directions))
        points = torch.addcmul(origins[..., None], middle, directions[..., None]).view(3, -1).T
        return space.cube_from_world(self.space, points)

    def proposals(
        self, rays: Rays, *, key: int | None = None, first_ray: int = 0, anneal: float = 1.0
    ) -> tuple[Histogram, ...]:
        """The proposal levels, coarse to fine, with gradient into their fields.

        Args:
            key: jitters the edges (see `ops.jitter`); None places them evenly.
            first_ray: the number of the first in the batch that the key is for.
            anneal: exponent of the weights that the next level is drawn from.
        """
        kind = self.space.kind
        levels: list[Histogram] = []
        fields = cast(list[ProposalField], list(self.proposal_fields))
        for field, samples in zip(fields, self.settings.proposal_samples, strict=True):
            if levels:
                last, level = levels[-1], len(levels)
                s = sampling.next_edges(
                    last.s, last.weights, samples, anneal, key, level, first_ray
                )
            else:
                s = sampling.first_edges(len(rays), samples, rays.near, key, first_ray)
            t = sampling.t_from_s(kind, s, rays.near, rays.far)
            sigma = field.density(self._points(rays, t)).view(len(rays), samples)
            _, weights = ops.volume_weights(sigma, t.diff(dim=-1))
            levels.append(Histogram(s, t, sigma, weights))
        return tuple(levels)

    def query(self, rays: Rays, t: Tensor) -> tuple[Tensor, Tensor]:
        """The field at the midpoints of somebody else's bins.

        Args:
            t: (R, S+1) metric edges.

        Returns:
            sigma (R, S), colours (R, S, 3).
        """
        shape = (len(rays), t.shape[1] - 1)
        sigma, features = self.field.geometry(self._points(rays, t))
        colours = self.field.colour(features, self.field.direction_code(rays.directions))
        return sigma.view(shape), colours.view(*shape, 3)

    def render(
        self,
        rays: Rays,
        *,
        key: int | None = None,
        first_ray: int = 0,
        anneal: float = 1.0,
        proposal_grad: bool = True,
    ) -> Rendering:
        """Render rays through proposals, resampling and the field.

        Args:
            key: jitters the samples at every level (see `ops.jitter`); None is deterministic.
                Independent of `train()` and `eval()`.
            first_ray: the number of the first in the batch that the key is for.
            anneal: exponent of the proposals' weights before resampling.
            proposal_grad: False computes the proposals without gradient.
        """
        with torch.set_grad_enabled(proposal_grad and torch.is_grad_enabled()):
            proposals = self.proposals(rays, key=key, first_ray=first_ray, anneal=anneal)
        last, level = proposals[-1], len(proposals)
        samples = self.settings.samples
        s = sampling.next_edges(last.s, last.weights, samples, anneal, key, level, first_ray)
        t = sampling.t_from_s(self.space.kind, s, rays.near, rays.far)
        sigma, colours = self.query(rays, t)
        alpha, weights = ops.volume_weights(sigma, t.diff(dim=-1))
        accumulation = weights.sum(dim=-1)
        middle = (t[:, 1:] + t[:, :-1]) / 2
        tiny = torch.finfo(weights.dtype).tiny
        return Rendering(
            rgb=ops.composite(weights, colours),
            accumulation=accumulation,
            depth=(weights * middle).sum(dim=-1) / accumulation.clamp_min(tiny),
            s=s,
            t=t,
            sigma=sigma,
            alpha=alpha,
            weights=weights,
            colours=colours,
            proposals=proposals,
        )

    def kernel_model(self) -> KernelModel | None:
        """The model as the whole-ray kernels take it; None where they don't run it as it is.

        Raises:
            UserError: the native backend is asked for and can't be had.
        """
        parameters = [parameter.detach() for parameter in self.parameters()]
        if not whole_rays.served(self.settings, parameters[0]):
            return None
        return KernelModel(parameters, self.shape)

    def at(self, pose: Tensor) -> Model:
        """What shows the picture of a camera (3, 4): it does, wherever that is."""
        return self

    @torch.no_grad()
    def picture(self, rays: Rays) -> Rendered:
        """What rays show, without background, gradient or jitter."""
        model = self.kernel_model()
        if model is not None:
            packed = rays.packed()
            return render_rays(model, packed, None, packed.new_ones(1))
        seen = self.render(rays)
        return Rendered(seen.rgb, seen.depth, seen.accumulation)

    @torch.no_grad()
    def sample(
        self, rays: Rays, *, key: int | None = None, first_ray: int = 0
    ) -> tuple[Rendered, Sampled]:
        """What rays show, without background, and the field's samples; without gradient.

        Args:
            key, first_ray: as of `render`.
        """
        model = self.kernel_model()
        if model is not None:
            packed = rays.packed()
            jitter = None if key is None else torch.tensor([key], device=packed.device)
            return sample_rays(model, packed, jitter, packed.new_ones(1), first_ray)
        seen = self.render(rays, key=key, first_ray=first_ray)
        return (
            Rendered(seen.rgb, seen.depth, seen.accumulation),
            Sampled(seen.s, seen.t, seen.alpha, seen.weights, seen.colours),
        )

    @torch.no_grad()
    def query_points(
        self, points: Tensor, directions: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The field at given points, without gradient.

        Args:
            points: (N, 3) world.
            directions: (R, 3) unit, each for N / R points that follow one another; None asks for no
                colours.

        Returns:
            sigma (N,), and colours (N, 3) or None.
        """
        model = self.kernel_model()
        if model is not None:
            return query_points(model, points, directions)
        sigma, features = self.field.geometry(space.cube_from_world(self.space, points))
        if directions is None:
            return sigma, None
        return sigma, self.field.colour(features, self.field.direction_code(directions))

    def plane_tv(self) -> tuple[Tensor, Tensor]:
        """Total variation of the field's planes and of the proposals', each summed over planes."""
        field = torch.stack([ops.plane_tv(plane) for plane in self.field.planes]).sum()
        fields = cast(list[ProposalField], list(self.proposal_fields))
        planes = [plane for level in fields for plane in level.planes]
        return field, torch.stack([ops.plane_tv(plane) for plane in planes]).sum()


def default_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def build_model(settings: ModelSettings, where: Space, seed: int) -> Model:
    """A new model on the CPU; the same seed gives the same weights, global state is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Model(settings, where)
    memory.gather_parameters(model)
    return model


def save_model(model: Model, folder: Path, extra: dict[str, Any]) -> None:
    """Write model.safetensors and model.json into an existing folder.

    Args:
        folder: usually the temporary one of `artifacts.new_folder`.
        extra: more keys for model.json, such as seed, steps, seconds, device.
    """
    tensors = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    description = {
        "settings": model.settings.model_dump(mode="json"),
        "space": asdict(model.space),
    }
    write_json(folder / "model.json", {**extra, **description})


def load_model(folder: Path, device: str | torch.device = "cpu") -> Model:
    """Read what `save_model` wrote, bit for bit.

    Raises:
        UserError: a file is missing, damaged, or the two disagree.
    """
    source = folder / "model.safetensors"
    settings, where = described(read_json(folder / "model.json"), folder / "model.json")
    model = build_model(settings, where, seed=0)
    try:
        model.load_state_dict(load_file(source))
    except FileNotFoundError:
        raise UserError(source, "no such file", _AGAIN) from None
    except (SafetensorError, RuntimeError, OSError) as error:
        raise UserError(source, f"is damaged or of another model ({error})", _AGAIN) from None
    return model.to(device)


def described(data: dict[str, Any], source: Path) -> tuple[ModelSettings, Space]:
    """The settings and the space of a model, from its record.

    Args:
        data: what model.json says.
        source: that file, for the message.

    Raises:
        UserError: it describes no model.
    """
    try:
        bounds = data["space"]
        (x0, y0, z0), (x1, y1, z1) = (map(float, corner) for corner in bounds["box"])
        if bounds["kind"] not in ("box", "contraction"):
            raise ValueError(f"unknown space {bounds['kind']!r}")
        box = ((x0, y0, z0), (x1, y1, z1))
        where = Space(bounds["kind"], box, float(bounds["near"]), float(bounds["far"]))
        return validate(ModelSettings, data["settings"], str(source)), where
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(source, f"describes no model ({error!r})", _AGAIN) from None
