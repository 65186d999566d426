"""The results of a made-up study of one scene, laid out as the workflow lays them out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import toy

from dac.evaluation.pictures import to_uint8
from dac.evaluation.records import Cost, Evaluation, ImageScore, Label, mean_of
from dac.evaluation.truth import truth_image
from dac.scenes.points import Points

# PSNR of the 2x baseline on the toy scene's four test views, and by how much DaC is ahead on each.
HARDNESS = (20.0, 22.0, 24.0, 26.0)
GAINS = (0.4, 0.1, 0.3, 0.2)
Make = Callable[..., Path]


@pytest.fixture(scope="session")
def make_results(toy_scene: Path) -> Make:
    """`make_results(folder, ...)` writes a results folder that holds one scene, and returns it."""
    return partial(_make_results, toy_scene)


def _make_results(
    toy_scene: Path,
    folder: Path,
    *,
    name: str = "toy",
    inside: str = "toy",
    seeds: Sequence[int] = (0, 1),
    modes: Sequence[str] = ("corrected", "paper"),
    gains: Sequence[float] = GAINS,
    doubling: float = 0.5,
    once: bool = True,
    twice: bool = True,
    experts: bool = True,
    routed: Sequence[float] = (),
    merged: bool = False,
    partition: bool = True,
    points: bool = True,
    curves: bool = True,
    renders: bool = True,
    frozen: bool = True,
) -> Path:
    """Write a study: baselines of 100 and 200 steps, DaC of two groups in some modes.

    Args:
        toy_scene: the scene's folder, beside its partition.
        folder: the results folder.
        name: of the scene, in all files.
        inside: name of its folder.
        seeds: of all runs but the experts', which have the first.
        modes: of DaC; none: DaC wasn't trained. The second is 1 dB behind the first.
        gains: of DaC over the 2x baseline on each test view, of the first mode, dB.
        doubling: of the 2x baseline over the 1x baseline, dB.
        routed: gains of the routed model over the 1x baseline on each view, dB; none: there is
            none. Its trunk has 25 of 100 steps; its first seed has a random division, too.
        merged: whether its specialists were merged, 0.1 dB behind the 2x baseline.
        once, twice, experts, partition, points, curves, renders, frozen: what is there.
    """
    scene = toy.scene()
    top = folder / inside
    shutil.copytree(toy_scene, top / "scene")
    _write(
        top / "scene" / "scene.json",
        json.loads((toy_scene / "scene.json").read_text()) | {"name": name},
    )
    if partition:
        (top / "azimuth-2").mkdir()
        shutil.copy(toy_scene.parent / "partition.json", top / "azimuth-2")
    if points:
        (top / "points").mkdir()
        np.savez(top / "points" / "points.npz", **asdict(_points()))
    if frozen:
        settings = {"settings": {"train": {"rays": 512, "schedule": "cosine"}}}
        _write(top / "kplanes" / "settings" / "baseline.json", settings)
    truths = np.stack([to_uint8(truth_image(scene, view)) for view in scene.test])
    views = [scene.names[view] for view in scene.test]

    def write(
        run: Path, label: Label, psnr: Sequence[float], total: int, darker: int, path: int = 0
    ) -> None:
        images = tuple(
            ImageScore(view, value + 0.01 * label.seed, 0.9, None)
            for view, value in zip(views, psnr, strict=True)
        )
        newer = bool(routed)  # than the fields for its path and its bytes
        cost = Cost(total, total / 10, total / 20, 2.0, 5e4, 2 * 10**9, path if newer else None)
        inputs = {"model.safetensors": "ab" * 32}
        versions = {"torch": "2.13.0"}
        evaluation = Evaluation(
            *(name, label, mean_of(images), images, len(views), 12.5, False, cost, 1000, "cpu"),
            *(versions, "c0ffee", inputs, {"model": {"channels": 8}}),
            *([4_000_000] if newer else []),
        )
        _write(run / "evaluation.json", asdict(evaluation))
        if renders:
            np.save(run / "renders.npy", truths - np.minimum(truths, darker))

    for seed in seeds:
        runs = top / "kplanes" / f"seed{seed}"
        twice_psnr = np.array(HARDNESS)
        for times, wanted in ((1, once), (2, twice)):
            if wanted:
                run = runs / f"baseline-{100 * times}"
                label = Label(f"baseline-{times}x", "kplanes", seed, 100 * times)
                values = (twice_psnr - (2 - times) * doubling).tolist()
                write(run / "evaluation", label, values, 100 * times, 10, 100 * times)
                _curve(run, 100 * times, curves)
        for group in range(2):
            _curve(runs / "azimuth-2" / f"expert{group}", 100, curves and bool(modes))
        for behind, mode in enumerate(modes):
            run = runs / "azimuth-2" / mode / "distill-80-finetune-60"
            label = Label("dac", "kplanes", seed, 60, "azimuth", 2, mode, 80)
            values = (twice_psnr + np.array(gains) - behind).tolist()
            write(run / "evaluation", label, values, 340, 20, 240)
            _curve(run, 60, curves)
            _curve(run.parent / "distill-80", 80, curves)
        once_psnr = twice_psnr - doubling
        grown = {"division": "azimuth", "K": 2, "trunk": 25, "horizon": 100}
        run = runs / "azimuth-2" / "trunk-25-of-100"
        if routed:
            label = Label("routed", "kplanes", seed, 100, **grown)
            values = (once_psnr + np.array(routed)).tolist()
            write(run / "routed" / "evaluation", label, values, 175, 15, 100)
            if seed == seeds[0]:
                chance = replace(label, division="random")
                beside = runs / "random-2" / run.name / "routed" / "evaluation"
                write(beside, chance, once_psnr.tolist(), 175, 15, 100)
        if merged:
            label = Label("merged", "kplanes", seed, 100, **grown)
            merged_run = run / "merged-finetune-100"
            write(merged_run / "evaluation", label, (twice_psnr - 0.1).tolist(), 275, 15, 200)
            _curve(merged_run, 100, curves)
        if routed or merged:
            _curve(runs / run.name, 24, curves)
            for group in range(2):
                _curve(run / f"expert{group}", 100, curves)
    if experts and modes:
        run = top / "kplanes" / f"seed{seeds[0]}" / "azimuth-2" / "experts-evaluation"
        label = Label("experts", "kplanes", seeds[0], 100, "azimuth", 2)
        write(run, label, [value + 1 for value in HARDNESS], 200, 5)
    return folder


def _points() -> Points:
    """Forty points on a helix, each seen by two neighbouring views."""
    count = 40
    turn = np.linspace(0, 6 * np.pi, count)
    xyz = np.stack([np.cos(turn), np.sin(turn), np.linspace(-0.8, 0.8, count)], axis=1)
    views = np.stack([np.arange(count) % 15, np.arange(count) % 15 + 1], axis=1).ravel()
    return Points(
        xyz=xyz.astype(np.float32),
        rgb=np.full((count, 3), 200, np.uint8),
        offsets=np.arange(0, 2 * count + 1, 2),
        views=views.astype(np.int32),
        error=np.zeros(count, np.float32),
    )


def _curve(run: Path, steps: int, wanted: bool) -> None:
    """Four points, the first without a PSNR; it ends at 20 dB and a thousandth of the steps."""
    if not wanted:
        return
    at = [steps // 4 * i for i in range(1, 5)]
    curve = {
        "steps": at,
        "psnr": [None, 18.0, 19.0, 20.0 + steps / 1000],
        "losses": {"photometric": [0.1] * 4},
        "seconds": [step / 10 for step in at],
        "lr": [1e-2] * 4,
    }
    _write(run / "curve.json", curve)


def _write(file: Path, data: object) -> None:
    """As `dac.storage.artifacts.write_json`, but without waiting for the disk."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data))
