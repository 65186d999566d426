from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from PIL import Image

from dac.conquer.routed import RoutedModel, load, save_routed
from dac.divide.partition import Partition
from dac.divide.router import Router
from dac.errors import UserError
from dac.evaluation.evaluate import evaluate_experts, evaluate_model, scored_views
from dac.evaluation.metrics import score
from dac.evaluation.records import Evaluation
from dac.evaluation.render import render_view
from dac.evaluation.truth import background_colour, truth_image
from dac.fields.model import load_model
from dac.scenes.scene import Scene
from dac.settings import EvaluateSettings
from dac.storage.artifacts import sha256

SETTINGS = EvaluateSettings(chunk_rays=500, pictures=2)
LABEL = {"method": "baseline-1x", "model": "kplanes", "seed": 0, "steps": 10}
EXPERTS = {**LABEL, "method": "experts", "division": "azimuth", "K": 2}


@pytest.mark.parametrize("count", [1, 2, 5, 17, 200])
@pytest.mark.parametrize("wanted", [1, 2, 3, 16, 17, 300, None])
def test_scored_views_are_evenly_spaced(count: int, wanted: int | None) -> None:
    test = [3 * i + 1 for i in range(count)]
    chosen = scored_views(test, wanted)
    assert len(chosen) == min(count, wanted or count) == len(set(chosen))
    assert chosen == sorted(chosen) and set(chosen) <= set(test)
    gaps = np.diff([test.index(view) for view in chosen])
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


def test_a_model_is_scored(toy_runs: Path, tmp_path: Path) -> None:
    out, run = tmp_path / "evaluation", toy_runs / "run0"
    record = evaluate_model(
        toy_runs / "scene",
        run,
        SETTINGS,
        LABEL,
        out,
        state=tmp_path / "state",
        side_by_side=[toy_runs / "run1"] * 2,
    )
    assert Evaluation.load(out) == record
    scene, model = Scene.load(toy_runs / "scene"), load_model(run)
    assert [image.name for image in record.images] == [scene.names[view] for view in scene.test]
    for view, image in zip(scene.test, record.images, strict=True):
        rgb = render_view(model, scene.cameras, view, background_colour(scene), 10_000).rgb
        expected = score(rgb, truth_image(scene, view))
        assert image.psnr == pytest.approx(expected.psnr, abs=1e-4)
        assert image.ssim == pytest.approx(expected.ssim, abs=1e-4)
        assert image.ms_ssim is None and image.group is None
    assert record.inputs["scene.json"] == sha256(toy_runs / "scene" / "scene.json")
    assert record.inputs["run0/model.safetensors"] == sha256(run / "model.safetensors")
    assert record.cost.training_steps == 10 + 2 * 11
    assert record.cost.training_seconds == 2.0 + 2 * 3.0
    assert record.cost.longest_path_seconds == 2.0 + 3.0
    assert record.parameters == sum(p.numel() for p in model.parameters())
    assert record.test_views == 4 and not record.masked


