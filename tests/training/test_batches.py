"""Batches: a permutation of the pixels, as a function of (seed, step)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from hypothesis import given
from hypothesis import strategies as st

from dac.errors import UserError
from dac.scenes.scene import Scene
from dac.training.batches import Permutation, RayBatches
from dac.training.keys import mix, uniform
from dac.training.probe import probe_batch

CPU = torch.device("cpu")


def batches(scene: Scene, rays: int = 100, **changes: object) -> RayBatches:
    values = {"rays": rays, "seed": 3, "background": "random", "device": CPU, **changes}
    return RayBatches(scene, scene.train, **values)  # type: ignore[arg-type]


def drawn(of: RayBatches, steps: int) -> list[tuple[int, int, int]]:
    triples = []
    for step in range(steps):
        triples += list(zip(*(values.tolist() for values in places(of, step)), strict=True))
    return triples


def places(of: RayBatches, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """View, row and column of a step's pixels."""
    view, pixel = of.pixels(step)
    return view, *np.divmod(pixel, of.scene.cameras.width)


@given(st.integers(1, 3000), st.integers(0, 2**62))
def test_permutation_is_a_bijection(count: int, key: int) -> None:
    image = Permutation(count, key)(np.arange(count))
    assert np.array_equal(np.sort(image), np.arange(count))


@pytest.mark.parametrize("count", [10**9 + 7, 2**40 - 1])
def test_permutation_of_many_stays_inside_and_injective(count: int) -> None:
    positions = np.concatenate([np.arange(2000), np.arange(count - 2000, count)])
    image = Permutation(count, 11)(positions)
    assert image.min() >= 0 and image.max() < count
    assert len(np.unique(image)) == len(positions)


def test_permutation_looks_random() -> None:
    count = 100_000
    first, second = Permutation(count, 1)(np.arange(count)), Permutation(count, 2)(np.arange(count))
    assert (first == second).sum() < 10
    # Any stretch of positions spreads evenly over all values: chi-squared over 50 bins.
    for start in (0, 33_333, 90_000):
        hits = np.bincount(first[start : start + 5000] * 50 // count, minlength=50)
        assert ((hits - 100) ** 2 / 100).sum() < 95
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.02


def test_mix_separates_its_arguments() -> None:
    keys = {mix(*parts) for parts in [(), (0,), (0, 0), (1, 0), (0, 1), (-1,), (2**64,), (1, 2, 3)]}
    assert len(keys) == 7  # 2^64 and 0 are one 64-bit word
    assert all(0 <= key < 2**63 for key in keys)
    assert abs(np.mean([uniform(5, i) for i in range(4000)]) - 0.5) < 0.02


def test_an_epoch_draws_each_pixel_once() -> None:
    scene = toy.scene(size=6)
    total = len(scene.train) * 36
    assert total % 8 == 0
    of = batches(scene, rays=8)
    pixels = drawn(of, total // 8)
    everything = {(v, r, c) for v in scene.train for r in range(6) for c in range(6)}
    assert len(pixels) == len(set(pixels)) and set(pixels) == everything
    following = drawn(of, 2 * total // 8)[total:]
    assert set(following) == everything and following != pixels


def test_batches_across_epochs_and_larger_than_an_epoch() -> None:
    scene = toy.scene(size=2)
    total = len(scene.train) * 4
    of = batches(scene, rays=2 * total + 5)
    pixels = drawn(of, 3)
    for epoch in range(len(pixels) // total):
        assert len(set(pixels[epoch * total : (epoch + 1) * total])) == total


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    scene = toy.scene()
    a, b, other = batches(scene), batches(scene), batches(scene, seed=4)
    b(0), b(17)
    for name in ("view", "origins", "directions", "rgb", "background"):
        assert torch.equal(getattr(a(5), name), getattr(b(5), name))
    assert not torch.equal(a(5).view, other(5).view)
    assert not torch.equal(a(5).background, a(6).background)


def test_masked_pixels_are_never_drawn() -> None:
    scene = toy.scene(size=6)
    masks = (np.random.default_rng(0).random((len(scene.names), 6, 6)) < 0.3).astype(np.uint8) * 255
    scene = replace(scene, masks=masks)
    allowed = {(v, r, c) for v, r, c in np.argwhere(masks).tolist() if v in scene.train}
    pixels = drawn(batches(scene, rays=len(allowed)), 1)
    assert len(pixels) == len(allowed) and set(pixels) == allowed


def test_nothing_to_draw_is_a_users_mistake() -> None:
    scene = toy.scene(size=4)
    masked = replace(scene, masks=np.zeros((len(scene.names), 4, 4), np.uint8))
    with pytest.raises(UserError, match="no pixel to train on"):
        batches(masked)
    with pytest.raises(UserError, match="no pixel to train on"):
        batches(replace(scene, train=()))


def test_targets_are_composited_over_the_batch_background() -> None:
    scene = toy.scene()
    scene.images[..., 3] = np.random.default_rng(1).integers(0, 256, scene.images.shape[:3])
    of = batches(scene)
    batch = of(2)
    assert batch.background.unique().numel() == 3
    straight = scene.images[places(of, 2)].astype(np.float64) / 255
    alpha = straight[:, 3:]
    expected = straight[:, :3] * alpha + batch.background.numpy() * (1 - alpha)
    assert np.abs(batch.rgb.numpy() - expected).max() < 1e-6
    for colour, value in (("white", 1.0), ("black", 0.0)):
        assert batches(scene, background=colour)(0).background.tolist() == [value] * 3


def test_images_without_alpha_keep_the_scenes_background() -> None:
    scene = toy.scene(channels=3)
    of = batches(scene, background="random")
    assert of(0).background.tolist() == [1.0] * 3
    expected = scene.images[places(of, 0)] / np.float32(255)
    assert np.abs(of(0).rgb.numpy() - expected).max() < 1e-6


def test_rays_see_the_colours_of_their_pixels() -> None:
    of = batches(toy.scene(), rays=500)
    batch = of(0)
    truth = toy.sphere(batch.origins, batch.directions)
    expected = truth[:, :3] * truth[:, 3:] + batch.background * (1 - truth[:, 3:])
    assert (batch.rgb - expected).abs().max() < 0.5 / 255 + 1e-4


def test_memory_mapped_pixels_are_the_same(toy_scene: Path) -> None:
    assert torch.equal(batches(Scene.load(toy_scene))(1).rgb, batches(toy.scene())(1).rgb)


def test_the_probe_is_fixed_and_of_test_views() -> None:
    scene = toy.scene()
    probe = probe_batch(scene, count=50, device=CPU)
    again = probe_batch(scene, count=50, device=CPU)
    assert probe is not None and again is not None
    assert set(probe.view.tolist()) <= set(scene.test)
    assert torch.equal(probe.rgb, again.rgb) and probe.background.tolist() == [1.0] * 3
    assert len(probe_batch(scene, count=10**9, device=CPU).view) == 4 * toy.SIZE**2  # type: ignore[union-attr]
    assert probe_batch(replace(scene, test=()), count=50, device=CPU) is None
