"""World to planes and back; clipping to the box."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dac.fields import space
from dac.scenes.scene import Space

coordinate = st.floats(-1e4, 1e4, allow_nan=False)
CUBE = ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0))


@settings(max_examples=200, deadline=None)
@given(coordinate, coordinate, coordinate)
def test_contraction_round_trip_and_bounds(x: float, y: float, z: float) -> None:
    point = torch.tensor([x, y, z], dtype=torch.float64)
    drawn = space.contract(point)
    assert drawn.abs().max() < 2
    torch.testing.assert_close(space.uncontract(drawn), point, rtol=1e-9, atol=1e-9)
    size = point.abs().max()
    if size <= 1:
        assert torch.equal(drawn, point)
    else:
        torch.testing.assert_close(drawn, (2 - 1 / size) * point / size)


def test_contraction_by_hand_and_its_continuity() -> None:
    points = torch.tensor([[2.0, 0.0, 0.0], [-4.0, 4.0, 1.0], [0.5, 1.0, -0.25]])
    expected = torch.tensor([[1.5, 0.0, 0.0], [-1.75, 1.75, 0.4375], [0.5, 1.0, -0.25]])
    torch.testing.assert_close(space.contract(points), expected)
    edge = torch.tensor([1 - 1e-6, 1 + 1e-6])[:, None] * torch.tensor([0.3, -1.0, 0.8])
    assert (space.contract(edge)[1] - space.contract(edge)[0]).abs().max() < 3e-6
    far = torch.full((1, 3), 1e30)
    assert torch.isfinite(space.contract(far)).all()


@pytest.mark.parametrize("kind", ["box", "contraction"])
def test_cube_round_trip_of_an_uneven_box(kind: str) -> None:
    where = Space(kind, ((-1.0, -2.0, 0.0), (3.0, 2.0, 1.0)), 0.1, 10.0)  # type: ignore[arg-type]
    points = (
        torch.rand(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 9 - 4
    )
    cube = space.cube_from_world(where, points)
    torch.testing.assert_close(space.world_from_cube(where, cube), points)
    scale = 1.0 if kind == "box" else 0.5
    corners = torch.tensor(where.box, dtype=torch.float64)
    expected = torch.tensor([[-1.0] * 3, [1.0] * 3], dtype=torch.float64) * scale
    torch.testing.assert_close(space.cube_from_world(where, corners), expected)


def rays(
    *pairs: tuple[tuple[float, float, float], tuple[float, float, float]],
) -> tuple[Tensor, Tensor]:
    origins, directions = torch.tensor(pairs, dtype=torch.float32).unbind(1)
    return origins, directions / directions.norm(dim=-1, keepdim=True)


def test_clip_by_hand() -> None:
    where = Space("box", CUBE, 0.5, 6.0)
    near, far = space.clip(
        where,
        *rays(
            ((-3, 0, 0), (1, 0, 0)),  # through the middle
            ((-3, 0, 0), (-1, 0, 0)),  # away from it
            ((0, 0, 0), (0, 1, 0)),  # from inside: near is the camera's
            ((-3, 1.5, 0), (1, 0, 0)),  # past it, parallel to a side
            ((-3, 0.2, 0.1), (1, -0.0, 0.0)),  # with a negative zero
            ((-9, 0, 0), (1, 0, 0)),  # beyond far
            ((-3, -3, 0), (1, 1, 0)),  # through two edges
            ((-3, -1, 0), (1, 0, 0)),  # along a side
        ),
    )
    root = math.sqrt(8)
    assert near.tolist() == pytest.approx([2, 0.5, 0.5, 0.5, 2, 0.5, root, 2], rel=1e-6)
    assert far.tolist()[:7] == pytest.approx([4, 0.5, 1, 0.5, 4, 0.5, 2 * root], rel=1e-6)
    assert torch.isfinite(far).all()


def test_clip_stays_inside_the_box_and_misses_nothing() -> None:
    where = Space("box", CUBE, 0.1, 20.0)
    g = torch.Generator().manual_seed(0)
    origins = torch.randn(500, 3, generator=g) * 3
    directions = torch.nn.functional.normalize(torch.randn(500, 3, generator=g), dim=-1)
    near, far = space.clip(where, origins, directions)
    t = torch.linspace(0.1, 20, 2000)
    inside = (origins[:, None] + t[:, None] * directions[:, None]).abs().amax(-1) < 1 - 1e-4
    covered = (t >= near[:, None] - 1e-4) & (t <= far[:, None] + 1e-4)
    assert (covered | ~inside).all()
    hit = far > near
    for end in (near, far):
        points = origins + end[:, None] * directions
        assert (points[hit].abs() < 1 + 1e-4).all()
    assert 0 < hit.sum() < 500


def test_contraction_is_not_clipped() -> None:
    near, far = space.clip(Space("contraction", CUBE, 0.05, 1e3), *rays(((9, 9, 9), (0, 0, 1))))
    assert near.tolist() == pytest.approx([0.05]) and far.tolist() == [1e3]
