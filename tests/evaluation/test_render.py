from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dac.evaluation.pictures import depth_picture, picture_name, to_uint8
from dac.evaluation.render import render_pixels, render_rays, render_view
from dac.fields.model import Model, load_model
from dac.scenes.scene import Scene

BACKGROUND = torch.tensor([0.2, 0.5, 0.9])


@pytest.fixture(scope="module")
def parts(toy_runs: Path) -> tuple[Scene, Model]:
    return Scene.load(toy_runs / "scene"), load_model(toy_runs / "run0")


@pytest.mark.parametrize("chunk", [1000, 100, 7])
def test_chunks_change_nothing(parts: tuple[Scene, Model], chunk: int) -> None:
    scene, model = parts
    whole = render_view(model, scene.cameras, 5, BACKGROUND, 10_000)
    again = render_view(model, scene.cameras, 5, BACKGROUND, chunk)
    assert whole.rgb.shape == (24, 24, 3)
    assert whole.depth.shape == whole.accumulation.shape == (24, 24)
    for a, b in zip(whole, again, strict=True):
        assert torch.allclose(a, b, atol=1e-5)
        assert not a.requires_grad


def test_pixels_and_rays_are_the_views(parts: tuple[Scene, Model]) -> None:
    scene, model = parts
    whole = render_view(model, scene.cameras, 2, BACKGROUND, 200)
    pixels = torch.tensor([0, 23, 24, 300, 575])
    some = render_pixels(model, scene.cameras, 2, pixels, BACKGROUND, 2)
    assert torch.allclose(some.rgb, whole.rgb.view(-1, 3)[pixels], atol=1e-5)
    x, y = pixels % 24 + 0.5, pixels // 24 + 0.5
    rays = scene.cameras.rays(torch.full_like(pixels, 2), x, y)
    assert torch.allclose(render_rays(model, *rays, BACKGROUND, 3).rgb, some.rgb, atol=1e-5)


def test_rendering_is_deterministic(parts: tuple[Scene, Model]) -> None:
    scene, model = parts
    model.train()
    first, second = (render_view(model, scene.cameras, 0, BACKGROUND, 64).rgb for _ in range(2))
    assert torch.equal(first, second)


def test_empty_space_shows_the_background(parts: tuple[Scene, Model]) -> None:
    _, model = parts
    origins = torch.tensor([[4.0, 0.0, 0.0]])
    away = render_rays(model, origins, torch.tensor([[0.0, 0.0, 1.0]]), BACKGROUND, 8)
    assert torch.allclose(away.rgb[0], BACKGROUND, atol=1e-6)


def test_depth_pictures_are_bright_where_it_is_near() -> None:
    depth = torch.linspace(2, 6, 400).view(20, 20)
    opaque = torch.ones(20, 20)
    opaque[:, 0] = 0.2
    picture = depth_picture(depth, opaque)
    assert (picture[:, 0] == 255).all()
    light = picture[:, 1:].astype(float).mean(axis=-1).ravel()
    assert (np.diff(light) <= 1e-9).all() and light[0] > 180 > 60 > light[-1]
    assert (depth_picture(depth, torch.zeros(20, 20)) == 255).all()


def test_eight_bits_are_rounded() -> None:
    image = torch.tensor([[[-1.0, 0.5, 2.0]]])
    assert to_uint8(image).tolist() == [[[0, 128, 255]]]


def test_picture_names_are_plain_and_distinct() -> None:
    assert picture_name(3, "test/r 1.png") == "003_test_r_1.png"
    names = {picture_name(i, name) for i, name in enumerate(("a/b.png", "a_b.png", "../a.b.jpg"))}
    assert len(names) == 3 and not any("/" in name or ".." in name for name in names)
