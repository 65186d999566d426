"""The routed model renders as its experts do, and its folder gives back what it was given."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
import toy_models
from safetensors.torch import load_file, save_file

from dac.conquer.packing import pack, unpack
from dac.conquer.routed import Blend, RoutedModel, load, save_routed
from dac.divide.router import Router
from dac.errors import UserError
from dac.evaluation.render import render_view
from dac.fields.model import Model, save_model

WHITE = torch.ones(3)
RECORD = {"stage": "route", "seed": 0}


def sectors(count: int, blend: float = 0.0) -> Router:
    return Router("sectors", count, blend, np.zeros((0, 3, 4)), np.zeros(0, np.int64))


def by_views(blend: float = 0.2) -> Router:
    scene = toy.scene()
    poses = scene.cameras.world_from_camera[list(scene.train)].numpy()
    return Router("poses", 2, blend, poses, np.arange(len(poses)) * 2 // len(poses))


def models(count: int) -> list[Model]:
    return [toy_models.lively(seed) for seed in range(count)]


def some_points() -> torch.Tensor:
    return 2 * torch.rand(40, 3, generator=torch.Generator().manual_seed(5)) - 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A routed model of two experts, in 8 bits."""
    save_routed(RoutedModel(models(2), by_views()), tmp_path, 1.3, RECORD)
    return tmp_path


def test_away_from_borders_it_is_one_expert() -> None:
    cameras, experts = toy.scene().cameras, models(4)
    routed = RoutedModel(experts, sectors(4))
    for view in range(len(cameras)):
        assert routed.at(cameras.world_from_camera[view]) is experts[view // 4]
        if view % 4 == 0:
            ours = render_view(routed, cameras, view, WHITE, 999)
            for mine, its in zip(
                ours, render_view(experts[view // 4], cameras, view, WHITE, 999), strict=True
            ):
                assert torch.equal(mine, its)


def test_a_blend_is_the_mean_of_the_renders() -> None:
    cameras, experts = toy.scene().cameras, models(2)
    router = sectors(2, blend=1.0)
    shares = router.weights(cameras.world_from_camera[0].numpy())
    assert 0 < shares.min() < 0.5
    ours = render_view(RoutedModel(experts, router), cameras, 0, WHITE, 999)
    every = [render_view(expert, cameras, 0, WHITE, 999) for expert in experts]
    for name in ("rgb", "accumulation"):
        mean = sum(share * getattr(seen, name) for share, seen in zip(shares, every, strict=True))
        assert torch.allclose(getattr(ours, name), mean, atol=1e-6)
    weights = [share * seen.accumulation for share, seen in zip(shares, every, strict=True)]
    depth = sum(w * seen.depth for w, seen in zip(weights, every, strict=True)) / sum(weights)
    assert torch.allclose(ours.depth, depth.nan_to_num(0.0), rtol=1e-5)  # 0 where nothing is


def test_equal_experts_blend_to_themselves() -> None:
    rays, expert = toy_models.some_rays(toy_models.lively(0)), toy_models.lively(0)
    for one, both in zip(
        expert.picture(rays), Blend([expert, expert], [0.25, 0.75]).picture(rays), strict=True
    ):
        assert torch.allclose(one, both, rtol=1e-5, atol=1e-6)


def test_a_point_is_as_free_as_the_mean_of_free_paths_says() -> None:
    experts, points = models(3), some_points()
    directions = torch.nn.functional.normalize(some_points()[:8], dim=1)  # of five points each
    routed = RoutedModel(experts, sectors(3))
    sigma, nothing = routed.query_points(points)
    same, colours = routed.query_points(points, directions)
    assert nothing is None and colours is not None and torch.equal(sigma, same)
    every = [expert.query_points(points, directions) for expert in experts]
    harmonic = 3 / sum(1 / one for one, _ in every)
    assert torch.allclose(sigma, harmonic, rtol=1e-5)
    assert torch.allclose(colours, sum(colour for _, colour in every) / 3, atol=1e-6)
    alone, its = RoutedModel(experts[:1], sectors(1)).query_points(points, directions)
    assert torch.allclose(alone, every[0][0], rtol=1e-6) and torch.equal(its, every[0][1])


def test_free_space_for_one_is_free() -> None:
    experts = models(2)
    with torch.no_grad():
        experts[1].field.density[-1][0].fill_(-1e4)  # sees nothing anywhere
    sigma, _ = RoutedModel(experts, sectors(2)).query_points(some_points())
    assert float(sigma.max()) < 1e-6


@pytest.mark.parametrize("size", [None, 1.3, 0.3])
def test_the_folder_gives_back_what_was_packed(tmp_path: Path, size: float | None) -> None:
    routed = RoutedModel(models(2), by_views())
    save_routed(routed, tmp_path, size, RECORD)
    back = load(tmp_path)
    assert isinstance(back, RoutedModel)
    assert (back.settings, back.space) == (routed.settings, routed.space)
    assert vars(back.router).keys() == vars(routed.router).keys()
    for name, value in vars(routed.router).items():
        assert np.array_equal(getattr(back.router, name), value)
    states = [expert.state_dict() for expert in routed.experts]
    shapes = {name: tuple(value.shape) for name, value in states[0].items()}
    for expert, state in zip(back.experts, unpack(pack(states, size), shapes, 2), strict=True):
        assert all(torch.equal(v, state[name]) for name, v in expert.state_dict().items())
    about = json.loads((tmp_path / "model.json").read_text())
    assert about["packed"] == (size is not None) and about["seed"] == 0


def test_a_plain_model_is_loaded_as_one(tmp_path: Path) -> None:
    save_model(toy_models.lively(3), tmp_path, RECORD)
    back = load(tmp_path)
    assert isinstance(back, Model)
    assert torch.equal(back.field.planes[0], toy_models.lively(3).field.planes[0])


def test_as_many_experts_as_the_router_knows() -> None:
    with pytest.raises(ValueError, match="2 experts, but 3 in the router"):
        RoutedModel(models(2), sectors(3))


def without(name: str) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        save_file({key: v for key, v in load_file(file).items() if key != name}, file)

    return damage


def cut(file: Path) -> None:
    tensors = load_file(file)
    name = "experts.1.field.planes.1"
    save_file(tensors | {name: tensors[name][:-9].clone()}, file)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.unlink(), "no such file"),
        (lambda file: file.write_bytes(file.read_bytes()[:-9]), "is damaged"),
        (cut, "a stream of codes"),
        (without("router.owner"), "router.owner"),
        (without("experts.1.field.density.0"), "experts.1.field.density.0"),
        (without("scale.field.planes.0"), "scale.field.planes.0"),
    ],
)
def test_damage_is_one_clear_line(
    folder: Path, damage: Callable[[Path], object], said: str
) -> None:
    damage(folder / "model.safetensors")
    with pytest.raises(UserError, match=said) as caught:
        load(folder)
    assert "model.safetensors: " in str(caught.value) and "\n" not in str(caught.value)
