"""One byte of a state that changes: it is noticed, and the state before is used."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attempts import Servers
from toy_jobs import ToyJob, Toys

from dac.storage.states import DamagedError, unseal
from dac.training.checkpoints import Checkpoints

SAMPLED = 300  # offsets among the tensors' bytes, besides all of the header's first ones
HEADER = 300


@pytest.fixture(scope="module")
def killed(toys: Toys, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> ToyJob:
    """A training that left two states: its disk lost power in the fourth save."""
    job = toys.job(
        "training", tmp_path_factory.mktemp("killed") / "r", steps=6, checkpoint_seconds=1e-9
    )
    with servers.one() as server:
        for nth in range(70, 200):
            server.attempt(job, fault={"effect": "kill", "nth": nth})
            if len(list(job.state.glob("step-*"))) == 2:
                return job
            shutil.rmtree(job.place)
    raise AssertionError("no kill left two states")


def test_every_flipped_byte_of_a_state_is_noticed(
    killed: ToyJob, figure: Callable[[str, str, Any], None], long: bool
) -> None:
    before, newest = sorted(killed.state.glob("step-*"))
    digest = unseal(newest)["digest"]
    earlier = unseal(before)["step"]
    chance = random.Random(0)
    assert sorted(file.name for file in newest.iterdir()) == [
        "manifest.json",
        "tensors.safetensors",
    ]
    tried = 0
    for file in sorted(newest.iterdir()):
        whole = file.read_bytes()
        offsets = set(range(len(whole)))
        if file.suffix == ".safetensors" and not long:
            offsets = set(range(HEADER)) | set(chance.sample(range(len(whole)), SAMPLED))
        for offset in sorted(offsets):
            changed = bytes([whole[offset] ^ 1 << chance.randrange(8)])
            file.write_bytes(whole[:offset] + changed + whole[offset + 1 :])
            with pytest.raises(DamagedError):
                unseal(newest)
            tried += 1
        loaded = Checkpoints(killed.state, digest).load()
        assert loaded is not None and loaded[1]["step"] == earlier
        file.write_bytes(whole)
    loaded = Checkpoints(killed.state, digest).load()
    assert loaded is not None and loaded[1]["step"] == unseal(newest)["step"]
    figure("flipped bytes", "of a checkpoint's files, one at a time", tried)
    figure("flipped bytes", "not noticed", 0)


def test_a_run_goes_on_from_the_state_before_a_damaged_one(
    killed: ToyJob, toys: Toys, servers: Servers, tmp_path: Path
) -> None:
    whole = toys.job("training", tmp_path / "whole", steps=6, checkpoint_seconds=1e-9)
    before, newest = sorted(killed.state.glob("step-*"))
    earlier = unseal(before)["step"]
    file = newest / "tensors.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with servers.one() as server:
        assert server.attempt(whole).status == 0
        answer = server.attempt(killed)
    assert answer.status == 0, answer.said
    assert f"{newest}: damaged (" in answer.said
    assert next(step for what, step, _ in answer.trace if what == "loaded") == earlier
    assert killed.result() == whole.result()


def test_a_damaged_finished_result_is_made_again(
    toys: Toys, servers: Servers, tmp_path: Path, figure: Callable[[str, str, Any], None]
) -> None:
    job = toys.job("training", tmp_path / "r", steps=6)
    with servers.one() as server:
        assert server.attempt(job).status == 0
        whole, kept = job.result(), job.state / "finished"
        files = sorted(kept.iterdir())
        for file in files:
            data = file.read_bytes()
            file.unlink()  # the result has the same file by another name
            file.write_bytes(data[:-2] + bytes([data[-2] ^ 4]) + data[-1:])
            answer = server.attempt(job)
            assert answer.status == 0 and f"{kept}: can't be used" in answer.said
            assert any(what == "step" for what, _, _ in answer.trace)
            assert job.result() == whole
        answer = server.attempt(job)
    assert answer.trace == [] and "finished before" in answer.said
    assert json.loads((job.out / "model.json").read_text())["steps"] == 6
    figure("flipped bytes", "files of a finished result, damaged in turn", len(files))
