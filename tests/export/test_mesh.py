"""Meshes of densities in closed form, read back through trimesh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import toy
import trimesh
from torch import Tensor

from dac.errors import UserError
from dac.export.mesh import (
    default_threshold,
    field_colour,
    field_density,
    make_mesh,
    require_mesh,
    save_mesh,
)
from dac.fields.model import build_model
from dac.fields.space import cube_from_world
from dac.scenes.scene import Space

BOX = ((-1.0, -1.2, -0.8), (1.0, 0.9, 0.8))
CENTRE, RADIUS, LEVEL = torch.tensor([0.1, -0.2, 0.05]), 0.6, 10.0


def ball(points: Tensor) -> Tensor:
    """Passes LEVEL on the sphere."""
    return LEVEL * torch.exp(8 * (RADIUS - (points - CENTRE).norm(dim=-1)))


def by_normal(points: Tensor, normals: Tensor) -> Tensor:
    return (1 + normals) / 2


def ball_mesh(resolution: int = 64) -> trimesh.Trimesh:
    return make_mesh(ball, by_normal, BOX, resolution, LEVEL, 1)


def test_a_ball_is_one() -> None:
    mesh = ball_mesh()
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.euler_number == 2
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.01)
    assert mesh.area == pytest.approx(4 * np.pi * RADIUS**2, rel=0.01)
    outwards = mesh.vertices - CENTRE.numpy()
    assert np.abs(np.linalg.norm(outwards, axis=1) - RADIUS).max() < 0.005
    assert ((mesh.vertex_normals * outwards).sum(axis=1) / RADIUS > 0.99).all()
    colours = 255 * (1 + outwards / RADIUS) / 2
    assert np.abs(mesh.visual.vertex_colors[:, :3] - colours).mean() < 3


def test_what_the_box_cuts_is_closed() -> None:
    low = ((-1.0, -1.2, -0.8), (1.0, 0.9, 0.05))  # through the middle
    mesh = make_mesh(ball, by_normal, low, 80, LEVEL, 1)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(2 / 3 * np.pi * RADIUS**3, rel=0.01)
    assert mesh.bounds[1, 2] == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize(("kept", "balls"), [(1, 1), (2, 2), (5, 3)])
def test_the_largest_pieces_are_kept(kept: int, balls: int) -> None:
    centres = torch.tensor([[-0.6, 0, 0], [0.3, 0, 0], [0.8, 0.5, 0.5]])
    radii = torch.tensor([0.2, 0.4, 0.1])

    def three(points: Tensor) -> Tensor:
        distance = torch.cdist(points, centres)
        return LEVEL * torch.exp(8 * (radii - distance).amax(dim=-1))

    mesh = make_mesh(three, by_normal, ((-1.0,) * 3, (1.0,) * 3), 64, LEVEL, kept)
    assert mesh.euler_number == 2 * balls and mesh.is_watertight
    expected = 4 / 3 * np.pi * np.sort(radii.numpy().astype(float) ** 3)[::-1][:kept].sum()
    assert mesh.volume == pytest.approx(expected, rel=0.03)


SIMILARITY = np.array([[0, -2.0, 0, 1], [2.0, 0, 0, 0], [0, 0, 2.0, -3], [0, 0, 0, 1]])


@pytest.mark.parametrize("suffix", ["ply", "glb"])
@pytest.mark.parametrize("similarity", [np.eye(4), SIMILARITY], ids=["scene", "data"])
def test_files_hold_the_same_mesh(
    tmp_path: Path,
    suffix: str,
    similarity: np.ndarray,  # type: ignore[type-arg]
) -> None:
    mesh = ball_mesh(32)
    save_mesh(mesh, tmp_path / f"m.{suffix}", similarity)
    opened = trimesh.load_scene(tmp_path / f"m.{suffix}")
    (again,) = opened.geometry.values()
    assert len(again.vertices) == len(mesh.vertices) and len(again.faces) == len(mesh.faces)
    moved = mesh.vertices @ similarity[:3, :3].T + similarity[:3, 3]
    assert np.allclose(again.vertices, moved, atol=1e-5)
    assert (again.visual.vertex_colors == mesh.visual.vertex_colors).all()
    assert again.is_watertight and again.volume == pytest.approx(
        mesh.volume * np.linalg.det(similarity[:3, :3]), rel=1e-4
    )
    (node,) = opened.graph.nodes_geometry
    turn = opened.graph[node][0]
    up = similarity[:3, 2] / np.linalg.norm(similarity[:3, 2])
    assert np.allclose(turn[:3, :3] @ up, (0, 1, 0) if suffix == "glb" else up)


def test_the_threshold_makes_a_layer_half_opaque() -> None:
    level = default_threshold(((0.0, 0.0, 0.0), (3.0, 4.0, 12.0)))  # diagonal 13
    assert np.exp(-level * 0.13) == pytest.approx(0.5)


@pytest.mark.parametrize("kind", ["box", "contraction"])
def test_a_models_density(kind: str) -> None:
    space = Space(kind, ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)), 0.1, 6.0)  # type: ignore[arg-type]
    model = build_model(toy.model_settings(), space, 3)
    points = torch.rand(50, 3) * 2 - 1
    sigma = field_density(model)(points)
    half = points if kind == "box" else points / 2
    torch.testing.assert_close(sigma, model.field.geometry(half)[0].detach())
    assert torch.equal(half, cube_from_world(space, points))


class Ball:
    """A field whose colour tells position and direction: opaque inside of the sphere."""

    space = Space("box", BOX, 2.0, 6.0)
    device = torch.device("cpu")

    def query_points(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        outwards = points - CENTRE
        distance = outwards.norm(dim=-1)
        seen = directions.repeat_interleave(len(points) // len(directions), dim=0)
        inside = distance < RADIUS
        facing = -(seen * outwards / distance[..., None]).sum(dim=-1)
        colours = torch.stack([(1 + seen[..., 2]) / 2, distance, facing], dim=-1)
        return torch.where(inside, 1e4, 0.0), torch.where(inside[..., None], colours, -9.0)


def test_colours_are_those_behind_the_surface_along_the_inward_normal() -> None:
    mesh = ball_mesh(32)
    points, normals = (
        torch.from_numpy(np.array(v)).float() for v in (mesh.vertices, mesh.vertex_normals)
    )
    colours = field_colour(Ball())(points, normals)  # type: ignore[arg-type]
    assert torch.allclose(colours[:, 0], (1 - normals[:, 2]) / 2, atol=1e-5)
    assert ((colours[:, 1] > RADIUS - 0.01) & (colours[:, 1] < RADIUS)).all()
    assert (colours[:, 2] > 0.99).all()


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="passes 1e\\+06 nowhere"):
        make_mesh(ball, by_normal, BOX, 16, 1e6, 1)
    with pytest.raises(UserError, match=r"ends in \.ply or \.glb"):
        require_mesh(tmp_path / "m.obj")
