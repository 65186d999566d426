"""A learning curve on real data: what a backend's steps are worth, not only how fast they are.

Trains the baseline of a Blender data set through the package's own loop and writes, at some numbers
of steps, the PSNR of whole test views and of held-out pixels. Two backends that compute the same
step lie on one curve, up to the spread of two seeds.

    python -m bench.curve --data data/lego_400 --backend native --seed 0 --out native_seed0.json

A killed run goes on where it stopped when the same command is given again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dac.evaluation.evaluate import scored_views
from dac.evaluation.metrics import psnr
from dac.evaluation.render import render_view
from dac.evaluation.truth import background_colour, truth_image
from dac.fields.model import Model, build_model
from dac.ops.backend import using
from dac.scenes.importer import import_scene
from dac.scenes.scene import Scene
from dac.settings import ModelSettings, SceneSettings, TrainSettings
from dac.storage.artifacts import read_json, write_json
from dac.training.checkpoints import Checkpoints, make_optimizer, run_tensors
from dac.training.curve import Progress
from dac.training.images import ImageObjective
from dac.training.keys import Stream, mix
from dac.training.loop import LoopSettings, train
from dac.training.probe import make_probe
from dac.training.schedules import learning_rate

POINTS = (200, 400, 800, 1500, 3000, 6000, 10_000)
_CHUNK = 4096


def main(arguments: list[str] | None = None) -> None:
    """Run the command line above."""
    options = _options(arguments)
    model, settings = _settings(options)
    scene = import_scene(
        options.data, "blender", SceneSettings(downscale=options.downscale), name=options.data.name
    )
    identity = {
        "backend": options.backend,
        "seed": options.seed,
        "downscale": options.downscale,
        "steps": options.steps,
        "model": model.model_dump(mode="json"),
        "train": settings.model_dump(mode="json"),
        "test_views": scored_views(scene.test, options.views),
    }
    points = [point for point in POINTS if point < options.steps] + [options.steps]
    with using(options.backend):
        _train(scene, model, settings, identity, points, options.out)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.curve", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of a Blender data set")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file that is written")
    parser.add_argument("--backend", choices=("reference", "native"), default="reference")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rays", type=int, default=1024)
    parser.add_argument("--downscale", type=int, default=2)
    parser.add_argument("--scales", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--views", type=int, default=10, help="test views that are scored")
    return parser.parse_args(arguments)


def _settings(options: argparse.Namespace) -> tuple[ModelSettings, TrainSettings]:
    """The defaults of the package but for what suits images of 200 x 200."""
    model = ModelSettings(
        resolution=64,
        scales=tuple(options.scales),
        channels=16,
        proposal_resolutions=(64, 128),
        proposal_samples=(128, 64),
        samples=48,
        hidden=64,
    )
    return model, TrainSettings(steps=options.steps, rays=options.rays)


def _train(
    scene: Scene,
    settings: ModelSettings,
    options: TrainSettings,
    identity: dict[str, Any],
    points: list[int],
    out: Path,
) -> None:
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    found = read_json(out)["points"] if out.exists() else []
    done = {point["step"]: point for point in found}
    seed = identity["seed"]
    model = build_model(settings, scene.space, seed)
    optimizer = make_optimizer(model, eps=options.adam_eps)
    objective = ImageObjective(model, scene, scene.train, options, mix(seed, Stream.GROUP, 0))
    probe = make_probe(model, scene, count=options.curve_rays)
    checkpoints = Checkpoints(out.with_suffix(".state"), digest)
    progress = Progress()
    for point in points:
        loop = LoopSettings(
            label=f"{identity['backend']} seed {seed}",
            steps=point,
            rate=learning_rate(
                options.learning_rate, warmup=options.warmup_steps, horizon=options.steps
            ),
            curve_points=1,
            checkpoint_seconds=options.checkpoint_seconds,
        )
        loaded = checkpoints.load()
        if loaded is not None and loaded[1]["step"] >= point and point in done:
            continue
        progress = train(objective, optimizer, probe, loop, checkpoints, progress)
        checkpoints.save(progress.step, run_tensors(model, optimizer), asdict(progress))
        done[point] = {
            "step": point,
            "seconds": progress.seconds,
            "held_out_psnr": probe(),
            "test_psnr": _test_psnr(model, scene, identity["test_views"]),
        }
        write_json(out, {**identity, "points": [done[p] for p in points if p in done]})
        print(json.dumps(done[point]), flush=True)


def _test_psnr(model: Model, scene: Scene, views: list[int]) -> float:
    """Mean over whole views, as the tables have it."""
    scores = []
    for view in views:
        rendered = render_view(model, scene.cameras, view, background_colour(scene), _CHUNK)
        scores.append(psnr(rendered.rgb, truth_image(scene, view)))
    return statistics.fmean(scores)


if __name__ == "__main__":
    main()
