from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import toy

from dac.errors import UserError
from dac.evaluation.truth import mean_image, truth_image, usable_pixels


def test_rgba_stands_over_the_background() -> None:
    scene = toy.scene()
    pixels = scene.images[3].astype(np.float64) / 255
    for name, colour in (("white", 1.0), ("black", 0.0)):
        shown = truth_image(replace(scene, background=name), 3)
        expected = pixels[..., :3] * pixels[..., 3:] + colour * (1 - pixels[..., 3:])
        assert np.abs(shown.numpy() - expected).max() < 1e-6


def test_mean_image_is_the_mean_of_the_training_views() -> None:
    scene = toy.scene()
    views = torch.stack([truth_image(scene, view) for view in scene.train])
    assert torch.allclose(mean_image(scene), views.mean(dim=0), atol=1e-6)


def test_masked_pixels_leave_the_mean() -> None:
    scene = toy.scene(channels=3)
    masks = np.full(scene.images.shape[:3], 255, np.uint8)
    masks[scene.train[0], 2, 2] = 0
    masks[:, 7, 7] = 0
    mean = mean_image(replace(scene, masks=masks))
    views = torch.stack([truth_image(scene, view) for view in scene.train])
    assert torch.allclose(mean[2, 2], views[1:, 2, 2].mean(dim=0), atol=1e-6)
    kept = torch.from_numpy(masks[list(scene.train)] > 0)
    assert torch.allclose(mean[7, 7], views[kept].mean(dim=0), atol=1e-5)


def test_a_mask_that_leaves_nothing() -> None:
    scene = toy.scene(channels=3)
    masks = np.zeros(scene.images.shape[:3], np.uint8)
    with pytest.raises(UserError, match=r"view00: its mask leaves no pixel"):
        usable_pixels(replace(scene, masks=masks), 0)
