"""Merging: means in closed form, and what the phase trains."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import toy

from dac.conquer.merge import mean_of, merge
from dac.errors import UserError
from dac.fields.model import build_model, load_model
from dac.settings import FinetuneSettings
from dac.storage.artifacts import read_json
from dac.training.baseline import train_baseline

SETTINGS, SPACE = toy.model_settings(), toy.scene(size=2).space


def test_the_mean_of_one_is_it_and_of_several_their_mean() -> None:
    one = build_model(SETTINGS, SPACE, 3)
    before = {name: value.clone() for name, value in one.state_dict().items()}
    for mean in (mean_of([one]), mean_of([one, build_model(SETTINGS, SPACE, 3)])):
        assert all(torch.equal(value, before[name]) for name, value in mean.state_dict().items())
    several = [build_model(SETTINGS, SPACE, seed) for seed in range(3)]
    states = [{n: v.clone() for n, v in model.state_dict().items()} for model in several]
    for name, value in mean_of(several).state_dict().items():
        assert torch.allclose(value, sum(state[name] for state in states) / 3)


def test_several_models_have_no_mean() -> None:
    other = build_model(toy.model_settings(channels=4), SPACE, 0)
    for experts in ([], [build_model(SETTINGS, SPACE, 0), other]):
        with pytest.raises(UserError, match="needs experts of one model"):
            mean_of(experts)


def test_it_is_fine_tuned_on_all_views(toy_scene: Path, tmp_path: Path) -> None:
    train = toy.train_settings(steps=6, rays=48, curve_points=2, curve_rays=64)
    for seed in (0, 1):
        train_baseline(
            toy_scene, SETTINGS, train, steps=6, seed=seed, out=tmp_path / f"expert{seed}",
            state=tmp_path / "state",
        )  # fmt: skip
    merge(
        toy_scene,
        [tmp_path / "expert0", tmp_path / "expert1"],
        train,
        FinetuneSettings(steps=8, warmup_steps=2),
        seed=0,
        out=tmp_path / "merged",
        state=tmp_path / "state",
    )
    record = read_json(tmp_path / "merged" / "model.json")
    assert (record["stage"], record["steps"], record["earlier_steps"]) == ("merge", 8, 0)
    assert {"expert0/model.safetensors", "expert1/model.safetensors"} <= record["inputs"].keys()
    mean = mean_of([load_model(tmp_path / f"expert{seed}") for seed in (0, 1)])
    merged = load_model(tmp_path / "merged")
    assert not torch.equal(merged.field.planes[0], mean.field.planes[0])
