"""Saved states: whole, this run's own, or passed over."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
import toy

from dac.errors import UserError
from dac.fields.model import build_model
from dac.training.checkpoints import (
    Checkpoints,
    load_optimizer,
    load_run_tensors,
    make_optimizer,
    run_tensors,
    save_optimizer,
)


def saved(folder: Path, *steps: int, digest: str = "mine") -> Checkpoints:
    checkpoints = Checkpoints(folder, digest)
    for step in steps:
        checkpoints.save(step, {"x": torch.full((3,), float(step))}, {"step": step})
    return checkpoints


def newest(checkpoints: Checkpoints) -> int | None:
    loaded = checkpoints.load()
    if loaded is None:
        return None
    tensors, progress = loaded
    assert tensors["x"].tolist() == [progress["step"]] * 3
    return int(progress["step"])


def test_the_newest_is_loaded_and_two_are_kept(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path / "state", 5, 99, 1000)
    assert newest(checkpoints) == 1000
    assert len(list((tmp_path / "state").iterdir())) == 2
    checkpoints.clear()
    assert newest(checkpoints) is None and not list((tmp_path / "state").iterdir())


@pytest.mark.parametrize("damage", ["flip", "cut", "no tensors", "no manifest", "bad manifest"])
def test_a_damaged_state_gives_way_to_the_one_before(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    tensors = tmp_path / "step-000000002" / "tensors.safetensors"
    manifest = tmp_path / "step-000000002" / "manifest.json"
    data = tensors.read_bytes()
    if damage == "flip":
        tensors.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "cut":
        tensors.write_bytes(data[: len(data) // 2])
    elif damage == "no tensors":
        tensors.unlink()
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(manifest.read_text()[:-10])
    assert newest(checkpoints) == 1
    assert "step-000000002" in caplog.text and "damaged" in caplog.text


def test_a_state_of_other_settings_is_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved(tmp_path, 1, 2, digest="other")
    with caplog.at_level(logging.WARNING):
        assert newest(Checkpoints(tmp_path, "mine")) is None
    assert "of other settings" in caplog.text
    assert newest(saved(tmp_path, 1)) == 1


def test_other_settings_states_do_not_crowd_out_ones_own(tmp_path: Path) -> None:
    saved(tmp_path, 100, 200, digest="other")
    mine = Checkpoints(tmp_path, "mine")
    assert newest(mine) is None
    mine.save(3, {"x": torch.full((3,), 3.0)}, {"step": 3})
    assert newest(saved(tmp_path, 4)) == 4
    assert newest(Checkpoints(tmp_path, "mine")) == 4


def test_a_state_that_was_never_finished_is_not_seen(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    part = tmp_path / ".step-000000002.part-abc"
    part.mkdir()
    (part / "tensors.safetensors").write_bytes(b"half")
    assert newest(checkpoints) == 1


def test_a_runs_tensors_come_back_bit_for_bit(tmp_path: Path) -> None:
    space = toy.scene(size=2).space
    first = build_model(toy.model_settings(), space, 0)
    optimizer = make_optimizer(first, eps=1e-15)
    field, _ = first.plane_tv()  # the proposals stay untouched: they have no moments
    field.backward()
    optimizer.step()
    checkpoints = Checkpoints(tmp_path, "mine")
    checkpoints.save(1, run_tensors(first, optimizer), {})
    other = build_model(toy.model_settings(), space, 1)
    resumed = make_optimizer(other, eps=1e-15)
    loaded = checkpoints.load()
    assert loaded is not None
    load_run_tensors(other, resumed, loaded[0])
    before, after = run_tensors(first, optimizer), run_tensors(other, resumed)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any("proposal" in name for name in before if name.startswith("optimizer."))


def test_an_optimiser_of_another_model_is_refused(tmp_path: Path) -> None:
    space = toy.scene(size=2).space
    small = build_model(toy.model_settings(), space, 0)
    large = build_model(toy.model_settings(channels=16), space, 0)
    optimizer = make_optimizer(small, eps=1e-15)
    small.plane_tv()[0].backward()
    optimizer.step()
    save_optimizer(small, optimizer, tmp_path)
    with pytest.raises(UserError, match="can't be continued from"):
        load_optimizer(large, make_optimizer(large, eps=1e-15), tmp_path)
    (tmp_path / "optimizer.safetensors").write_bytes(json.dumps({}).encode())
    with pytest.raises(UserError, match=r"optimizer\.safetensors"):
        load_optimizer(small, optimizer, tmp_path)
