"""The generalist's share is the one of least error, and a doubtful specialist's is larger."""

from __future__ import annotations

import numpy as np
import pytest
import toy
import toy_models
from hypothesis import assume, given
from hypothesis import strategies as st

from dac.conquer.trust import best_share, generalist_shares
from dac.evaluation.render import render_view
from dac.evaluation.truth import background_colour, truth_image


@given(st.integers(0, 2**32 - 1), st.floats(-2, 2), st.floats(0.1, 3))
def test_no_other_share_errs_less(seed: int, common: float, spread: float) -> None:
    """Against the error itself, of pictures whose errors are correlated in any way."""
    rng = np.random.default_rng(seed)
    truth, ours, its = rng.normal(size=(3, 50))
    ours, its = ours + common * (its - truth), truth + spread * (its - truth)
    error = np.square(ours - truth).mean()
    general = np.square(its - truth).mean()
    apart = np.square(ours - its).mean()
    assume(apart > 1e-6)
    share = best_share(float(error), float(general), float(apart))

    def left(t: float) -> float:
        mixed = float(np.square((1 - t) * ours + t * its - truth).mean())
        assert np.isclose(mixed, (1 - t) * error + t * general - t * (1 - t) * apart)
        return mixed

    assert all(left(share) <= left(other) + 1e-12 for other in np.linspace(0, 1, 21))


def test_the_same_model_gets_no_share() -> None:
    assert best_share(0.1, 0.1, 0.0) == 0
    scene, model = toy.scene(), toy_models.lively(0)
    names = [scene.names[view] for view in scene.train]
    assert generalist_shares(scene, [names], [model], model, seed=0).tolist() == [0]


@pytest.mark.parametrize("channels", [3, 4])
def test_shares_follow_the_errors_on_the_groups_views(channels: int) -> None:
    """Whole views render what a sample of their pixels says."""
    scene = toy.scene(channels=channels)
    models = [toy_models.lively(seed) for seed in range(3)]
    names = [scene.names[view] for view in scene.train]
    groups, general = [names[:5], names[5:]], models[2]
    shares = generalist_shares(scene, groups, models[:2], general, seed=0)
    background = background_colour(scene)
    for group, specialist, share in zip(groups, models, shares, strict=False):
        sums = np.zeros(3)
        for view in scene.indices(group):
            ours, its = (
                render_view(model, scene.cameras, view, background, 999).rgb.clamp(0, 1)
                for model in (specialist, general)
            )
            truth = truth_image(scene, view)
            for i, one in enumerate((ours - truth, its - truth, ours - its)):
                sums[i] += float(one.square().mean())
        error, other, apart = sums
        expected = best_share((1 + 4 / len(group)) * error, other, apart)
        assert share == pytest.approx(expected if expected >= 0.25 else 0, abs=0.03)
