"""Models on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dac.errors import UserError
from dac.fields.model import Model, build_model, load_model, save_model
from dac.scenes.scene import Space
from dac.settings import ModelSettings


def small(decoder: str = "hybrid") -> Model:
    settings = ModelSettings(
        decoder=decoder,  # type: ignore[arg-type]
        resolution=4,
        scales=(1, 2),
        channels=2,
        proposal_resolutions=(3, 4),
        proposal_samples=(8, 8),
        samples=8,
        hidden=8,
        explicit_hidden=8,
    )
    return build_model(settings, Space("contraction", ((-1.0,) * 3, (1.5,) * 3), 0.05, 1e3), 5)


@pytest.mark.parametrize("decoder", ["hybrid", "explicit"])
def test_a_model_comes_back_bit_for_bit(tmp_path: Path, decoder: str) -> None:
    model = small(decoder)
    save_model(model, tmp_path, {"seed": 5, "steps": 0})
    again = load_model(tmp_path)
    assert again.settings == model.settings and again.space == model.space
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    rays = model.make_rays(torch.zeros(3, 3), torch.eye(3))
    assert torch.equal(model.render(rays).rgb, again.render(rays).rgb)
    assert json.loads((tmp_path / "model.json").read_text())["seed"] == 5


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-40])


def fill_with_text(folder: Path) -> None:
    (folder / "model.safetensors").write_text("not a model")


def lose_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def lose_description(folder: Path) -> None:
    (folder / "model.json").unlink()


def edit(change: Callable[[dict], object]) -> Callable[[Path], None]:  # type: ignore[type-arg]
    def apply(folder: Path) -> None:
        data = json.loads((folder / "model.json").read_text())
        change(data)
        (folder / "model.json").write_text(json.dumps(data))

    return apply


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        fill_with_text,
        lose_weights,
        lose_description,
        edit(lambda data: data.pop("space")),
        edit(lambda data: data["space"].update(kind="torus")),
        edit(lambda data: data["space"].update(box=[[0, 0, 0]])),
        edit(lambda data: data["space"].update(box=None)),
        edit(lambda data: data["settings"].update(channels=4)),
        edit(lambda data: data["settings"].update(decoder="explicit")),
        edit(lambda data: data["settings"].update(channels="many")),
        edit(lambda data: data.update(settings=None)),
    ],
)
def test_damage_is_one_clear_line(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    save_model(small(), tmp_path, {})
    damage(tmp_path)
    with pytest.raises(UserError) as caught:
        load_model(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
