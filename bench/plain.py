"""The baseline: K-Planes training as a user of the public reference runs it, in plain PyTorch.

Modules with channels-first planes, autograd, `torch.optim.Adam` as it comes. The model, its losses
and its schedule are those of `dac`, so that both compute the same numbers from the same samples;
`corresponding` pairs the parameters. Bounded scenes and the hybrid decoder only.

Notation: R rays, S bins of the final level, P of a proposal level; t metric, s normalised edges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import plain_ops as ops
from dac.cameras import Cameras
from dac.fields.model import Model
from dac.scenes.scene import Scene, Space
from dac.settings import DistillSettings, Mode, ModelSettings, TrainSettings
from dac.training.batches import RayBatch

Jitter = Callable[[int, int, int, torch.device], Tensor]
"""(level, rays, count, device) -> (rays, count) in [0, 1); level 0 and 1 are the proposals'."""

Terms = dict[str, Tensor]


def random_jitter(_level: int, rays: int, count: int, device: torch.device) -> Tensor:
    """Fresh random numbers."""
    return torch.rand(rays, count, device=device)


def no_jitter(_level: int, rays: int, count: int, device: torch.device) -> Tensor:
    """The strata's middles."""
    return torch.full((rays, count), 0.5, device=device)


class Level(NamedTuple):
    """A proposal level: edges (R, P+1) and weights (R, P)."""

    s: Tensor
    weights: Tensor


class Rendering(NamedTuple):
    """As `dac.fields.protocol.Rendering`."""

    rgb: Tensor
    accumulation: Tensor
    depth: Tensor
    s: Tensor
    t: Tensor
    alpha: Tensor
    weights: Tensor
    colours: Tensor
    proposals: list[Level]


def _planes(resolution: int, channels: int, low: float, high: float) -> nn.ParameterList:
    return nn.ParameterList(
        nn.Parameter(torch.empty(1, channels, resolution, resolution).uniform_(low, high))
        for _ in ops.PAIRS
    )


def _network(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after, bias=False), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class DensityField(nn.Module):
    """A proposal level's field."""

    def __init__(self, settings: ModelSettings, level: int) -> None:
        super().__init__()
        resolution, channels = settings.proposal_resolutions[level], settings.proposal_channels
        self.planes = _planes(resolution, channels, 0.1, 0.15)
        self.decoder = _network([channels, settings.hidden, 1])

    def forward(self, points: Tensor) -> Tensor:
        """Points (N, 3) in [-1, 1] -> sigma (N,)."""
        features = ops.interpolate(list(self.planes), points)
        return ops.truncated_exp(self.decoder(features).squeeze(-1) - 1)


class RadianceField(nn.Module):
    """The final field."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            _planes(settings.resolution * scale, settings.channels, 0.1, 0.5)
            for scale in settings.scales
        )
        width, hidden = settings.channels * len(settings.scales), settings.hidden
        self.features = settings.geometry_features
        self.density = _network([width, hidden, 1 + self.features])
        self.colours = _network([16 + self.features, *[hidden] * settings.colour_layers, 3])

    def planes(self) -> list[list[Tensor]]:
        """Per scale its three planes."""
        return [list(cast(nn.ParameterList, scale)) for scale in self.scales]

    def forward(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Points (R, S, 3) in [-1, 1], directions (R, 3) -> sigma (R, S), colours (R, S, 3)."""
        shape = points.shape[:2]
        raw = self.density(ops.triplane(self.planes(), points.view(-1, 3)))
        sigma, features = torch.split(raw, [1, self.features], dim=-1)
        code = ops.spherical_harmonics(directions)[:, None].expand(*shape, 16).reshape(-1, 16)
        colours = torch.sigmoid(self.colours(torch.cat([code, features], dim=-1)))
        return ops.truncated_exp(sigma - 1).view(shape), colours.view(*shape, 3)


