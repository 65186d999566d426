"""The model as a whole: rendering, sampling modes, seeds."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from dac import ops
from dac.fields.model import Model, build_model
from dac.fields.protocol import Rays, Rendering, over
from dac.scenes.scene import Space
from dac.settings import ModelSettings

BOX = Space("box", ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)), 0.5, 6.0)
OPEN = Space("contraction", BOX.box, 0.05, 1000.0)
CASES = [(decoder, where) for decoder in ("hybrid", "explicit") for where in (BOX, OPEN)]


def small(decoder: str = "hybrid", where: Space = BOX, seed: int = 0) -> Model:
    settings = ModelSettings(
        decoder=decoder,  # type: ignore[arg-type]
        resolution=6,
        scales=(1, 2),
        channels=4,
        proposal_resolutions=(5, 8),
        proposal_channels=3,
        proposal_samples=(16, 12),
        samples=8,
        hidden=8,
        explicit_layers=1,
        explicit_hidden=8,
    )
    return build_model(settings, where, seed)


def some_rays(model: Model, count: int = 40, dtype: torch.dtype = torch.float32) -> Rays:
    g = torch.Generator().manual_seed(1)
    origins = torch.nn.functional.normalize(torch.randn(count, 3, generator=g), dim=-1) * 3
    targets = torch.rand(count, 3, generator=g) * 2 - 1
    directions = torch.nn.functional.normalize(targets - origins, dim=-1)
    return model.make_rays(origins.to(dtype), directions.to(dtype))


def tensors(rendering: Rendering) -> list[torch.Tensor]:
    flat = [getattr(rendering, f.name) for f in dataclasses.fields(rendering)][:-1]
    return flat + [v for level in rendering.proposals for v in vars(level).values()]


@pytest.mark.parametrize(("decoder", "where"), CASES)
def test_shapes_and_identities(decoder: str, where: Space) -> None:
    model = small(decoder, where)
    rays = some_rays(model)
    out = model.render(rays, key=0)
    assert [level.sigma.shape for level in out.proposals] == [(40, 16), (40, 12)]
    assert out.s.shape == out.t.shape == (40, 9) and out.colours.shape == (40, 8, 3)
    torch.testing.assert_close(out.accumulation, out.weights.sum(-1))
    torch.testing.assert_close(out.weights, ops.weights_from_alpha(out.alpha))
    torch.testing.assert_close(out.alpha, ops.alpha_from_sigma(out.sigma, out.t.diff()))
    torch.testing.assert_close(out.rgb, (out.weights[..., None] * out.colours).sum(1))
    assert (out.t[:, 0] <= out.depth).all() and (out.depth <= out.t[:, -1]).all()
    assert ((out.colours >= 0) & (out.colours <= 1)).all()
    for edges in (out, *out.proposals):
        assert (edges.t.diff() >= 0).all()
        assert (edges.t >= rays.near[:, None]).all() and (edges.t <= rays.far[:, None]).all()
        assert not edges.t.requires_grad
    sigma, colours = model.query(rays, out.t)
    torch.testing.assert_close(sigma, out.sigma)
    torch.testing.assert_close(colours, out.colours)


@pytest.mark.parametrize(("decoder", "where"), CASES)
def test_every_parameter_learns(decoder: str, where: Space) -> None:
    model = small(decoder, where)
    out = model.render(some_rays(model, 200))
    loss = over(out, torch.rand(3)).square().sum() + ops.distortion_loss(out.s, out.weights)
    for level in out.proposals:
        loss = loss + level.weights.square().sum()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_proposals_learn_only_when_told() -> None:
    model = small()
    rays = some_rays(model)
    frozen = model.render(rays, proposal_grad=False)
    assert not any(level.weights.requires_grad for level in frozen.proposals)
    assert frozen.weights.requires_grad
    assert all(level.weights.requires_grad for level in model.render(rays).proposals)
    assert all(level.weights.requires_grad for level in model.proposals(rays))
    with torch.no_grad():
        assert not any(level.weights.requires_grad for level in model.render(rays).proposals)


@pytest.mark.parametrize("where", [BOX, OPEN])
def test_sampling_depends_on_the_key_alone(where: Space) -> None:
    model = small(where=where)
    rays = some_rays(model)
    still = tensors(model.train().render(rays))
    for a, b in zip(still, tensors(model.eval().render(rays)), strict=True):
        assert torch.equal(a, b)
    jittered = [tensors(mode.render(rays, key=3)) for mode in (model.train(), model.eval())]
    for a, b in zip(*jittered, strict=True):
        assert torch.equal(a, b)
    other = model.render(rays, key=4)
    assert not torch.equal(other.t, jittered[0][4])
    assert not torch.equal(other.proposals[0].t, model.render(rays).proposals[0].t)


def test_rays_that_miss_are_exactly_empty() -> None:
    model = small()
    origins = torch.tensor([[3.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    directions = torch.tensor([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    rays = model.make_rays(origins, directions)
    assert rays.near[1] == rays.far[1]
    out = model.render(rays, key=0)
    assert out.accumulation[1].item() == 0 and out.rgb[1].tolist() == [0, 0, 0]
    assert out.accumulation[0].item() > 0
    assert torch.equal(over(out, torch.ones(3))[1], torch.ones(3))
    loss = over(out, torch.ones(3)).sum() + ops.distortion_loss(out.s, out.weights)
    for level in out.proposals:
        loss = loss + ops.histogram_loss(out.s, out.weights, level.s, level.weights)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_packed_rays() -> None:
    rays = some_rays(small())
    packed = rays.packed()
    assert packed.shape == (40, 8) and packed.is_contiguous()
    for first, part in ((0, rays.origins), (3, rays.directions)):
        assert torch.equal(packed[:, first : first + 3], part)
    assert torch.equal(packed[:, 6], rays.near) and torch.equal(packed[:, 7], rays.far)


@pytest.mark.parametrize(("decoder", "where"), CASES)
def test_no_rays(decoder: str, where: Space) -> None:
    model = small(decoder, where)
    rays = some_rays(model)[:0]
    out = model.render(rays)
    assert out.rgb.shape == (0, 3) and out.t.shape == (0, 9)


def test_rays_render_one_by_one_as_in_a_batch() -> None:
    model = small(where=OPEN)
    rays = some_rays(model, 6)
    whole = model.render(rays).rgb
    parts = torch.cat([model.render(rays[i : i + 1]).rgb for i in range(6)])
    torch.testing.assert_close(whole, parts, atol=2e-6, rtol=1e-5)


def test_the_same_seed_gives_the_same_model_and_leaves_the_global_state() -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    one, two, other = small(seed=3), small(seed=3), small(seed=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    for (name, a), b in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert not torch.equal(one.field.planes[0], other.field.planes[0])
    planes = one.state_dict()
    assert planes["field.planes.0"].min() >= 0.1 and planes["field.planes.1"].max() <= 0.5
    assert planes["proposal_fields.1.planes.0"].min() >= 0.1
    assert planes["proposal_fields.1.planes.0"].max() <= 0.15


def test_state_names_are_stable() -> None:
    hybrid = {name: tuple(value.shape) for name, value in small().state_dict().items()}
    assert hybrid == {
        "proposal_fields.0.planes.0": (3, 5, 5, 3),
        "proposal_fields.0.decoder.0": (8, 3),
        "proposal_fields.0.decoder.1": (1, 8),
        "proposal_fields.1.planes.0": (3, 8, 8, 3),
        "proposal_fields.1.decoder.0": (8, 3),
        "proposal_fields.1.decoder.1": (1, 8),
        "field.planes.0": (3, 6, 6, 4),
        "field.planes.1": (3, 12, 12, 4),
        "field.density.0": (8, 8),
        "field.density.1": (16, 8),
        "field.colours.0": (8, 31),
        "field.colours.1": (8, 8),
        "field.colours.2": (3, 8),
    }
    explicit = {name: tuple(value.shape) for name, value in small("explicit").state_dict().items()}
    assert explicit["proposal_fields.0.decoder.0"] == (1, 3)
    assert explicit["field.density.0"] == (1, 8)
    assert explicit["field.basis.0"] == (8, 3) and explicit["field.basis.1"] == (24, 8)


@pytest.mark.usefixtures("plain_torch")
def test_hybrid_decoder_by_hand() -> None:
    model = small().double()
    state = model.state_dict()
    points = torch.rand(5, 3, dtype=torch.float64) * 2 - 1
    direction = torch.tensor([[0.6, 0.0, -0.8]], dtype=torch.float64)
    sigma, features = model.field.geometry(points)
    colours = model.field.colour(features, model.field.direction_code(direction))
    planes = [state["field.planes.0"], state["field.planes.1"]]
    x = ops.reference.triplane(planes, points)
    raw = (x @ state["field.density.0"].T).relu() @ state["field.density.1"].T
    torch.testing.assert_close(sigma, (raw[:, 0] - 1).exp())
    basis = ops.reference.spherical_harmonics(direction).expand(5, 16)
    y = torch.cat([basis, raw[:, 1:]], 1)
    y = (y @ state["field.colours.0"].T).relu()
    y = (y @ state["field.colours.1"].T).relu()
    torch.testing.assert_close(colours, (y @ state["field.colours.2"].T).sigmoid())


@pytest.mark.usefixtures("plain_torch")
def test_explicit_decoder_by_hand() -> None:
    model = small("explicit").double()
    state = model.state_dict()
    points = torch.rand(4, 3, dtype=torch.float64) * 2 - 1
    directions = torch.nn.functional.normalize(torch.randn(2, 3, dtype=torch.float64), dim=-1)
    sigma, features = model.field.geometry(points)
    colours = model.field.colour(features, model.field.direction_code(directions))
    f = ops.reference.triplane([state["field.planes.0"], state["field.planes.1"]], points)
    torch.testing.assert_close(sigma, (f @ state["field.density.0"].T - 1).exp()[:, 0])
    hidden = ((directions + 1) / 2 @ state["field.basis.0"].T).relu()
    basis = (hidden @ state["field.basis.1"].T).view(2, 3, 8).repeat_interleave(2, 0)
    torch.testing.assert_close(colours, (basis * f[:, None]).sum(-1).sigmoid())


def test_over() -> None:
    model = small()
    rays = some_rays(model)
    out = model.render(rays)
    torch.testing.assert_close(over(out, torch.zeros(3)), out.rgb)
    white = torch.ones(40, 3)
    torch.testing.assert_close(over(out, white), out.rgb + 1 - out.accumulation[:, None])


def test_plane_tv_sums_each_plane_once() -> None:
    model = small()
    field, proposal = model.plane_tv()
    expected = sum(ops.reference.plane_tv(plane).item() for plane in model.field.planes)
    assert field.item() == pytest.approx(expected, rel=1e-5)
    levels = [level.planes[0] for level in model.proposal_fields]
    assert proposal.item() == pytest.approx(
        sum(ops.reference.plane_tv(plane).item() for plane in levels), rel=1e-5
    )


def test_huge_densities_and_far_points_stay_finite() -> None:
    for where in (BOX, OPEN):
        model = small(where=where)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(30)
        out = model.render(some_rays(model, 100))
        loss = out.rgb.sum() + ops.distortion_loss(out.s, out.weights) + out.depth.sum()
        for level in out.proposals:
            loss = loss + ops.histogram_loss(out.s, out.weights, level.s, level.weights)
        loss.backward()
        assert all(torch.isfinite(v).all() for v in tensors(out))
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_a_few_steps_fit_a_coloured_ball() -> None:
    model = small()
    rays = some_rays(model, 400)
    closest = (rays.origins * rays.directions).sum(-1)
    hits = (rays.origins.square().sum(-1) - closest.square() < 0.6**2).float()[:, None]
    target = hits * torch.tensor([0.9, 0.2, 0.1]) + (1 - hits)
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-2, eps=1e-15)
    losses = []
    for step in range(150):
        out = model.render(rays, key=step)
        colour = (over(out, torch.ones(3)) - target).square().mean()
        loss = colour
        for level in out.proposals:
            loss = loss + ops.histogram_loss(out.s, out.weights, level.s, level.weights)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(colour.item())
    assert losses[-1] < 0.1 * losses[0]
