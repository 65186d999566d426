"""Merging: means in closed form, and their folder."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
import torch
import toy

from dac.conquer.merge import mean_of, merge
from dac.errors import UserError
from dac.fields.model import build_model, load_model, save_model
from dac.storage.artifacts import read_json

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


def test_the_mean_is_a_model_s_folder(tmp_path: Path) -> None:
    models = [build_model(SETTINGS, SPACE, seed) for seed in range(3)]
    folders = [tmp_path / str(seed) for seed in range(3)]
    for folder, model in zip(folders, models, strict=True):
        folder.mkdir()
        save_model(model, folder, {"seed": 7, "versions": {"torch": "2"}})
    merge(folders, out=tmp_path / "mean")
    mean = load_model(tmp_path / "mean").state_dict()
    expected = mean_of(models).state_dict()
    assert all(torch.equal(mean[name], value) for name, value in expected.items())
    record = read_json(tmp_path / "mean" / "model.json")
    assert (record["stage"], record["seed"], record["steps"]) == ("merge", 7, 0)
    expert = sha256((folders[2] / "model.safetensors").read_bytes()).hexdigest()
    assert record["inputs"]["expert2/model.safetensors"].removeprefix("sha256:") == expert
