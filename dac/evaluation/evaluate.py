"""Scoring a run: test views rendered, compared with the truth, and recorded.

An evaluation's folder holds `evaluation.json` (see `records`), `renders.npy` (V, H, W, 3) uint8 and
`depth.npy` (V, H, W) float16 of the V scored views, and some of them as PNG under `renders/` and
`depth/`. It appears whole or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dac.artifacts import new_folder, read_json, sha256
from dac.conquer.routing import owner_of_camera
from dac.divide.partition import Partition
from dac.errors import UserError
from dac.evaluation import pictures
from dac.evaluation.metrics import psnr, score
from dac.evaluation.progress import with_progress
from dac.evaluation.records import (
    Cost,
    Evaluation,
    ImageScore,
    Label,
    git_commit,
    mean_of,
    versions,
)
from dac.evaluation.render import Rendered, render_pixels, render_view
from dac.evaluation.truth import background_colour, mean_image, truth_image, usable_pixels
from dac.fields.model import Model, default_device, load_model
from dac.scenes.scene import Scene
from dac.settings import EvaluateSettings

LARGEST_HALF = 65504.0


@dataclass(frozen=True)
class _Routed:
    """Experts, and the one that renders each test view.

    Attributes:
        models: K experts; a single model is an ensemble of one.
        owner: scored view -> expert.
        stride: every n-th pixel, both ways, where experts are scored on views of others; None where
            there is one model only.
    """

    models: Sequence[Model]
    owner: Mapping[int, int]
    stride: int | None


@dataclass(frozen=True)
class _Truth:
    """A view's image (H, W, 3) over the background, and the pixels (H, W) that count, or None."""

    image: Tensor
    usable: Tensor | None


def evaluate_model(
    scene_dir: Path,
    run: Path,
    settings: EvaluateSettings,
    label: dict[str, Any],
    out: Path,
    *,
    earlier: Sequence[Path] = (),
    side_by_side: Sequence[Path] = (),
) -> Evaluation:
    """Score one model on the scene's test views.

    Args:
        scene_dir: the scene's folder.
        run: the run's folder, with model.safetensors and model.json.
        settings: which views, and how they are rendered.
        label: what this run is called; the fields of `records.Label`.
        out: the evaluation's folder, replaced.
        earlier: runs that this one builds on, one after the other (for DaC: distillation); they
            count towards its cost.
        side_by_side: runs before those, independent of each other (for DaC: the experts).

    Raises:
        UserError: the scene, the run or the label is missing or damaged; no test view; disk full.
    """
    named, device = Label.parse(label), str(default_device())
    scene = Scene.load(scene_dir)
    model = load_model(run, device)
    cost = _training_cost([*earlier, run], side_by_side)
    routed = _Routed([model], dict.fromkeys(scene.test, 0), None)
    return _evaluate(scene_dir, scene, [run], routed, settings, named, cost, device, out)


def evaluate_experts(
    scene_dir: Path,
    partition: Path,
    experts: Sequence[Path],
    settings: EvaluateSettings,
    label: dict[str, Any],
    out: Path,
) -> Evaluation:
    """Score the experts as an ensemble: each test view is rendered by the expert that owns it.

    Every expert's PSNR on every scored view is recorded too, on every `expert_stride`-th pixel both
    ways, so that the oracle (the best expert of each view) and each expert outside its own sector
    can be reported.

    Args:
        partition: partition.json.
        experts: K run folders, in the order of the partition's groups.

    Raises:
        UserError: as `evaluate_model`; the number of experts is not K.
    """
    named, device = Label.parse(label), str(default_device())
    scene, groups = Scene.load(scene_dir), Partition.load(partition)
    if len(experts) != groups.count:
        raise UserError(
            partition, f"has {groups.count} groups, but {len(experts)} experts are given"
        )
    models = [load_model(expert, device) for expert in experts]
    cost = _training_cost([], experts)
    owner = {view: owner_of_camera(scene, groups, view) for view in scene.test}
    routed = _Routed(models, owner, settings.expert_stride)
    return _evaluate(
        scene_dir, scene, experts, routed, settings, named, cost, device, out, partition=partition
    )


