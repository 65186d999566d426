"""Render a trained model along a circle around its scene, as PNG frames.

    python examples/render_path.py results --scene pocket_lighthouse --frames 60 --out frames

For a path of your own, put other poses (F, 3, 4) in the place of the circle's, for example of
`dac.export.camera.look_at`.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from dac.catalogue import choose_model, choose_scene
from dac.conquer import routed
from dac.errors import UserError
from dac.evaluation.pictures import save_png, to_uint8
from dac.evaluation.truth import background_colour
from dac.export.camera import stacked
from dac.export.paths import median_fov, orbit
from dac.export.video import render_frame
from dac.fields.model import default_device
from dac.scenes.scene import Scene
from dac.storage.artifacts import write_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="a results folder of the workflow")
    parser.add_argument("--scene", help="default: the only one")
    parser.add_argument("--model", help="a kind or a name, e.g. baseline; default: the last one")
    parser.add_argument("--frames", type=int, default=60, help="default: 60")
    parser.add_argument("--out", type=Path, default=Path("frames"), help="default: frames")
    given = parser.parse_args()

    name = choose_scene(given.results, given.scene)
    chosen = choose_model(given.results, name, given.model)
    model = routed.load(chosen.folder, default_device())
    scene = Scene.load(given.results / name / "scene")

    # The circle that fits the training cameras: see dac.export.paths.
    training = scene.cameras.select(scene.train)
    path = orbit(training.world_from_camera.numpy(), median_fov(training), given.frames)
    cameras = stacked(path.poses, path.fov_degrees, (training.width, training.height))

    given.out.mkdir(parents=True, exist_ok=True)
    for frame in range(given.frames):
        seen = render_frame(model, cameras, frame, background_colour(scene))
        save = partial(save_png, image=to_uint8(seen.rgb))
        write_file(given.out / f"{frame:04d}.png", save)
    print(f"{given.frames} frames of {name}, {chosen.title}: {given.out}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
