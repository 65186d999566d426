"""What the workflow and the commands do with what others wrote, called as they call it.

The working folder is the case's, so that paths are relative, as in a configuration.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from bases import CANARY, HEIGHT, MODEL_FILES, PATH_FILE, WIDTH
from case import Case
from on_disk import clip_of
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config

from dac.cli import export, render
from dac.configuration import Configuration
from dac.divide.covisibility import covisibility
from dac.divide.divide import partition_scene
from dac.export.camera import stacked
from dac.export.keyframes import interpolate, read_keyframes
from dac.export.model_file import load
from dac.scenes.formats.colmap_model import read_model
from dac.scenes.importer import import_scene
from dac.scenes.photos.video import extract_frames
from dac.scenes.points import Points, points_from_model
from dac.scenes.scene import Scene
from dac.scenes.sfm import inputs
from dac.scenes.views import read_names
from dac.settings import GRAPH_DIVISIONS, DivideSettings, SceneSettings, VideoSettings, validate
from dac.storage.yaml_files import read_yaml
from dac.workflow import inputs as workflow_inputs
from dac.workflow import preflight


class NotOursError(Exception):
    """Snakemake itself refused the input, before anything of this project ran."""


def run(case: Case) -> None:
    """Do with a case what the workflow would.

    Raises:
        UserError: as it should be, for a mistake.
        NotOursError: Snakemake refuses the overlay.
    """
    if case.kind == "config":
        _configuration()
    elif case.kind == "video":
        _video(case)
    elif case.kind == "model":
        for file in MODEL_FILES:
            _model_file(Path(file))
    elif case.kind == "path":
        _path_file()
    else:
        _data_set(case)


def _configuration() -> None:
    file, overlay = Path("config/config.yaml"), Path("config/overlay.yaml")
    files = [str(file)]
    config: dict[str, object] = {}
    over: dict[str, object] = {}
    if overlay.exists():
        try:
            over = load_configfile(overlay)
        except Exception as error:
            raise NotOursError(f"{type(error).__name__}: {error}") from None
        files.append(str(overlay))
    read_yaml(file)
    update_config(config, load_configfile(file))
    update_config(config, over)
    source = " + ".join(files)
    preflight.check(Configuration.checked(config, source), source)


def _data_set(case: Case) -> None:
    settings = validate(SceneSettings, case.scene, "config/config.yaml: scene")
    divide = validate(DivideSettings, case.divide, "config/config.yaml: divide")
    kind = "colmap" if case.kind.startswith("colmap") else case.kind
    scene = SimpleNamespace(name="toy", path="data", format=kind, scene=settings)
    preflight.check_scene(scene, "config/config.yaml")
    workflow_inputs.given_files(scene)
    data, work = Path("data"), Path("work")
    if kind == "photos":
        _before_sfm(data, settings)
    imported = import_scene(
        data,
        kind,
        settings,
        name="toy",
        sfm_model=Path("sfm") if kind == "photos" else None,
        work=work,
    )
    canary = (imported.images[..., :3] == np.array(CANARY)).all(axis=-1)
    if (canary.mean(axis=(1, 2)) > 0.5).any():
        raise AssertionError("pixels from outside of the data folder are in the scene")
    imported.save(work / "scene")
    loaded = Scene.load(work / "scene")
    if loaded.names != imported.names or loaded.images.shape != imported.images.shape:
        raise AssertionError("the scene reads back as another")
    shared = None
    here = SimpleNamespace(path=lambda pattern, scene: pattern.removeprefix("{scene}/"))
    parts = workflow_inputs.sparse_model(here, scene)
    if parts:
        points = points_from_model(read_model(Path(parts[0]).parent), loaded)
        points.save(work / "points.npz")
        points = Points.load(work / "points.npz")
        shared = covisibility(points.offsets, points.views, len(loaded.names))
    if case.division in GRAPH_DIVISIONS or shared is None or case.number % 2:
        graph = shared if case.division in GRAPH_DIVISIONS else None
        partition = partition_scene(loaded, case.division, case.K, divide, graph)
        partition.save(work / "partition.json")


def _video(case: Case) -> None:
    video, settings = Path("data", clip_of(case)), VideoSettings(frames=4)
    scene = SimpleNamespace(name="toy", path=str(video), format="video", scene=SceneSettings())
    preflight.check_scene(scene, "config/config.yaml")
    extract_frames(video, settings, Path("work/frames"), Path("work/state"), threads=1)


def _model_file(file: Path) -> None:
    """What is rendered and taken out of a model file, small, but for what its own views give."""
    work = Path("work")
    render.still(work / "still.png", file, size="8x6")
    render.still(work / "depth.png", file, size="8x6", what="depth")
    render.video(work / "video.mp4", file, seconds=0.1, size="8x6")
    export.mesh(work / "mesh.ply", file, resolution=8, threshold=1e-6, in_data=True)
    if (views := load(file).views) is not None and views.width * views.height <= WIDTH * HEIGHT:
        render.video(work / "spiral.mp4", file, path="spiral", seconds=0.1, size="8x6")
        export.cloud(work / "cloud.ply", file, views=3, resolution=8, opacity=0.01, in_data=True)


def _path_file() -> None:
    keyframes = read_keyframes(Path(PATH_FILE))
    path = interpolate(keyframes, 25)
    cameras = stacked(path.poses, path.fov_degrees, (8, 6))  # refuses what is not finite
    turns = cameras.world_from_camera[:, :, :3]
    if not torch.allclose(turns @ turns.mT, torch.eye(3, dtype=torch.float64), atol=1e-6):
        raise AssertionError("between keyframes, cameras are bent")


def _before_sfm(data: Path, settings: SceneSettings) -> None:
    """What structure from motion does before COLMAP sees a photo."""
    exclude = read_names(Path(settings.exclude)) if settings.exclude else []
    names = inputs.chosen_photos(data, exclude)
    photos = inputs.decode_photos(data, names)
    inputs.check_sizes(data, photos, "single")
    inputs.colmap_folder(data, photos, Path("work"))
