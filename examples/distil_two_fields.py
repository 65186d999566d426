"""Teach two small fields half of the views each, then one field of their size from the two.

    python examples/distil_two_fields.py --steps 300

It is the method without its workflow: all in memory, nothing is written. The PSNR is that of all
test views, of which each of the two has seen half from the wrong side.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dac import settings
from dac.conquer.objective import DistillObjective
from dac.divide.divide import partition_scene
from dac.errors import UserError
from dac.fields.model import build_model, default_device
from dac.scenes.importer import import_scene
from dac.training.checkpoints import make_optimizer
from dac.training.images import ImageObjective
from dac.training.loop import LoopSettings, train
from dac.training.probe import make_probe
from dac.training.schedules import learning_rate

LIGHTHOUSE = Path(__file__).parents[1] / "scenes" / "pocket-lighthouse"
RATE = 2e-2
SMALL = settings.ModelSettings(
    resolution=32, channels=16, proposal_resolutions=(32, 64), proposal_samples=(48, 32), samples=24
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", type=Path, default=LIGHTHOUSE, help="in the Blender format")
    parser.add_argument("--steps", type=int, default=300, help="of each of the three")
    given = parser.parse_args()

    device = default_device()
    shrunk = settings.SceneSettings(downscale=2)
    scene = import_scene(given.scene, "blender", shrunk, name="scene")
    halves = partition_scene(scene, "azimuth", 2, settings.DivideSettings(), None)
    learning = settings.TrainSettings(rays=512, anneal_steps=100, proposal_update_ramp=200)
    taught = settings.DistillSettings(rays=512)
    rate = learning_rate(RATE, warmup=given.steps // 10, horizon=given.steps)

    def learn(name: str, objective: ImageObjective | DistillObjective) -> None:
        optimizer = make_optimizer(objective.model, eps=learning.adam_eps)
        probe = make_probe(objective.model, scene, count=20_000)
        before = probe()
        end = train(objective, optimizer, probe, LoopSettings(name, given.steps, rate))
        print(f"{name}: {before:.2f} dB before, {end.curve.psnr[-1]:.2f} dB after", flush=True)

    # Experts begin with the same weights, and each sees the images of its group.
    experts = [build_model(SMALL, scene.space, seed=0).to(device) for _ in halves.groups]
    for group, (expert, names) in enumerate(zip(experts, halves.groups, strict=True)):
        images = ImageObjective(expert, scene, scene.indices(names), learning, seed=group)
        learn(f"field {group} ({len(names)} views)", images)

    # The student sees no image: for each ray it asks the expert whose group owns the ray's view.
    student = build_model(SMALL, scene.space, seed=1).to(device)
    teachers = [expert.requires_grad_(False) for expert in experts]
    lessons = DistillObjective(
        student, teachers, scene, halves, learning, taught, mode="corrected", seed=0
    )
    learn("student of both", lessons)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
