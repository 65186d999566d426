"""Masks: found by name, turned and reduced as their images; folds of the lens are masked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dac.cameras import Cameras
from dac.errors import UserError
from dac.scenes.photos.masks import find_mask, lens_masks, read_mask


@pytest.mark.parametrize("name", ["a/1.jpg", "a/1.jpg.png", "a/1.png"])
def test_masks_are_found_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / name).touch()
    assert find_mask(tmp_path, "a/1.jpg") == tmp_path / name
    with pytest.raises(UserError, match=r"no mask for a/2\.jpg"):
        find_mask(tmp_path, "a/2.jpg")


def test_a_reduced_pixel_is_used_if_all_its_pixels_are(tmp_path: Path) -> None:
    mask = np.full((7, 9), 255, np.uint8)
    mask[1, 2] = 127
    mask[4, 5] = 128
    Image.fromarray(mask).save(tmp_path / "m.png")
    expected = np.full((3, 4), 255, np.uint8)
    expected[0, 1] = 0
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", 1, (9, 7), 2), expected)


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_masks_turn_as_their_images_unless_they_are_upright(tmp_path: Path, turn: int) -> None:
    stored = (np.random.default_rng(0).random((4, 6)) > 0.5).astype(np.uint8) * 255
    quarters = {1: 0, 3: 2, 6: 3, 8: 1}[turn]
    upright = np.rot90(stored, quarters)
    size = (upright.shape[1], upright.shape[0])
    Image.fromarray(stored).save(tmp_path / "stored.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "stored.png", turn, size, 1), upright)
    if turn in (6, 8):
        Image.fromarray(np.ascontiguousarray(upright)).save(tmp_path / "upright.png")
        np.testing.assert_array_equal(read_mask(tmp_path / "upright.png", turn, size, 1), upright)


def test_a_mask_of_another_size_is_one_line(tmp_path: Path) -> None:
    Image.new("L", (5, 5)).save(tmp_path / "m.png")
    with pytest.raises(UserError, match="the mask has 5 x 5 pixels, its image 6 x 5"):
        read_mask(tmp_path / "m.png", 1, (6, 5), 1)


def test_only_folds_of_the_lens_are_masked() -> None:
    """With k1 = -0.3 the distorted radius is at most 2/3 of 1.054, i.e. 0.7027 focal lengths."""
    lens = torch.tensor([[100.0, 100.0, 60.0, 50.0]] * 3)
    k = torch.zeros(3, 6)
    k[1, 0] = -0.3
    cameras = Cameras("perspective", 120, 100, lens, k, torch.eye(4)[:3].repeat(3, 1, 1))
    index, masks = lens_masks(cameras)
    assert len(masks) == 2 and index[0] == index[2] != index[1]
    assert (masks[index[0]] == 255).all()
    y, x = np.mgrid[0:100, 0:120] + 0.5
    radius = np.hypot(x - 60, y - 50) / 100
    folded = masks[index[1]]
    assert (folded[radius < 0.69] == 255).all()
    assert (folded[radius > 0.72] == 0).all()
