"""Stands in for Blender's Python module: every file that begins with BLENDER shows the unit sphere.

The environment says what goes wrong: FAKE_BLENDER is `stall 2` (waits for ever before the third
view), `fail 2`, `die 2` (by a signal), `crash` (when all is done) or `blind` (shows nothing). Views
are noted in the file FAKE_TALLY, with the process.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

_WHAT, _, _AT = os.environ.get("FAKE_BLENDER", "").partition(" ")
_done = 0


class _Anything(SimpleNamespace):
    """Takes every attribute, as Blender's settings do."""


def _open(filepath: str, load_ui: bool, use_scripts: bool) -> None:
    assert not use_scripts and not context.preferences.filepaths.use_scripts_auto_execute
    content = Path(filepath).read_bytes()
    if not content.startswith(b"BLENDER"):
        raise RuntimeError(f'Error: File format is not supported in file "{filepath}"\n')
    sphere = SimpleNamespace(type="MESH", hide_render=False, is_instancer=False)
    lamp = SimpleNamespace(type="LIGHT", hide_render=False, is_instancer=False)
    context.scene.objects = [lamp] if content.endswith(b"lamp") else [lamp, sphere]


def _render(write_still: bool) -> None:
    global _done
    print(f"Fra:1 Mem:1.00M | Sample 1/{context.scene.cycles.samples}", flush=True)
    if _AT and _done == int(_AT):
        if _WHAT == "fail":
            raise RuntimeError("Error: Render error (No space left on device)\n")
        if _WHAT == "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        while True:
            time.sleep(1)
    scene = context.scene
    picture = _sphere(scene.camera, scene.render.resolution_x, scene.cycles.seed)
    picture.save(scene.render.filepath, format="PNG")
    _done += 1
    with Path(os.environ["FAKE_TALLY"]).open("a") as tally:
        print(os.getpid(), _done, file=tally)


def _sphere(camera: Any, size: int, seed: int) -> Image.Image:
    """RGBA: coloured by the place on the sphere; blue is the seed."""
    tangent = camera.data.sensor_width / 2 / camera.data.lens
    x = (np.arange(size) + 0.5) / size * 2 - 1
    rays = np.stack([*np.meshgrid(x * tangent, -x * tangent), -np.ones((size, size))], axis=-1)
    rays = rays @ camera.matrix_world[:3, :3].T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    centre = camera.matrix_world[:3, 3]
    along = -rays @ centre
    inside = along**2 - centre @ centre + 1.0
    hit = centre + rays * (along - np.sqrt(np.maximum(inside, 0)))[..., None]
    pixels = np.zeros((size, size, 4), np.uint8)
    seen = (inside > 0) & (_WHAT != "blind")
    pixels[seen, :2] = (127 + 120 * hit[seen, :2]).astype(np.uint8)
    pixels[seen, 2], pixels[seen, 3] = seed % 256, 255
    return Image.fromarray(pixels)


def _camera(name: str, lens: Any) -> Any:
    return SimpleNamespace(data=lens)


class _App:
    version = (4, 5, 15)

    @property
    def tempdir(self) -> str:
        if _WHAT == "crash":
            os.abort()
        return "/no/such/folder"


app = _App()
context = SimpleNamespace(
    preferences=SimpleNamespace(filepaths=_Anything()),
    scene=_Anything(
        name="Scene",
        render=_Anything(image_settings=_Anything()),
        cycles=_Anything(),
        timeline_markers=[],
        collection=SimpleNamespace(objects=SimpleNamespace(link=lambda item: None)),
    ),
)
data = SimpleNamespace(
    cameras=SimpleNamespace(new=lambda name: _Anything()),
    objects=SimpleNamespace(new=_camera),
)
ops = SimpleNamespace(
    wm=SimpleNamespace(read_factory_settings=lambda use_empty: None, open_mainfile=_open),
    render=SimpleNamespace(render=_render),
)
