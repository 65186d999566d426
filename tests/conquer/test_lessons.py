"""Which expert teaches a ray (Eq. 4), against loops; and what the experts say."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
import toy
from toy_models import CPU, lively, some_rays

from dac.conquer.lessons import TaughtRays, ask_experts
from dac.divide.partition import Partition
from dac.ops.rays import Lesson
from dac.settings import DistillSettings
from dac.training.batches import RayBatches
from dac.training.keys import Stream, mix

TRAIN = toy.train_settings()


def random_partition(names: list[str], K: int, rng: np.random.Generator) -> Partition:
    """Groups that overlap; some may own nothing."""
    owner = {name: int(rng.integers(K)) for name in names}
    groups = tuple(
        tuple(name for name in names if owner[name] == group or rng.random() < 0.4)
        for group in range(K)
    )
    return Partition("azimuth-overlap", groups, owner)


@pytest.mark.parametrize("seed", range(10))
def test_every_ray_goes_to_the_owner_of_its_view(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene, R = toy.scene(), int(rng.integers(1, 300))
    known = [scene.names[view] for view in scene.train if rng.random() < 0.8]
    K = int(rng.integers(1, 5))
    partition = random_partition(known, K, rng)
    settings = DistillSettings(rays=R)
    taught = TaughtRays(scene, partition, TRAIN, settings, seed=seed, device=CPU)(seed)
    pixels = RayBatches(
        scene, scene.indices(known), rays=R, seed=mix(seed, Stream.STUDENT), background="white",
        device=CPU,
    )(seed)  # fmt: skip
    expected: list[list[torch.Tensor]] = [[] for _ in range(K)]
    for ray in range(R):
        group = partition.owner[scene.names[int(pixels.view[ray])]]
        expected[group].append(torch.cat([pixels.origins[ray], pixels.directions[ray]]))
    assert taught.counts == [len(rays) for rays in expected]
    whole = torch.stack([ray for rays in expected for ray in rays])
    assert torch.equal(torch.cat([taught.origins, taught.directions], dim=1), whole)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_rays_come_ordered_by_their_groups(share: float) -> None:
    scene = toy.scene()
    partition = toy.halves(scene)
    settings = DistillSettings(rays=200, novel_share=share)
    batches = TaughtRays(scene, partition, TRAIN, settings, seed=0, device=CPU)
    origins, directions, background, counts = batches(7)
    assert background.shape == (3,)
    assert len(origins) == len(directions) == sum(counts) == 200 and min(counts) > 60
    # The halves are halves in azimuth: the first has y > 0 but for what lies on the border.
    side = torch.cat([torch.ones(counts[0]), -torch.ones(counts[1])])
    assert (torch.sign(origins[:, 1]) == side).float().mean() > 0.99
    novel = round(share * 200)
    centres = scene.cameras.centres.float()
    known = (torch.cdist(origins, centres).min(dim=1).values < 1e-5).sum()
    assert 200 - novel <= known <= 200 - novel + 5
    again = TaughtRays(scene, partition, TRAIN, settings, seed=0, device=CPU)(7)
    assert torch.equal(origins, again[0]) and torch.equal(directions, again[1])


def test_each_ray_is_taught_by_its_expert() -> None:
    experts = [lively(0), lively(1), lively(2)]
    rays = some_rays(experts[0], 30)
    lesson = ask_experts(experts, rays, [10, 0, 20], [5, 6, 7])
    first, first_samples = experts[0].sample(rays[:10], key=5)
    last, last_samples = experts[2].sample(rays[10:], key=7)
    assert torch.equal(lesson.rgb, torch.cat([first.rgb, last.rgb]))
    assert torch.equal(lesson.s, torch.cat([first_samples.s, last_samples.s]))


@pytest.mark.parametrize("seed", range(5))
def test_parts_of_a_batch_are_taught_as_the_whole(seed: int) -> None:
    """Wherever a part begins and ends: within an expert's rays, between two, before one of none."""
    rng = np.random.default_rng(seed)
    experts = [lively(expert) for expert in range(4)]
    counts = rng.multinomial(40, [0.4, 0.1, 0.0, 0.5]).tolist()
    keys, rays = [5, 6, 7, 8], some_rays(experts[0], 40)
    whole = ask_experts(experts, rays, counts, keys)
    ends = [0, *sorted(rng.choice(np.arange(1, 40), 5, replace=False).tolist()), 40]
    parts = [
        ask_experts(experts, rays[first:end], counts, keys, first) for first, end in pairwise(ends)
    ]
    for of_parts, of_whole in zip(zip(*parts, strict=True), whole, strict=True):
        torch.testing.assert_close(torch.cat(of_parts), of_whole, rtol=1e-5, atol=1e-6)


def test_the_experts_order_does_not_matter() -> None:
    """Each with its rays and its key: they say the same in any order."""
    experts, counts, keys = [lively(0), lively(1), lively(2)], [12, 7, 11], [5, 6, 7]
    rays = some_rays(experts[0], 30)
    parts = [torch.arange(0, 12), torch.arange(12, 19), torch.arange(19, 30)]
    lesson = ask_experts(experts, rays, counts, keys)
    order = [2, 0, 1]
    rearranged = torch.cat([parts[expert] for expert in order])
    other = ask_experts(
        [experts[expert] for expert in order],
        rays[rearranged],
        [counts[expert] for expert in order],
        [keys[expert] for expert in order],
    )
    for a, b in zip(lesson, other, strict=True):
        assert torch.equal(a[rearranged], b)


def test_the_experts_are_jittered_and_constant() -> None:
    expert = lively(0).eval()
    rays = some_rays(expert)
    one, same, other = (ask_experts([expert], rays, [len(rays)], [key]) for key in (1, 1, 2))
    assert torch.equal(one.t, same.t) and not torch.equal(one.t, other.t)
    assert not any(getattr(one, name).requires_grad for name in Lesson._fields)
