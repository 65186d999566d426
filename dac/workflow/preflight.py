"""What can be told before anything runs: whether folders and data are there, and the disk's space.

The space is an estimate from above, to a factor of two: it counts what grows with the scene and the
model. Notation: N images of H x W pixels and C channels, P parameters of a model, 4 bytes each.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dac.catalogue import RESERVED
from dac.configuration import ResolvedScene
from dac.errors import UserError
from dac.scenes.photos.images import read_header
from dac.settings import ModelSettings, VideoSettings
from dac.storage.artifacts import existing_folder, free_space
from dac.workflow.configuration import Configuration
from dac.workflow.inputs import given_files
from dac.workflow.studies import all_scored, all_trainings

_IMAGES = {".png", ".jpg", ".jpeg"}
_RENDER_BYTES = 5  # colours and half-precision depth of a pixel


def check(configuration: Configuration, source: str) -> None:
    """Refuse a configuration that can't be run here.

    Args:
        source: the configuration's files, for the message.

    Raises:
        UserError: the results folder can't be written, or a scene's name would clash in it; a
            scene's data, or a file that its settings name, isn't there.
    """
    _check_results(configuration, source)
    for scene in configuration.scenes.values():
        check_scene(scene, source)


def _check_results(configuration: Configuration, source: str) -> None:
    where, results = f"{source}: results", configuration.settings.results
    if any(character in results for character in "{}*?"):
        raise UserError(where, "holds one of { } * ?", "choose a plain name")
    existing = existing_folder(Path(results))
    if not existing.is_dir():
        raise UserError(where, f"{existing} is no folder", "choose another folder")
    if not os.access(existing, os.W_OK):
        raise UserError(where, f"no permission to write in {existing}", "choose another folder")
    for name in configuration.scenes:
        if name in RESERVED:
            raise UserError(f"{source}: scenes.{name}", "a reserved name", "rename the scene")


def check_scene(scene: ResolvedScene, source: str) -> None:
    """Refuse a scene whose data, or a file that its settings name, isn't there.

    Raises:
        UserError: names the key.
    """
    named = {
        "path": scene.path,
        "settings.scene.masks": scene.scene.masks,
        "settings.scene.test_list": scene.scene.test_list,
        "settings.scene.exclude": scene.scene.exclude,
    }
    for key, path in named.items():
        if path is not None and not os.path.exists(path):  # noqa: PTH110 (Path.exists may raise)
            where = f"{source}: scenes.{scene.name}.{key}"
            raise UserError(where, f"no such file or folder: {path}", "check the path")
    wanted = {"blend": "a .blend file", "video": "a video file"}.get(scene.format)
    if wanted and not os.path.isfile(scene.path):  # noqa: PTH113
        where = f"{source}: scenes.{scene.name}.path"
        raise UserError(where, f"{scene.path} is no file", f"name {wanted}")


def small_disk(configuration: Configuration) -> str | None:
    """One line if the results will probably not fit; a job that can't go on says so itself."""
    try:
        space = [_space_of(configuration, scene) for scene in configuration.scenes.values()]
    except UserError:
        return None  # an image that can't be read: its import says so, if it is wanted at all
    results = configuration.settings.results
    needed, free = sum(space), free_space(Path(results))
    if needed <= free:
        return None
    there = sum(file.stat().st_size for file in Path(results).rglob("*") if file.is_file())
    if needed <= there + free:
        return None
    return (
        f"{results}: will take about {needed / 1e9:.2g} GB, {(there + free) / 1e9:.2g} GB are free"
    )


def _space_of(configuration: Configuration, scene: ResolvedScene) -> int:
    """Bytes of a scene's results, and of its jobs' states.

    Raises:
        UserError: as `disk_space`.
    """
    runs = all_trainings(configuration.settings, scene)
    scored = all_scored(configuration.settings, scene)
    counts = {
        "trained": len(runs),
        "at_once": sum(len(run.trainings(scene.train.steps)) == 1 for run in runs),
        "evaluated": sum(run.kind != "experts" for run in scored),
    }
    return sum(disk_space(scene, given_files(scene), **counts))


def disk_space(
    scene: ResolvedScene, files: Sequence[str], *, trained: int, at_once: int, evaluated: int
) -> tuple[int, int]:
    """Bytes of one scene's results, and of the states that exist while its jobs run.

    Args:
        files: the data set's files.
        trained: trainings of the scene.
        at_once: those of them that wait for no other, and so may run side by side.
        evaluated: models that are scored.

    Raises:
        UserError: the first image can't be read.
    """
    images = [file for file in files if Path(file).suffix.lower() in _IMAGES]
    count = len(images)
    pixels = channels = 0
    if scene.format == "blend":
        count = scene.render.train_views + scene.render.test_views
        pixels, channels = (scene.render.size // scene.scene.downscale) ** 2, 4
    elif scene.format == "video":
        count, channels = scene.video.frames, 3
        pixels = _frame_pixels(scene.video) // scene.scene.downscale**2
    elif images:
        header = read_header(Path(images[0]))
        pixels = header.size[0] * header.size[1] // scene.scene.downscale**2
        channels = 4 if header.alpha else 3
    array = count * pixels * (channels + (scene.scene.masks is not None))
    if scene.format == "blend":  # the PNGs
        array += count * channels * scene.render.size**2
    if scene.format == "video":  # the JPEGs
        array += count * _frame_pixels(scene.video) // 2
    # One of so many views is a test view.
    share = 2 if scene.format in ("blender", "blend") else 8
    scored = min(scene.evaluate.test_views or count, count // share + 1)
    run = 3 * 4 * parameters(scene.model)  # with Adam's two moments
    results = array + trained * run + evaluated * scored * pixels * _RENDER_BYTES
    # Two states of each training, and one that is being written.
    return results, 3 * run * at_once


def _frame_pixels(video: VideoSettings) -> int:
    """Of a frame 4 to 3, the squarest that cameras make: no video is opened for an estimate."""
    return 3 * video.longest_side**2 // 4


def parameters(model: ModelSettings) -> int:
    """P, but for the small networks."""
    field = sum((model.resolution * scale) ** 2 for scale in model.scales)
    proposals = sum(side**2 for side in model.proposal_resolutions)
    return 3 * (model.channels * field + model.proposal_channels * proposals)