def test_an_evaluations_files(toy_runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "evaluation"
    settings = EvaluateSettings(test_views=3, pictures=2)
    record = evaluate_model(
        toy_runs / "scene", toy_runs / "run0", settings, LABEL, out, state=tmp_path / "state"
    )
    assert len(record.images) == 3 and record.test_views == 4
    renders, depth = np.load(out / "renders.npy"), np.load(out / "depth.npy")
    assert renders.shape == (3, 24, 24, 3) and renders.dtype == np.uint8
    assert depth.shape == (3, 24, 24) and depth.dtype == np.float16
    for kind in ("renders", "depth"):
        pictures = sorted((out / kind).iterdir())
        assert [path.name[:3] for path in pictures] == ["000", "002"]
        assert Image.open(pictures[0]).size == (24, 24)
    shown = np.asarray(Image.open(next(iter(sorted((out / "renders").iterdir())))))
    assert (shown == renders[0]).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evaluation", "state"]
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["finished"]


def test_experts_are_routed(toy_runs: Path, tmp_path: Path) -> None:
    runs = [toy_runs / "run0", toy_runs / "run1"]
    partition = toy_runs / "partition.json"
    out = tmp_path / "experts"
    record = evaluate_experts(
        toy_runs / "scene", partition, runs, SETTINGS, EXPERTS, out, state=tmp_path / "state"
    )
    alone = [
        evaluate_model(
            toy_runs / "scene",
            run,
            SETTINGS,
            LABEL,
            tmp_path / run.name,
            state=tmp_path / "state" / run.name,
        )
        for run in runs
    ]
    scene, groups = Scene.load(toy_runs / "scene"), Partition.load(partition)
    assert {image.group for image in record.images} == {0, 1}
    for i, (view, image) in enumerate(zip(scene.test, record.images, strict=True)):
        pose = scene.cameras.world_from_camera[view].numpy()
        assert image.group == Router.of(scene, groups).owner_of(pose)
        assert image.psnr == pytest.approx(alone[image.group].images[i].psnr, abs=1e-4)
        assert image.expert_psnr is not None
        for expert, value in enumerate(image.expert_psnr):
            assert value == pytest.approx(alone[expert].images[i].psnr, abs=1e-4)
    assert record.cost.training_steps == 10 + 11
    assert record.cost.longest_path_seconds == 3.0
    assert record.inputs["partition.json"] == sha256(partition)


@pytest.mark.parametrize("packed_size", [None, 1.3])
def test_a_routed_model_is_scored_as_it_lies_on_the_disk(
    toy_runs: Path, tmp_path: Path, packed_size: float | None
) -> None:
    """Views between the two halves are blends, and the record knows every expert's score."""
    scene, groups = Scene.load(toy_runs / "scene"), Partition.load(toy_runs / "partition.json")
    experts = [load_model(toy_runs / f"run{k}") for k in (0, 1)]
    router = Router.of(scene, groups, 0.3)
    folder = tmp_path / "routed"
    folder.mkdir()
    took = {"steps": 0, "seconds": 0.0, "memory_bytes": 0}
    save_routed(RoutedModel(experts, router), folder, packed_size, took)
    record = evaluate_model(
        toy_runs / "scene",
        folder,
        SETTINGS,
        {**LABEL, "method": "routed", "division": "azimuth", "K": 2, "trunk": 2, "horizon": 10},
        tmp_path / "evaluation",
        state=tmp_path / "state",
        earlier=[toy_runs / "run0"],
        side_by_side=[toy_runs / "run0", toy_runs / "run1"],
        generalist=toy_runs / "run1",  # 11 steps, the earlier 10 among them
    )
    assert record.model_bytes == (folder / "model.safetensors").stat().st_size
    assert (record.cost.training_steps, record.cost.longest_path_steps) == (
        10 + 10 + 11 + 1,
        10 + 11,
    )
    model = load(folder)
    assert isinstance(model, RoutedModel)
    background, blended = background_colour(scene), 0
    for view, image in zip(scene.test, record.images, strict=True):
        shares = router.weights(scene.cameras.world_from_camera[view].numpy())
        alone = [
            render_view(expert, scene.cameras, view, background, 500).rgb
            for expert in model.experts
        ]
        mixed = sum(float(share) * rgb for share, rgb in zip(shares, alone, strict=True))
        expected = score(torch.as_tensor(mixed), truth_image(scene, view)).psnr
        assert image.psnr == pytest.approx(expected, abs=1e-3)
        assert image.group == int(shares.argmax()) and image.expert_psnr is not None
        scores = [score(rgb, truth_image(scene, view)).psnr for rgb in alone]
        assert image.expert_psnr == pytest.approx(scores, abs=1e-3)
        blended += np.count_nonzero(shares) > 1
    assert 0 < blended < len(record.images)


def test_strided_experts_see_a_grid(toy_runs: Path, tmp_path: Path) -> None:
    runs = [toy_runs / "run0", toy_runs / "run1"]
    settings = EvaluateSettings(expert_stride=4, test_views=1)
    record = evaluate_experts(
        toy_runs / "scene",
        toy_runs / "partition.json",
        runs,
        settings,
        EXPERTS,
        tmp_path / "e",
        state=tmp_path / "state",
    )
    scene = Scene.load(toy_runs / "scene")
    view = scene.indices([record.images[0].name])[0]
    truth = truth_image(scene, view)[2::4, 2::4]
    for expert, run in enumerate(runs):
        rgb = render_view(
            load_model(run), scene.cameras, view, background_colour(scene), 10_000
        ).rgb
        expected = -10 * torch.log10((rgb[2::4, 2::4].clamp(0, 1) - truth).square().mean())
        assert record.images[0].expert_psnr[expert] == pytest.approx(float(expected), abs=1e-3)


def test_masks_leave_pixels_out(toy_runs: Path, tmp_path: Path) -> None:
    scene = toy.scene(channels=3)
    masks = np.full(scene.images.shape[:3], 255, np.uint8)
    masks[:, :12] = 0
    spoilt = scene.images.copy()
    spoilt[list(scene.test), :12] = 255 - spoilt[list(scene.test), :12]
    results = []
    for name, images in (("plain", scene.images), ("spoilt", spoilt)):
        replace(scene, images=images, masks=masks).save(tmp_path / name)
        out = tmp_path / f"{name}-evaluation"
        results.append(
            evaluate_model(
                tmp_path / name, toy_runs / "run0", SETTINGS, LABEL, out, state=tmp_path / "state"
            )
        )
    assert results[0].masked
    assert results[0].mean.psnr == results[1].mean.psnr
    assert results[0].mean_image_psnr == results[1].mean_image_psnr


def test_what_cannot_be_evaluated(toy_runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scene = toy_runs / "scene"
    with pytest.raises(UserError, match="2 groups, but 1 expert"):
        evaluate_experts(
            scene,
            toy_runs / "partition.json",
            [toy_runs / "run0"],
            SETTINGS,
            EXPERTS,
            out,
            state=tmp_path / "state",
        )
    with pytest.raises(UserError, match="no such file"):
        evaluate_model(scene, tmp_path / "none", SETTINGS, LABEL, out, state=tmp_path / "state")
    with pytest.raises(UserError, match="label"):
        evaluate_model(
            scene, toy_runs / "run0", SETTINGS, {"method": "dac"}, out, state=tmp_path / "state"
        )
    replace(toy.scene(), test=()).save(tmp_path / "untested")
    with pytest.raises(UserError, match="no test view"):
        evaluate_model(
            tmp_path / "untested", toy_runs / "run0", SETTINGS, LABEL, out, state=tmp_path / "state"
        )
    costless = tmp_path / "costless"
    shutil.copytree(toy_runs / "run0", costless)
    data = json.loads((costless / "model.json").read_text())
    del data["seconds"]
    (costless / "model.json").write_text(json.dumps(data))
    with pytest.raises(UserError, match="lacks its cost"):
        evaluate_model(scene, costless, SETTINGS, LABEL, out, state=tmp_path / "state")
    assert not out.exists() and not (tmp_path / "state").exists()
    assert not list(tmp_path.glob(".*"))
