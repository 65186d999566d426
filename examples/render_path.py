"""Render a trained model along a circle around its scene, as PNG frames.

    python examples/render_path.py results --scene pocket_lighthouse --frames 60 --out frames

The circle has the training cameras' mean radius and height, their lens, and the world's origin in
its middle, which is the point that they look at where they stand around one.
"""

from __future__ import annotations

import argparse
import math
import sys
from functools import partial
from pathlib import Path

import torch

from dac.artifacts import write_file
from dac.cameras import Cameras
from dac.catalogue import choose_model, choose_scene
from dac.errors import UserError
from dac.evaluation.pictures import save_png, to_uint8
from dac.evaluation.render import render_view
from dac.fields.model import default_device, load_model
from dac.scenes.scene import Scene


def orbit(cameras: Cameras, count: int) -> Cameras:
    """So many cameras on the circle, with the first one's lens, counter-clockwise from +x."""
    x, y, z = cameras.centres.unbind(1)
    radius, height = torch.hypot(x, y).mean(), z.mean()
    phi = torch.arange(count, dtype=torch.float64) * (2 * math.pi / count)
    centres = torch.stack([radius * phi.cos(), radius * phi.sin(), height.expand(count)], dim=1)
    forward = torch.nn.functional.normalize(-centres, dim=1)
    right = torch.stack([-phi.sin(), phi.cos(), torch.zeros(count)], dim=1)  # level
    down = torch.linalg.cross(forward, right)
    poses = torch.stack([right, down, forward, centres], dim=2)
    lens = cameras.intrinsics[:1].expand(count, 4)
    no_distortion = torch.zeros(count, 6)
    return Cameras("perspective", cameras.width, cameras.height, lens, no_distortion, poses)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="a results folder of the workflow")
    parser.add_argument("--scene", help="default: the only one")
    parser.add_argument("--model", help="a kind or a name, e.g. baseline; default: the last one")
    parser.add_argument("--frames", type=int, default=60, help="default: 60")
    parser.add_argument("--out", type=Path, default=Path("frames"), help="default: frames")
    given = parser.parse_args()

    scene = choose_scene(given.results, given.scene)
    chosen = choose_model(given.results, scene, given.model)
    model = load_model(chosen.folder, default_device())
    path = orbit(Scene.load(given.results / scene / "scene").cameras, given.frames)

    given.out.mkdir(parents=True, exist_ok=True)
    for frame in range(len(path)):
        seen = render_view(model, path, frame, torch.ones(3), chunk_rays=8192)
        save = partial(save_png, image=to_uint8(seen.rgb))
        write_file(given.out / f"{frame:04d}.png", save)
    print(f"{len(path)} frames of {scene}, {chosen.title}: {given.out}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
