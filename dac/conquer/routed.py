"""The routed model: K experts that stay, and a router. It is rendered as one model is.

Away from borders a picture takes one expert's time, near one that of two, which are blended (see
`dac.divide.router`). Of a place there is one more expert, the last: the generalist.

Its folder is a model's: `model.safetensors` holds all experts' weights (`experts.{k}.*`), packed
(see `packing`), and what the router knows (`router.*`); `model.json` says the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dac.conquer.packing import pack, unpack
from dac.divide.router import Router
from dac.errors import UserError
from dac.fields.model import Model, build_model, described, load_model
from dac.fields.protocol import Rays
from dac.ops.rays import Rendered
from dac.scenes.scene import Space
from dac.settings import ModelSettings
from dac.storage.artifacts import read_json, write_json

_AGAIN = "delete the folder and run its rule again"


class RoutedModel:
    """Experts of the same settings and space, and who shows what.

    Args:
        experts: as many as the router chooses from, on one device.
        router: theirs.
    """

    def __init__(self, experts: Sequence[Model], router: Router) -> None:
        if len(experts) != router.models:
            raise ValueError(f"{len(experts)} experts, but {router.models} in the router")
        self.experts = tuple(experts)
        self.router = router

    @property
    def settings(self) -> ModelSettings:
        """Of each expert."""
        return self.experts[0].settings

    @property
    def space(self) -> Space:
        """That all live in."""
        return self.experts[0].space

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self.experts[0].device

    def parameters(self) -> list[Tensor]:
        """Of all experts."""
        return [value for expert in self.experts for value in expert.parameters()]

    def at(self, pose: Tensor) -> Model | Blend:
        """What shows a camera's picture: one expert, or a blend.

        Args:
            pose: (3, 4) camera-to-world.
        """
        shares = self.router.weights(pose.detach().cpu().numpy())
        used = [(float(share), k) for k, share in enumerate(shares) if share > 0]
        if len(used) == 1:
            return self.experts[used[0][1]]
        return Blend([self.experts[k] for _, k in used], [share for share, _ in used])

    def query_points(
        self, points: Tensor, directions: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """As of `Model`, by all experts.

        Light's free path there, 1 / sigma, is the mean of theirs: what is free space for one is
        free, since an expert imagines things where none of its views looked. On Lego's meshes that
        is as good as asking those alone whose side a point is on, and the plain mean of the
        densities is worse. Colours are the experts' mean.
        """
        every = [expert.query_points(points, directions) for expert in self.experts]
        sigma = 1 / torch.stack([1 / sigma for sigma, _ in every]).mean(dim=0)
        colours = [colour for _, colour in every if colour is not None]
        return sigma, torch.stack(colours).mean(dim=0) if colours else None


class Blend:
    """Several experts' pictures of the same rays, averaged.

    Args:
        experts: of one space.
        shares: of each, whose sum is 1.
    """

    def __init__(self, experts: Sequence[Model], shares: Sequence[float]) -> None:
        self.experts, self.shares = tuple(experts), tuple(shares)

    def make_rays(self, origins: Tensor, directions: Tensor) -> Rays:
        """As of `Model`."""
        return self.experts[0].make_rays(origins, directions)

    def picture(self, rays: Rays) -> Rendered:
        """As of `Model`; the depth is the experts' mean, by how opaque they are."""
        rgb, nothing = torch.zeros_like(rays.origins), torch.zeros_like(rays.near)
        depth, accumulation = nothing, nothing
        for expert, share in zip(self.experts, self.shares, strict=True):
            seen = expert.picture(rays)
            rgb = rgb + share * seen.rgb
            accumulation = accumulation + share * seen.accumulation
            depth = depth + share * seen.accumulation * seen.depth
        tiny = torch.finfo(depth.dtype).tiny
        return Rendered(rgb, depth / accumulation.clamp_min(tiny), accumulation)


AnyModel = Model | RoutedModel


def save_routed(
    model: RoutedModel, folder: Path, size: float | None, extra: dict[str, Any]
) -> None:
    """Write model.safetensors and model.json into an existing folder.

    Args:
        size: bytes at most; see `packing.pack`.
        extra: as of `dac.fields.model.save_model`.

    Raises:
        UserError: as of `packing.pack`.
    """
    save_file(routed_tensors(model, size), folder / "model.safetensors")
    about = {
        "settings": model.settings.model_dump(mode="json"),
        "space": asdict(model.space),
        "router": router_facts(model.router),
        "packed": size is not None,
    }
    write_json(folder / "model.json", {**extra, **about})


def routed_tensors(model: RoutedModel, size: float | None) -> dict[str, Tensor]:
    """All that a file holds of a routed model; arguments and errors as of `save_routed`."""
    tensors = pack([expert.state_dict() for expert in model.experts], size)
    tensors["router.poses"] = torch.from_numpy(model.router.poses)
    tensors["router.owner"] = torch.from_numpy(model.router.owner)
    return tensors


def router_facts(router: Router) -> dict[str, Any]:
    """What of a router is no array."""
    generalist = None if router.generalist is None else router.generalist.tolist()
    facts = {"by": router.by, "count": router.count, "blend": router.blend}
    return facts | {"generalist": generalist}


def routed_of(
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    settings: ModelSettings,
    where: Space,
    device: str | torch.device = "cpu",
) -> RoutedModel:
    """The model of what `routed_tensors` and `router_facts` gave.

    Args:
        settings, where: of each expert.

    Raises:
        KeyError, TypeError, ValueError, RuntimeError: they are damaged, or of another model.
    """
    poses, owner = (tensors[f"router.{name}"].numpy() for name in ("poses", "owner"))
    of = facts.get("generalist")
    generalist = None if of is None else np.array(of, np.float64)
    router = Router(**{**facts, "generalist": generalist}, poses=poses, owner=owner)
    shapes = expert_shapes(settings, where)
    experts = []
    for state in unpack(tensors, shapes, router.models):
        expert = build_model(settings, where, seed=0)
        expert.load_state_dict(state)
        experts.append(expert.to(device))
    return RoutedModel(experts, router)


def expert_shapes(settings: ModelSettings, where: Space) -> dict[str, tuple[int, ...]]:
    """Of a model's tensors, by name, without taking their memory.

    Raises:
        RuntimeError, OverflowError: no memory could hold them.
    """
    with torch.device("meta"):
        return {name: tuple(v.shape) for name, v in Model(settings, where).state_dict().items()}


def load(folder: Path, device: str | torch.device = "cpu") -> AnyModel:
    """Read a model's folder, whichever kind it is of.

    Raises:
        UserError: as of `dac.fields.model.load_model`.
    """
    about = read_json(folder / "model.json")
    if "router" not in about:
        return load_model(folder, device)
    settings, where = described(about, folder / "model.json")
    source = folder / "model.safetensors"
    try:
        return routed_of(load_file(source), about["router"], settings, where, device)
    except FileNotFoundError:
        raise UserError(source, "no such file", _AGAIN) from None
    except (SafetensorError, RuntimeError, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(source, f"is damaged or of another model ({error})", _AGAIN) from None
