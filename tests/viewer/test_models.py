"""The viewer shows a routed model as it shows any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import toy
import toy_models

from dac.conquer.routed import RoutedModel, save_routed
from dac.divide.router import Router
from dac.evaluation.render import render_view
from dac.viewer.models import loaded
from dac.viewer.tasks import ProgressiveRender


def test_a_routed_model_is_shown_some_rays_at_a_time(tmp_path: Path) -> None:
    router = Router("sectors", 2, 0.5, np.zeros((0, 3, 4)), np.zeros(0, np.int64))
    experts = [toy_models.lively(seed) for seed in range(2)]
    save_routed(RoutedModel(experts, router), tmp_path, 1.3, {})
    model, cameras, white = loaded(tmp_path), toy.cameras(4), torch.ones(3)
    assert loaded(tmp_path) is model
    for view in range(4):
        task = ProgressiveRender(cameras, view, model, None, cameras.width, white)
        while not task.step(100):
            pass
        expected = render_view(model, cameras, view, white, 10_000)
        for ours, theirs in zip(task.result, expected, strict=True):
            assert torch.allclose(ours, theirs.cpu(), atol=1e-5)