def scored_views(test: Sequence[int], wanted: int | None) -> list[int]:
    """`wanted` evenly spaced ones of the test views, or all of them.

    The first and last of N taken from n are half a gap from the ends, as bins' centres are.
    """
    if wanted is None or wanted >= len(test):
        return list(test)
    return [test[(2 * i + 1) * len(test) // (2 * wanted)] for i in range(wanted)]


def _evaluate(
    scene_dir: Path,
    scene: Scene,
    runs: Sequence[Path],
    routed: _Routed,
    settings: EvaluateSettings,
    label: Label,
    training: tuple[int, float, float],
    device: str,
    out: Path,
    partition: Path | None = None,
) -> Evaluation:
    views = scored_views(scene.test, settings.test_views)
    if not views:
        raise UserError(scene_dir, "has no test view", "choose another split (scene.split)")
    inputs = {scene_dir / "scene.json": "scene.json"}
    if partition is not None:
        inputs[partition] = "partition.json"
    for run in runs:
        inputs[run / "model.safetensors"] = f"{run.name}/model.safetensors"
    with new_folder(out) as part:
        images, seconds, blank = _score_views(scene, views, routed, settings, part)
        height, width = scene.images.shape[1:3]
        rate = len(views) * height * width / max(seconds, 1e-9)
        record = Evaluation(
            scene=scene.name,
            label=label,
            mean=mean_of(images),
            images=tuple(images),
            test_views=len(scene.test),
            mean_image_psnr=blank,
            masked=scene.masks is not None,
            cost=Cost(*training, rendering_seconds=seconds, rays_per_second=rate),
            parameters=sum(p.numel() for model in routed.models for p in model.parameters()),
            device=_device_name(device),
            versions=versions(),
            git_commit=git_commit(),
            inputs={name: sha256(path) for path, name in inputs.items()},
            settings={
                "evaluate": settings.model_dump(mode="json"),
                "model": routed.models[0].settings.model_dump(mode="json"),
            },
        )
        record.save(part)
    return record


def _score_views(
    scene: Scene, views: Sequence[int], routed: _Routed, settings: EvaluateSettings, part: Path
) -> tuple[list[ImageScore], float, float]:
    """Scores, seconds of rendering, and the mean image's PSNR; writes the arrays and pictures."""
    height, width = scene.images.shape[1:3]
    renders = _array(part / "renders.npy", np.uint8, (len(views), height, width, 3))
    depths = _array(part / "depth.npy", np.float16, (len(views), height, width))
    shown = scored_views(range(len(views)), settings.pictures) if settings.pictures else []
    for folder in ("renders", "depth"):
        (part / folder).mkdir()
    blank = mean_image(scene)
    images, blanks, seconds = [], [], 0.0
    for position, view in enumerate(with_progress(views, f"{scene.name} test views")):
        truth = _Truth(truth_image(scene, view), usable_pixels(scene, view))
        start = time.perf_counter()
        rendered = _render_owned(scene, view, routed, settings.chunk_rays)
        seconds += time.perf_counter() - start
        images.append(_score_view(scene, view, rendered, truth, routed, settings.chunk_rays))
        blanks.append(psnr(blank, truth.image, truth.usable))
        renders[position] = pictures.to_uint8(rendered.rgb)
        depths[position] = rendered.depth.clamp_max(LARGEST_HALF).numpy()
        if position in shown:
            name = pictures.picture_name(position, scene.names[view])
            pictures.save_png(part / "renders" / name, renders[position])
            depth = pictures.depth_picture(rendered.depth, rendered.accumulation)
            pictures.save_png(part / "depth" / name, depth)
    renders.flush()
    depths.flush()
    return images, seconds, sum(blanks) / len(blanks)


def _render_owned(scene: Scene, view: int, routed: _Routed, chunk_rays: int) -> Rendered:
    """A view as the expert that owns it renders it, on the CPU."""
    model, background = routed.models[routed.owner[view]], background_colour(scene)
    rendered = render_view(model, scene.cameras, view, background, chunk_rays)
    return Rendered(*(tensor.cpu() for tensor in rendered))


def _score_view(
    scene: Scene,
    view: int,
    rendered: Rendered,
    truth: _Truth,
    routed: _Routed,
    chunk_rays: int,
) -> ImageScore:
    name = scene.names[view]
    try:
        scores = score(rendered.rgb, truth.image, truth.usable)
    except ValueError as error:
        where = f"scene {scene.name}: {name}"
        raise UserError(where, f"can't be scored: {error}", "look at the run's curve") from None
    if routed.stride is None:
        return ImageScore(name, scores.psnr, scores.ssim, scores.ms_ssim)
    experts = _score_experts(scene, view, rendered, truth, routed, chunk_rays)
    owner = routed.owner[view]
    return ImageScore(name, scores.psnr, scores.ssim, scores.ms_ssim, owner, tuple(experts))


def _score_experts(
    scene: Scene,
    view: int,
    rendered: Rendered,
    truth: _Truth,
    routed: _Routed,
    chunk_rays: int,
) -> list[float]:
    """Every expert's PSNR on the same grid of pixels, the owner's taken from its whole render."""
    stride = routed.stride or 1
    grid = torch.zeros(truth.image.shape[:2], dtype=torch.bool)
    grid[stride // 2 :: stride, stride // 2 :: stride] = True
    if truth.usable is not None and bool((grid & truth.usable).any()):
        grid &= truth.usable
    pixels = grid.flatten().nonzero()[:, 0]
    background = background_colour(scene)
    results = []
    for index, model in enumerate(routed.models):
        if index == routed.owner[view]:
            rgb = rendered.rgb[grid]
        else:
            rgb = render_pixels(model, scene.cameras, view, pixels, background, chunk_rays).rgb
        results.append(psnr(rgb.cpu().clamp(0.0, 1.0), truth.image[grid]))
    return results


def _training_cost(
    one_after_another: Sequence[Path], side_by_side: Sequence[Path]
) -> tuple[int, float, float]:
    """Steps and seconds of all runs together, and seconds of the longest path through them."""
    chain = [_steps_and_seconds(run) for run in one_after_another]
    parallel = [_steps_and_seconds(run) for run in side_by_side]
    steps = sum(run[0] for run in chain + parallel)
    seconds = sum(run[1] for run in chain + parallel)
    longest = sum(run[1] for run in chain) + max((run[1] for run in parallel), default=0.0)
    return steps, seconds, longest


def _steps_and_seconds(run: Path) -> tuple[int, float]:
    data = read_json(run / "model.json")
    try:
        return int(data["steps"]), float(data["seconds"])
    except (KeyError, TypeError, ValueError) as error:
        again = "delete the folder and run its rule again"
        raise UserError(run / "model.json", f"lacks its cost ({error!r})", again) from None


def _array(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


def _device_name(device: str) -> str:
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(torch.device(device))
    return device
