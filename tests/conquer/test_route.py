"""Specialists and their division become one folder that renders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import toy
import toy_models

from dac.conquer.route import route
from dac.conquer.routed import RoutedModel, load
from dac.conquer.trust import generalist_shares
from dac.divide.partition import Partition
from dac.errors import UserError
from dac.fields.model import load_model, save_model
from dac.scenes.scene import Scene
from dac.settings import SpecialistSettings

RECORD = {"seed": 3, "versions": {"dac": "0.1.0"}, "steps": 20, "seconds": 2.0, "memory_bytes": 10}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A scene, its halves and their specialists."""
    scene = toy.scene()
    scene.save(tmp_path / "scene")
    toy.halves(scene).save(tmp_path / "partition.json")
    for group in range(2):
        folder = tmp_path / f"expert{group}"
        folder.mkdir()
        save_model(toy_models.lively(group), folder, RECORD)
    return tmp_path


def routed(place: Path, count: int, settings: SpecialistSettings) -> Path:
    experts = [place / f"expert{group % 2}" for group in range(count)]
    out = place / "routed"
    route(place / "scene", place / "partition.json", experts, settings, out=out)
    return out


def test_the_specialists_stay(place: Path) -> None:
    out = routed(place, 2, SpecialistSettings(packed_size=None, blend=0.1))
    model = load(out)
    assert isinstance(model, RoutedModel) and model.router.blend == 0.1
    for group, expert in enumerate(model.experts):
        expected = load_model(place / f"expert{group}").parameters()
        assert all(map(torch.equal, expert.parameters(), expected))
    about = json.loads((out / "model.json").read_text())
    assert (about["seed"], about["steps"], about["seconds"]) == (3, 0, 0.0)


def test_the_generalist_is_the_last_expert(place: Path) -> None:
    """Where a specialist and the generalist are one model, the specialist is not doubted."""
    out, folders = place / "routed", [place / f"expert{group}" for group in range(2)]
    plain = SpecialistSettings(packed_size=None)
    route(
        *(place / "scene", place / "partition.json", folders, plain),
        generalist=place / "expert1",
        out=out,
    )
    model = load(out)
    assert isinstance(model, RoutedModel) and len(model.experts) == 3
    assert all(map(torch.equal, model.experts[2].parameters(), model.experts[1].parameters()))
    scene, specialists = Scene.load(place / "scene"), model.experts[:2]
    groups = Partition.load(place / "partition.json").groups
    expected = generalist_shares(scene, groups, specialists, model.experts[2], seed=3)
    assert model.router.generalist is not None
    assert model.router.generalist.tolist() == expected.tolist()
    assert expected[1] == 0


def test_few_views_are_said(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    routed(place, 2, SpecialistSettings())
    assert "toy: a specialist has 6 views: try a smaller K" in caplog.text


def test_the_size_is_the_files(place: Path) -> None:
    weights, most = "model.safetensors", 0.3
    one = (place / "expert0" / weights).stat().st_size
    plain = (routed(place, 2, SpecialistSettings()) / weights).stat().st_size
    small = (routed(place, 2, SpecialistSettings(packed_size=most)) / weights).stat().st_size
    headers = 6000  # of safetensors
    assert small - headers < most * one < plain < 1.3 * one


@pytest.mark.parametrize(
    ("count", "size", "said"),
    [
        (3, 1.3, "has 2 groups, but 3 experts came"),
        (2, 0.001, r"specialists\.packed_size: 2 experts take 0\.\d+ at least; raise it"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    place: Path, count: int, size: float, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        routed(place, count, SpecialistSettings(packed_size=size))
    assert not (place / "routed").exists()