class PlainModel(nn.Module):
    """K-Planes with two proposal levels in a box."""

    box: Tensor

    def __init__(self, settings: ModelSettings, space: Space) -> None:
        super().__init__()
        if space.kind != "box" or settings.decoder != "hybrid":
            raise ValueError("the plain model knows boxes and the hybrid decoder")
        self.settings, self.near, self.far = settings, space.near, space.far
        self.register_buffer("box", torch.tensor(space.box))
        self.proposal_fields = nn.ModuleList(DensityField(settings, level) for level in (0, 1))
        self.field = RadianceField(settings)

    def levels(self) -> list[DensityField]:
        """The proposal levels' fields."""
        return cast(list[DensityField], list(self.proposal_fields))

    def near_far(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Where rays (R, 3) enter and leave the box, (R, 1) each."""
        crossings = (self.box[:, None] - origins) / torch.where(directions == 0, 1e-12, directions)
        near = crossings.amin(dim=0).amax(dim=-1, keepdim=True).clamp_min(self.near)
        far = crossings.amax(dim=0).amin(dim=-1, keepdim=True).clamp_max(self.far)
        miss = near >= far
        return near.masked_fill(miss, self.near), far.masked_fill(miss, self.near)

    def _points(self, origins: Tensor, directions: Tensor, t: Tensor) -> Tensor:
        """Bins' middles (R, S, 3) in [-1, 1]."""
        middle = (t[:, 1:] + t[:, :-1]) / 2
        points = origins[:, None] + directions[:, None] * middle[..., None]
        return (points - self.box[0]) * (2 / (self.box[1] - self.box[0])) - 1

    def _edges(
        self, number: int, levels: Sequence[Level], rays: int, anneal: float, jitter: Jitter
    ) -> Tensor:
        """Normalised edges of a level, drawn from the one before it; number 2 is the field."""
        count = (*self.settings.proposal_samples, self.settings.samples)[number]
        u = jitter(number, rays, count + 1, self.box.device)
        strata = torch.arange(count + 1, device=self.box.device)
        if not levels:
            return ((strata + u - 0.5) / count).clamp(0, 1)
        weights = levels[-1].weights.detach() ** anneal
        return ops.resample(levels[-1].s, weights, (strata + u) / (count + 1))

    def propose(
        self, origins: Tensor, directions: Tensor, anneal: float, jitter: Jitter
    ) -> list[Level]:
        """The proposal levels, coarse to fine."""
        near, far = self.near_far(origins, directions)
        levels: list[Level] = []
        for number, field in enumerate(self.levels()):
            s = self._edges(number, levels, len(origins), anneal, jitter)
            t = near + s * (far - near)
            sigma = field(self._points(origins, directions, t).view(-1, 3))
            sigma = sigma.view(len(origins), -1)
            levels.append(Level(s, ops.volume_weights(sigma, t[:, 1:] - t[:, :-1])[1]))
        return levels

    def query(
        self, origins: Tensor, directions: Tensor, t: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """alpha (R, S), weights (R, S), colours (R, S, 3) of given bins."""
        sigma, colours = self.field(self._points(origins, directions, t), directions)
        return *ops.volume_weights(sigma, t[:, 1:] - t[:, :-1]), colours

    def render(
        self,
        origins: Tensor,
        directions: Tensor,
        *,
        anneal: float = 1.0,
        learn: bool = True,
        jitter: Jitter = no_jitter,
    ) -> Rendering:
        """Rays (R, 3) through proposals and field."""
        with torch.set_grad_enabled(learn and torch.is_grad_enabled()):
            levels = self.propose(origins, directions, anneal, jitter)
        near, far = self.near_far(origins, directions)
        s = self._edges(len(levels), levels, len(origins), anneal, jitter)
        t = near + s * (far - near)
        alpha, weights, colours = self.query(origins, directions, t)
        accumulation = weights.sum(dim=-1)
        middle = (t[:, 1:] + t[:, :-1]) / 2
        depth = (weights * middle).sum(dim=-1) / accumulation.clamp_min(1e-10)
        rgb = (weights[..., None] * colours).sum(dim=-2)
        return Rendering(rgb, accumulation, depth, s, t, alpha, weights, colours, levels)


def corresponding(plain: PlainModel, model: Model) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Each parameter of `dac`'s model with the plain ones that hold the same numbers.

    A (3, H, W, C) tensor goes with three of (1, C, H, W), a weight with one of its own shape.
    """
    mine: list[list[Tensor]] = []
    for level in plain.levels():
        mine.append(list(level.planes))
        mine += [[weight] for weight in level.decoder.parameters()]
    mine += plain.field.planes()
    mine += [[w] for w in (*plain.field.density.parameters(), *plain.field.colours.parameters())]
    yield from zip(model.parameters(), mine, strict=True)


@torch.no_grad()
def from_model(model: Model) -> PlainModel:
    """A plain model with a copy of the weights."""
    plain = PlainModel(model.settings, model.space).to(next(model.parameters()).device)
    for theirs, mine in corresponding(plain, model):
        if len(mine) == 1:
            mine[0].copy_(theirs)
        else:
            for plane, values in zip(mine, theirs, strict=True):
                plane.copy_(values.permute(2, 0, 1)[None])
    return plain


class RayTable:
    """All training rays of a scene in memory, and their colours: the reference's data loader."""

    def __init__(self, scene: Scene) -> None:
        origins, directions, rgba = [], [], []
        for view in scene.train:
            o, d = camera_rays(scene.cameras, view)
            origins.append(o)
            directions.append(d)
            rgba.append(torch.from_numpy(scene.images[view]).view(-1, 4).float() / 255)
        self.origins, self.directions = torch.cat(origins), torch.cat(directions)
        self.rgba = torch.cat(rgba)

    def draw(self, rays: int) -> RayBatch:
        """Random rays over a random background."""
        index = torch.randint(len(self.origins), (rays,))
        background = torch.rand(3)
        rgba = self.rgba[index]
        rgb = rgba[:, :3] * rgba[:, 3:] + background * (1 - rgba[:, 3:])
        return RayBatch(index, self.origins[index], self.directions[index], rgb, background)


def make_optimizer(model: PlainModel, train: TrainSettings) -> torch.optim.Adam:
    """Adam as it comes."""
    return torch.optim.Adam(model.parameters(), lr=train.learning_rate, eps=train.adam_eps)


def update(optimizer: torch.optim.Optimizer, terms: Terms, rate: float) -> None:
    """One step on the terms' sum."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    torch.stack(list(terms.values())).sum().backward()
    optimizer.step()


def _regularisers(
    model: PlainModel,
    train: TrainSettings,
    s: Tensor,
    weights: Tensor,
    levels: Sequence[Level],
    learn: bool,
) -> Terms:
    field = [plane for scale in model.field.planes() for plane in scale]
    terms = {
        "distortion": train.distortion * ops.distortion_loss(s, weights),
        "plane_tv": train.plane_tv * ops.plane_tv(field),
    }
    if learn:
        bounds = [ops.histogram_loss(s, weights, *level) for level in levels]
        planes = [plane for level in model.levels() for plane in level.planes]
        terms["interlevel"] = train.interlevel * torch.stack(bounds).sum()
        terms["proposal_tv"] = train.proposal_tv * ops.plane_tv(planes)
    return terms


def train_terms(
    model: PlainModel,
    batch: RayBatch,
    train: TrainSettings,
    *,
    anneal: float,
    learn: bool,
    jitter: Jitter = random_jitter,
) -> Terms:
    """The weighted losses of a training step; `learn`: the proposals' too."""
    out = model.render(batch.origins, batch.directions, anneal=anneal, learn=learn, jitter=jitter)
    rgb = out.rgb + (1 - out.accumulation)[:, None] * batch.background
    photometric = (rgb - batch.rgb).square().mean()
    others = _regularisers(model, train, out.s, out.weights, out.proposals, learn)
    return {"photometric": photometric, **others}


def distill_terms(
    student: PlainModel,
    teachers: Sequence[PlainModel],
    origins: Tensor,
    directions: Tensor,
    counts: Sequence[int],
    background: Tensor,
    train: TrainSettings,
    settings: DistillSettings,
    *,
    mode: Mode,
    anneal: float,
    jitter: Jitter = random_jitter,
    teacher_jitter: Sequence[Jitter] | None = None,
) -> Terms:
    """The weighted losses of a distillation step; rays are ordered by teacher."""
    parts = zip(
        teachers,
        torch.split(origins, list(counts)),
        torch.split(directions, list(counts)),
        teacher_jitter or [random_jitter] * len(teachers),
        strict=True,
    )
    with torch.no_grad():
        said = [
            teacher.render(o, d, jitter=source) for teacher, o, d, source in parts if len(o) > 0
        ]
    s, t, t_alpha, t_weights, t_colours, t_rgb, t_accumulation = (
        torch.cat([getattr(part, name) for part in said])
        for name in ("s", "t", "alpha", "weights", "colours", "rgb", "accumulation")
    )
    alpha, weights, colours = student.query(origins, directions, t)
    levels = student.propose(origins, directions, anneal, jitter)
    accumulation = weights.sum(dim=-1)
    rgb = (weights[..., None] * colours).sum(dim=-2) + (1 - accumulation)[:, None] * background
    t_rgb = t_rgb + (1 - t_accumulation)[:, None] * background
    each = (colours - t_colours).square().mean(dim=-1)
    paper = mode == "paper"
    mass = t_alpha if paper else t_weights
    values = {
        "alpha": (alpha - t_alpha).square().mean(),
        "colour": each.mean() if paper else (t_weights * each).sum(dim=-1).mean(),
        "histogram": torch.stack([ops.histogram_loss(s, mass, *level) for level in levels]).sum(),
        "rendered": (rgb - t_rgb).square().mean(),
    }
    if not paper:
        values["accumulation"] = (accumulation - t_accumulation).square().mean()
    factors = settings.paper if paper else settings.corrected
    return {
        **{name: getattr(factors, name) * value for name, value in values.items()},
        **_regularisers(student, train, s, weights, levels, learn=True),
    }


def camera_rays(cameras: Cameras, view: int) -> tuple[Tensor, Tensor]:
    """Origins and unit directions (H W, 3) of a pinhole camera's pixels."""
    fx, fy, cx, cy = cameras.intrinsics[view].float().unbind()
    pose = cameras.world_from_camera[view].float()
    row, column = torch.meshgrid(
        torch.arange(cameras.height) + 0.5, torch.arange(cameras.width) + 0.5, indexing="ij"
    )
    local = torch.stack([(column - cx) / fx, (row - cy) / fy, torch.ones_like(row)], dim=-1)
    directions = functional.normalize(local.view(-1, 3) @ pose[:, :3].T, dim=-1)
    return pose[:, 3].expand_as(directions), directions


@torch.no_grad()
def render_view(
    model: PlainModel, cameras: Cameras, view: int, background: Tensor, chunk_rays: int
) -> tuple[Tensor, Tensor]:
    """A view over a background (H, W, 3) and its depth (H, W), in chunks."""
    origins, directions = camera_rays(cameras, view)
    rgb, depth = [], []
    for o, d in zip(*(torch.split(x, chunk_rays) for x in (origins, directions)), strict=True):
        out = model.render(o.to(background), d.to(background))
        rgb.append(out.rgb + (1 - out.accumulation)[:, None] * background)
        depth.append(out.depth)
    size = (cameras.height, cameras.width)
    return torch.cat(rgb).view(*size, 3), torch.cat(depth).view(size)
