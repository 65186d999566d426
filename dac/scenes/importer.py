"""From a data set in any format to a `Scene`.

    read the views -> leave out what is excluded -> split -> match cameras and pixels -> normalise
    -> decode

Each step writes what it decided into the scene's log.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dac.cameras import Cameras
from dac.errors import UserError
from dac.scenes.formats.blender import read_blender
from dac.scenes.formats.colmap import read_colmap
from dac.scenes.formats.nerfpp import read_nerfpp
from dac.scenes.formats.nerfstudio import read_nerfstudio
from dac.scenes.formats.nsvf import read_nsvf
from dac.scenes.formats.photos import read_photos
from dac.scenes.normalise import normalise
from dac.scenes.orientation import match_pixels
from dac.scenes.photos.images import Pixels, decode, read_header, store
from dac.scenes.photos.masks import find_mask, lens_masks, read_mask
from dac.scenes.scene import Scene
from dac.scenes.splits import split_views
from dac.scenes.views import Finder, Views, read_names
from dac.settings import SceneSettings
from dac.storage.artifacts import require_space

READERS: dict[str, Callable[[Path], Views]] = {
    "blender": read_blender,
    "nerfstudio": read_nerfstudio,
    "colmap": read_colmap,
    "nerfpp": read_nerfpp,
    "nsvf": read_nsvf,
}


def import_scene(
    path: Path,
    format: str,
    settings: SceneSettings,
    *,
    name: str,
    sfm_model: Path | None = None,
    work: Path | None = None,
) -> Scene:
    """Read a data set.

    Args:
        path: its folder; for `photos`, the folder of the photos.
        format: one of `READERS`, or `photos`.
        settings: how.
        name: the scene's name.
        sfm_model: for `photos`, the folder of the COLMAP model that structure from motion wrote.
        work: a folder with room for all pixels, and for the scene that is saved beside it; the file
            in it has no name and goes away with the scene. Default: the system's folder for
            temporary files.

    Returns:
        The scene; its pixels are memory-mapped.

    Raises:
        UserError: whatever is wrong with the data set or the settings, in one line.
    """
    views, train, test = _split(_read(path, format, sfm_model, settings), settings, path)
    headers = [read_header(file) for file in views.files]
    views, turns = match_pixels(views, headers)
    size = _one_size(views)
    factor = settings.downscale
    if min(size) < factor:
        raise UserError("scene.downscale", f"{factor} leaves no pixels of {size}", "lower it")
    normalised = normalise(views, settings, blender=format == "blender")
    views, log = normalised.views, [*normalised.views.log, *normalised.log]
    cameras = _cameras(views, size, factor)
    channels = 4 if any(header.alpha for header in headers) else 3
    if work is not None:
        # Twice: the pixels lie in the file without a name until the scene that is saved is whole.
        pixels = 2 * len(views) * cameras.height * cameras.width
        masked = settings.masks is not None or views.masks is not None
        require_space(work, pixels * (channels + masked))
    masks = _masks(views, turns, size, cameras, settings, work, log)
    log.append(
        f"Images: {cameras.width} x {cameras.height} pixels"
        + (f", reduced by {factor}" if factor > 1 else "")
        + (f", with alpha; scored over {settings.background}." if channels == 4 else ".")
    )
    images = store(
        len(views),
        (cameras.height, cameras.width, channels),
        lambda i: _decoded(views, i, size, channels, turns[i], factor),
        work,
    )
    return Scene(
        name=name,
        names=views.names,
        cameras=cameras,
        images=images,
        masks=masks,
        train=train,
        test=test,
        background=settings.background,
        space=normalised.space,
        world_from_data=normalised.world_from_data,
        log=tuple(log),
    )


def _read(path: Path, format: str, sfm_model: Path | None, settings: SceneSettings) -> Views:
    if not path.exists():
        raise UserError(path, "no such data set", "check the scene's path")
    if format == "photos":
        if sfm_model is None:
            raise UserError(path, "photos need a model", "run structure from motion first")
        return read_photos(path, sfm_model)
    if format == "blender" and settings.split == "farthest-point":
        return read_blender(path, validation=True)
    if format not in READERS:
        raise UserError(path, f"unknown format {format!r}", f"known: {', '.join(READERS)}, photos")
    return READERS[format](path)


def _split(
    views: Views, settings: SceneSettings, path: Path
) -> tuple[Views, tuple[int, ...], tuple[int, ...]]:
    """The views that train or test, in the order of their names, and the indices of either."""
    views = _exclude(
        views.select(sorted(range(len(views)), key=lambda i: views.names[i])), settings
    )
    if len(views) < 2:
        raise UserError(path, f"holds {len(views)} usable image", "a scene needs several views")
    train, test, sentence = split_views(
        views.names, settings, views.given, path, centres=views.poses[:, :, 3]
    )
    kept = sorted(train + test)
    new_train, new_test = (tuple(np.searchsorted(kept, part).tolist()) for part in (train, test))
    return views.select(kept).noting(sentence), new_train, new_test


def _exclude(views: Views, settings: SceneSettings) -> Views:
    if settings.exclude is None:
        return views
    entries = read_names(Path(settings.exclude))
    find = Finder(views.names)
    gone = {i for entry in entries for i in find(entry)}
    kept = [i for i in range(len(views)) if i not in gone]
    return views.select(kept).noting(
        f"Excluded: {len(gone)} views by the {len(entries)} names in {settings.exclude}."
    )


def _one_size(views: Views) -> tuple[int, int]:
    """Width and height of all images."""
    other = np.flatnonzero((views.sizes != views.sizes[0]).any(axis=1))
    if len(other):
        (w, h), (v, g) = views.sizes[0], views.sizes[other[0]]
        raise UserError(
            views.files[other[0]],
            f"has {v} x {g} pixels, but {views.names[0]} has {w} x {h}",
            "bring all images to one size, or exclude some",
        )
    return int(views.sizes[0, 0]), int(views.sizes[0, 1])


def _decoded(
    views: Views, i: int, size: tuple[int, int], channels: int, turn: int, factor: int
) -> Pixels:
    pixels = decode(views.files[i], channels, turn, factor)
    if pixels.shape[:2] != (size[1] // factor, size[0] // factor):
        what = "decodes to another size than its header says"
        raise UserError(views.files[i], what, "replace it")
    return pixels


def _cameras(views: Views, size: tuple[int, int], factor: int) -> Cameras:
    arrays = (views.intrinsics, views.distortion, views.poses)
    intrinsics, distortion, poses = (torch.from_numpy(np.ascontiguousarray(a)) for a in arrays)
    cameras = Cameras(views.model, size[0], size[1], intrinsics, distortion, poses)
    return cameras.scaled(factor)


def _masks(
    views: Views,
    turns: tuple[int, ...],
    size: tuple[int, int],
    cameras: Cameras,
    settings: SceneSettings,
    work: Path | None,
    log: list[str],
) -> NDArray[np.uint8] | None:
    lens, reached = lens_masks(cameras)
    share = float(np.mean([(reached[i] == 0).mean() for i in lens]))
    if share > 0:
        log.append(
            f"Masked: {100 * share:.2g} % of the pixels, where the lens distortion folds back and "
            "no ray leads to a pixel."
        )
    files: Sequence[Path | None] | None = views.masks
    if settings.masks is not None:
        files = [find_mask(Path(settings.masks), name) for name in views.names]
        log.append(f"Masked: what the masks in {settings.masks} leave out.")
    elif files is not None:
        log.append("Masked: what the data set's own masks leave out, in training and scoring.")
    elif share == 0:
        return None

    def make(files: Sequence[Path | None] | None, i: int) -> Pixels:
        mask = reached[lens[i]]
        file = None if files is None else files[i]
        if file is not None:
            mask = np.minimum(mask, read_mask(file, turns[i], size, settings.downscale))
        return mask

    shape = (cameras.height, cameras.width)
    return store(len(views), shape, functools.partial(make, files), work)
