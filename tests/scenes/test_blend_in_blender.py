"""The same with a real Blender: DAC_BPY_PYTHON names a Python that has bpy.

DAC_BPY_PYTHON=.blender/bin/python pytest -s tests/scenes/test_blend_in_blender.py
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull

from dac.errors import UserError
from dac.scenes.importer import import_scene
from dac.scenes.photos.blend import DISTANCE, Chunk, assemble, chunks_of, render_chunk
from dac.scenes.photos.images import decode
from dac.scenes.scene import Scene
from dac.settings import RenderSettings, SceneSettings

BLENDER = os.environ.get("DAC_BPY_PYTHON") or (
    sys.executable if importlib.util.find_spec("bpy") else ""
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BLENDER, reason="DAC_BPY_PYTHON names no Python that has bpy"),
]

# A box without symmetry about the centre that the cameras look at, and all that could come between:
# scripts, a driver, another camera that markers switch to, a compositor that writes files.
CENTRE, RADIUS = (1.0, -2.0, 0.5), 8.0
LOW, HIGH = (0.2, -2.5, 0.1), (2.1, -1.3, 1.7)
MAKE = f"""
import os, sys
import bpy
from mathutils import Vector
file, trap = sys.argv[1:]
bpy.ops.wm.read_factory_settings(use_empty=True)
low, high = Vector({LOW}), Vector({HIGH})
bpy.ops.mesh.primitive_cube_add(size=1, location=(low + high) / 2)
box = bpy.context.object
box.scale = high - low
bpy.ops.object.light_add(type="SUN", rotation=(0.5, 0.2, 0))
scene = bpy.context.scene
scene.world = bpy.data.worlds.new("grey")
scene.render.resolution_x, scene.render.resolution_y = 320, 100
scene.render.resolution_percentage = 50
scene.render.pixel_aspect_x = 2
scene.render.use_border, scene.render.border_max_x = True, 0.5
scene.render.use_multiview = True
bpy.ops.object.camera_add(location=(0, 0, 9))
camera = scene.camera = bpy.context.object
camera.data.type, camera.data.shift_x = "ORTHO", 0.3
scene.timeline_markers.new("m", frame=1).camera = camera
script = bpy.data.texts.new("trap.py")
script.write(f"open({{trap!r}}, 'w')")
script.use_module = True
box["trap"] = 1.0
driver = box.driver_add('["trap"]').driver  # scripted, unless told otherwise
driver.expression = f"open({{trap!r}}, 'w') and 0"
if bpy.app.version >= (5, 0, 0):
    scene.render.image_settings.media_type = "VIDEO"
else:
    scene.render.image_settings.file_format = "FFMPEG"
    scene.use_nodes = True
    nodes, links = scene.node_tree.nodes, scene.node_tree.links
    output = nodes.new("CompositorNodeOutputFile")
    output.base_path = trap
    links.new(nodes["Render Layers"].outputs[0], output.inputs[0])
bpy.ops.wm.save_as_mainfile(filepath=file)
os._exit(0)  # such a file keeps Blender from ending
"""
SETTINGS = RenderSettings(
    train_views=10,
    test_views=4,
    size=64,
    samples=64,
    chunk=5,
    centre=CENTRE,
    radius=RADIUS,
    candidates=2000,
)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The .blend file, in a folder of its own."""
    folder = tmp_path_factory.mktemp("box")
    made = folder / "box.blend"
    command = [BLENDER, "-c", MAKE, str(made), str(folder / "trap")]
    run(command, folder)
    assert not (folder / "trap").exists()
    return made


def run(command: list[str], folder: Path) -> None:
    """Let Blender make a file, with its temporary files in a folder."""
    environment = os.environ | {"TMPDIR": str(folder)}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120, env=environment)


def render(box: Path, chunk: Chunk, out: Path, threads: int = 1) -> None:
    work = out.with_name(f"{out.name}-work")
    label = "box views"
    render_chunk(box, SETTINGS, chunk, out, work, executable=BLENDER, threads=threads, label=label)


@pytest.fixture(scope="module")
def scene(box: Path) -> Scene:
    """The box, rendered and imported."""
    folders = []
    for chunk in chunks_of(SETTINGS):
        folders.append(box.with_name(f"{chunk.part}-{chunk.first}"))
        render(box, chunk, folders[-1])
    assemble(folders, box.with_name("views"), box.with_name("work"))
    return import_scene(box.with_name("views"), "blender", SceneSettings(), name="box")


def outside(hull: np.ndarray, size: int) -> np.ndarray:
    """Signed distances (size, size) of pixels' centres from a convex hull (P, 2), in pixels."""
    x = np.arange(size) + 0.5
    pixels = np.stack(np.meshgrid(x, x), axis=-1)
    edges = ConvexHull(hull).equations
    return (pixels @ edges[:, :2].T + edges[:, 2]).max(axis=-1)


def test_the_box_is_where_the_cameras_say(scene: Scene) -> None:
    """Its silhouette against its corners, projected by `dac.cameras`."""
    corners = [[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    placed = np.where(np.array(corners) == 1, HIGH, LOW)
    points = torch.tensor((placed - np.array(CENTRE)) * DISTANCE / RADIUS)
    worst, areas = 0.0, []
    for view in range(len(scene.names)):
        pixels, depth = scene.cameras.project(view, points)
        assert (depth > 0).all()
        distance = outside(pixels.numpy(), SETTINGS.size)
        alpha = scene.images[view][..., 3] / 255.0
        # Where half of a pixel is covered, its centre is on the outline.
        worst = max(worst, -distance[alpha < 0.5].min(), distance[alpha > 0.5].max())
        areas.append(alpha.sum() / ConvexHull(pixels.numpy()).volume)
        assert 200 < alpha.sum() < 3000
        assert scene.images[view][alpha > 0.99][:, :3].min() > 20  # the file's world is there
    print(f"\noutline: at most {worst:.2f} px off; area: {min(areas):.4f} to {max(areas):.4f}")
    assert worst < 0.75
    assert min(areas) > 0.99 and max(areas) < 1.01


def test_nothing_in_the_file_ran_or_wrote(scene: Scene, box: Path) -> None:
    assert not box.with_name("trap").exists()


def test_the_same_pixels_in_other_chunks_and_with_more_threads(
    scene: Scene, box: Path, tmp_path: Path
) -> None:
    render(box, Chunk("train", 3, 6), tmp_path / "out", threads=2)
    for file in (tmp_path / "out" / "images").iterdir():  # Cycles writes its times into the file
        before = decode(box.parent / "views" / "train" / file.name, 4)
        np.testing.assert_array_equal(decode(file, 4), before)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: b"BLENDER", "can't be opened"),
        (lambda content: content[: len(content) // 2], "can't be opened"),
        (lambda content: b"", "can't be opened"),
        (None, "holds no object that can be rendered"),
    ],
)
def test_a_bad_file_is_one_line(
    box: Path, tmp_path: Path, damage: Callable[[bytes], bytes] | None, message: str
) -> None:
    file = tmp_path / "bad.blend"
    if damage is None:
        code = "import bpy, sys; bpy.ops.wm.read_factory_settings(use_empty=True)\n"
        code += "bpy.ops.object.light_add(); bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1])"
        command = [BLENDER, "-c", code, str(file)]
        run(command, tmp_path)
    else:
        file.write_bytes(damage(box.read_bytes()))
    with pytest.raises(UserError) as caught:
        render(file, Chunk("train", 0, 1), tmp_path / "out")
    print(f"\n{caught.value}")
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
