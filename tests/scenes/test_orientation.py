"""EXIF orientation: turning pixels and cameras together changes no ray."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dac.cameras import Cameras
from dac.errors import UserError
from dac.scenes.orientation import match_pixels, turned
from dac.scenes.photos.images import Header
from dac.scenes.views import LensModel, Views

WIDTH, HEIGHT = 60, 40


def some_views(model: LensModel = "perspective", count: int = 3, seed: int = 0) -> Views:
    rng = np.random.default_rng(seed)
    rotations = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0]
    rotations *= np.linalg.det(rotations)[:, None, None]
    return Views(
        root=Path("data"),
        model=model,
        names=tuple(f"{i}.jpg" for i in range(count)),
        files=tuple(Path(f"data/{i}.jpg") for i in range(count)),
        sizes=np.tile(np.array([[WIDTH, HEIGHT]]), (count, 1)),
        intrinsics=np.tile([[50.0, 52.0, 28.0, 21.0]], (count, 1)),
        distortion=rng.uniform(-0.03, 0.03, (count, 6)),
        poses=np.concatenate([rotations, rng.normal(size=(count, 3, 1))], axis=2),
    )


def cameras_of(views: Views) -> Cameras:
    w, h = (int(v) for v in views.sizes[0])
    arrays = (torch.tensor(a) for a in (views.intrinsics, views.distortion, views.poses))
    return Cameras(views.model, w, h, *arrays)


def headers(size: tuple[int, int], *orientations: int) -> list[Header]:
    return [Header(size, False, orientation) for orientation in orientations]


@pytest.mark.parametrize("model", ["perspective", "fisheye"])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_turned_camera_sees_the_same_through_the_same_pixel(
    model: LensModel, orientation: int
) -> None:
    views = some_views(model)
    x, y = np.random.default_rng(1).uniform(0, [WIDTH, HEIGHT], (50, 2)).T
    # Where Pillow's transposition moves the point (x, y) of the stored image.
    moved = {3: (WIDTH - x, HEIGHT - y), 6: (HEIGHT - y, x), 8: (y, WIDTH - x)}[orientation]
    view = torch.arange(50) % 3
    before = cameras_of(views).rays(view, torch.tensor(x), torch.tensor(y))
    after = cameras_of(turned(views, orientation)).rays(view, *map(torch.tensor, moved))
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_cameras_of_stored_pixels_are_turned_with_them() -> None:
    matched, turns = match_pixels(some_views(), headers((WIDTH, HEIGHT), 6, 6, 6))
    assert turns == (6, 6, 6)
    assert matched.sizes.tolist() == [[HEIGHT, WIDTH]] * 3
    assert "upright" in matched.log[-1]


def test_photos_held_both_ways_stay_as_stored() -> None:
    matched, turns = match_pixels(some_views(), headers((WIDTH, HEIGHT), 1, 6, 6))
    assert turns == (1, 1, 1)
    np.testing.assert_array_equal(matched.poses, some_views().poses)


def test_cameras_of_upright_pixels_stay() -> None:
    mixed = [Header((WIDTH, HEIGHT), False, 1), *headers((HEIGHT, WIDTH), 6, 8)]
    matched, turns = match_pixels(some_views(), mixed)
    assert turns == (1, 6, 8)
    np.testing.assert_array_equal(matched.poses, some_views().poses)
    np.testing.assert_array_equal(matched.intrinsics, some_views().intrinsics)


def test_views_that_are_known_to_be_upright_are_believed() -> None:
    upright = Views(**{**vars(some_views()), "upright": True})
    matched, turns = match_pixels(upright, headers((WIDTH, HEIGHT), 3, 3, 3))
    assert turns == (3, 3, 3)
    np.testing.assert_array_equal(matched.poses, upright.poses)
    with pytest.raises(UserError, match=r"data/0\.jpg: the image has"):
        match_pixels(upright, headers((WIDTH, HEIGHT), 6, 6, 6))


def test_reduced_images_scale_intrinsics() -> None:
    matched, _ = match_pixels(some_views(), headers((WIDTH // 2, HEIGHT // 2), 1, 1, 1))
    np.testing.assert_allclose(matched.intrinsics, some_views().intrinsics / 2)
    assert "scaled" in matched.log[-1]


def test_another_shape_is_refused() -> None:
    with pytest.raises(UserError, match="the image has 50 x 50 pixels, its camera 60 x 40"):
        match_pixels(some_views(), headers((50, 50), 1, 1, 1))
