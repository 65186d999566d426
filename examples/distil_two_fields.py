"""Teach two small fields half of the views each, then one field of their size from the two.

    python examples/distil_two_fields.py --steps 300

It is the method without its workflow: all in memory, nothing is written. The PSNR is that of all
test views, of which each of the two has seen half from the wrong side.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from dac.conquer.distill import DistillSteps
from dac.divide.divide import partition_scene
from dac.errors import UserError
from dac.fields.model import Model, build_model
from dac.scenes.importer import import_scene
from dac.settings import (
    DistillSettings,
    DivideSettings,
    ModelSettings,
    SceneSettings,
    TrainSettings,
)
from dac.training.checkpoints import make_optimizer
from dac.training.images import ImageSteps
from dac.training.loop import Phase
from dac.training.run import make_probe
from dac.training.schedules import learning_rate_factor

LIGHTHOUSE = Path(__file__).parents[1] / "scenes" / "pocket-lighthouse"
RATE = 2e-2


def learn(model: Model, phase: Phase, steps: int) -> None:
    """Take a phase's steps, whichever phase it is, under a cosine."""
    update = phase.updates(make_optimizer(model, learning_rate=RATE, eps=1e-15), parts=1)
    for step in range(steps):
        update(step, RATE * learning_rate_factor(step, warmup=steps // 10, horizon=steps))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", type=Path, default=LIGHTHOUSE, help="in the Blender format")
    parser.add_argument("--steps", type=int, default=300, help="of each of the three")
    parser.add_argument("--rays", type=int, default=768, help="a step")
    parser.add_argument("--downscale", type=int, default=2, help="of the images")
    given = parser.parse_args()

    scene = import_scene(
        given.scene, "blender", SceneSettings(downscale=given.downscale), name="scene"
    )
    halves = partition_scene(scene, "azimuth", 2, DivideSettings(), None)
    size = ModelSettings(
        resolution=32,
        channels=16,
        proposal_resolutions=(32, 64),
        proposal_samples=(48, 32),
        samples=24,
        hidden=32,
    )
    train = TrainSettings(rays=given.rays, anneal_steps=100, proposal_update_ramp=200)

    def report(name: str, model: Model, phase: Phase) -> None:
        probe = make_probe(model, scene, count=20_000, device=torch.device("cpu"))
        before = probe()
        learn(model, phase, given.steps)
        print(f"{name}: {before:.2f} dB before, {probe():.2f} dB after", flush=True)

    # Experts begin with the same weights, and each sees the images of its group.
    experts = [build_model(size, scene.space, seed=0) for _ in halves.groups]
    for group, (expert, names) in enumerate(zip(experts, halves.groups, strict=True)):
        report(
            f"field {group} ({len(names)} views)",
            expert,
            ImageSteps(expert, scene, scene.indices(names), train, seed=group),
        )

    # The student sees no image: for each ray it asks the expert whose group owns the ray's view.
    student = build_model(size, scene.space, seed=1)
    teachers = [expert.requires_grad_(False) for expert in experts]
    lessons = DistillSteps(
        student,
        teachers,
        scene,
        halves,
        train,
        DistillSettings(rays=given.rays),
        mode="corrected",
        seed=0,
    )
    report("student of both", student, lessons)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
