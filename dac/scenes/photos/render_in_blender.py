"""What Blender runs: renders given views of a `.blend` file with Cycles, on the CPU.

    blender --background --python render_in_blender.py -- job.json
    python render_in_blender.py -- job.json            where that Python has bpy

Blender's Python has nothing of `dac`, so nothing is imported from it; `dac.scenes.photos.blend`
writes the job (see `main`) and listens to the lines that begin with `dac view:` and `dac error:`.
"""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import bpy
from mathutils import Matrix

# What can be seen in a render; collections are placed by objects without data of their own.
_SEEN = {"MESH", "CURVE", "CURVES", "SURFACE", "META", "FONT", "VOLUME", "POINTCLOUD"}
_SENSOR = 36.0  # millimetres; any would do


def main(file: Path) -> None:
    """Do a job.

    Args:
        file: JSON: `blend`, `folder` (for the images), `size` (pixels), `samples`, `threads`,
            `camera_angle_x` (radians), `radius` (distance of the cameras), and `views`, each with
            `name`, `seed` and `pose`, camera-to-world (4, 4) with OpenGL axes.
    """
    job = json.loads(file.read_text(encoding="utf-8"))
    caller = os.getppid()
    scene = open_scene(job["blend"])
    set_up(scene, job)
    scene.camera = new_camera(scene, job["camera_angle_x"], job["radius"])
    for view in job["views"]:
        if os.getppid() != caller:  # it was killed, so nobody waits for this any more
            fail("the job that started this is gone")
        scene.camera.matrix_world = Matrix(view["pose"])
        scene.cycles.seed = view["seed"]
        render(scene, Path(job["folder"], f"{view['name']}.png"))
        print(f"dac view: {view['name']}", flush=True)


def fail(what: str) -> NoReturn:
    """End with a line that the caller repeats."""
    print(f"dac error: {' '.join(what.split())}", flush=True)
    leave(1)


def leave(status: int) -> NoReturn:
    """End at once: what Blender does at its end may crash, and with some files it never ends."""
    with suppress(OSError):
        Path(bpy.app.tempdir).rmdir()
    os._exit(status)


def open_scene(blend: str) -> Any:
    """The scene that a file was saved with. Scripts and drivers in it don't run."""
    bpy.ops.wm.read_factory_settings(use_empty=True)  # whatever the user's own preferences are
    bpy.context.preferences.filepaths.use_scripts_auto_execute = False
    try:
        bpy.ops.wm.open_mainfile(filepath=blend, load_ui=False, use_scripts=False)
    except RuntimeError as error:
        reason = str(error).rpartition(blend)[2].strip("'\": ,\n")  # the path is said anyway
        fail(f"can't be opened ({reason or error})")
    scene = bpy.context.scene
    if not any(is_seen(item) for item in scene.objects):
        fail(f"holds no object that can be rendered (scene {scene.name!r})")
    return scene


def is_seen(item: Any) -> bool:
    """Whether an object may show in a render."""
    return not item.hide_render and (item.type in _SEEN or item.is_instancer)


def set_up(scene: Any, job: dict[str, Any]) -> None:
    """Fix all that makes views comparable; materials, lights, world and colours stay the file's."""
    render, cycles = scene.render, scene.cycles
    render.engine = "CYCLES"
    cycles.device = "CPU"
    cycles.samples = job["samples"]
    cycles.use_adaptive_sampling = cycles.use_denoising = cycles.use_animated_seed = False
    cycles.time_limit = 0.0
    # Shader scripts are programs of the file's author, and nodes of the compositor write files.
    cycles.shading_system = False
    render.use_compositing = render.use_sequencer = False
    render.resolution_x = render.resolution_y = job["size"]
    render.resolution_percentage = 100
    render.pixel_aspect_x = render.pixel_aspect_y = 1.0
    render.use_border = render.use_multiview = False
    for name in dir(render):
        if name.startswith("use_stamp"):  # dates and paths, on the picture and in the file
            setattr(render, name, False)
    render.film_transparent = True
    render.dither_intensity = 0.0
    render.use_persistent_data = True  # the next view finds the scene as this one left it
    render.threads_mode, render.threads = "FIXED", job["threads"]
    render.use_file_extension = render.use_placeholder = False
    render.use_overwrite = True
    image = render.image_settings
    if bpy.app.version >= (5, 0, 0):  # there, a film's settings know no formats of pictures
        image.media_type = "IMAGE"
    image.file_format, image.color_mode, image.color_depth = "PNG", "RGBA", "8"
    image.color_management = "FOLLOW_SCENE"
    scene.timeline_markers.clear()  # they may switch cameras


def new_camera(scene: Any, angle: float, radius: float) -> Any:
    """A pinhole camera of a horizontal field of view, in radians."""
    lens = bpy.data.cameras.new("dac")
    lens.sensor_fit, lens.sensor_width = "HORIZONTAL", _SENSOR
    lens.lens = _SENSOR / 2 / math.tan(angle / 2)
    lens.clip_start, lens.clip_end = 1e-3 * radius, 1e3 * radius
    camera = bpy.data.objects.new("dac", lens)
    scene.collection.objects.link(camera)
    return camera


def render(scene: Any, file: Path) -> None:
    """Render to a file that bears its name when it is whole and on the disk."""
    part = file.with_name(f".{file.name}.part-{os.getpid()}")
    scene.render.filepath = str(part)
    try:
        bpy.ops.render.render(write_still=True)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(file)
    except (RuntimeError, OSError) as error:
        fail(f"view {file.stem} can't be rendered ({error})")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[sys.argv.index("--") + 1]))
    except Exception:
        traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
        leave(1)
    leave(0)
