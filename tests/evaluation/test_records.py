from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dac.errors import UserError
from dac.evaluation import records
from dac.evaluation.records import (
    Cost,
    Evaluation,
    ImageScore,
    Label,
    git_commit,
    mean_of,
    versions,
)

IMAGES = (
    ImageScore("a.png", 30.0, 0.9, 0.95, 1, (28.0, 30.0)),
    ImageScore("b.png", 20.0, 0.7, None, 0, (20.0, 19.0)),
)
RECORD = Evaluation(
    scene="toy",
    label=Label("experts", "kplanes", 0, 10, "azimuth", 2),
    mean=mean_of(IMAGES),
    images=IMAGES,
    test_views=4,
    mean_image_psnr=12.0,
    masked=False,
    cost=Cost(20, 3.0, 2.0, 1.0, 1e4, 10**9),
    parameters=100,
    device="cpu",
    versions=versions(),
    git_commit=git_commit(),
    inputs={"scene.json": "ab"},
    settings={"evaluate": {"test_views": None}},
)


def test_round_trip(tmp_path: Path) -> None:
    RECORD.save(tmp_path)
    assert Evaluation.load(tmp_path) == RECORD
    assert Evaluation.load(tmp_path / "evaluation.json") == RECORD


def test_means() -> None:
    assert (RECORD.mean.psnr, RECORD.mean.ms_ssim) == (25.0, None)
    assert RECORD.mean.ssim == pytest.approx(0.8)
    assert mean_of(IMAGES[:1]).ms_ssim == 0.95


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scene", 3),
        ("images", []),
        ("images", [{"name": "a"}]),
        ("mean", {"psnr": "30", "ssim": 0.9, "ms_ssim": None}),
        ("surprise", 1),
        ("test_views", 1.5),
    ],
)
def test_damage_is_one_line(tmp_path: Path, key: str, value: Any) -> None:
    RECORD.save(tmp_path)
    path = tmp_path / "evaluation.json"
    data = json.loads(path.read_text())
    data[key] = value
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match=r"evaluation\.json: ") as caught:
        Evaluation.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_and_broken(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        Evaluation.load(tmp_path)
    (tmp_path / "evaluation.json").write_text("[1, 2")
    with pytest.raises(UserError, match="broken JSON"):
        Evaluation.load(tmp_path)
    (tmp_path / "evaluation.json").write_text("[1, 2]")
    with pytest.raises(UserError, match="is no record"):
        Evaluation.load(tmp_path)


def test_labels_are_checked() -> None:
    data = {"method": "dac", "model": "kplanes", "seed": 0, "steps": 5, "mode": "paper"}
    assert Label.parse(data) == Label("dac", "kplanes", 0, 5, mode="paper")
    for change in ({"seed": "0"}, {"typo": 1}, {"method": None}):
        with pytest.raises(UserError, match="label"):
            Label.parse({**data, **change})


def test_no_git_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit() is None


def test_code_outside_a_checkout_has_no_commit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if subprocess.run(["git", "init", "-q", str(tmp_path)], check=False).returncode:
        pytest.skip("no git")
    (tmp_path / "records.py").touch()  # in a repository, but not tracked by it
    monkeypatch.setattr(records, "__file__", str(tmp_path / "records.py"))
    assert git_commit() is None


def test_nan_is_no_score(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="finite"):
        replace(RECORD, mean_image_psnr=float("nan"))
