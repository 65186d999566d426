"""Sparse points with their tracks: from a COLMAP model, or triangulated with the poses fixed.

Notation: P points, N views of a scene, T track entries. The track of a point is the set of views
that it was seen in. Points are in the scene's world frame.
"""

from __future__ import annotations

import logging
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dac.errors import UserError
from dac.scenes.formats.colmap_model import ColmapModel
from dac.scenes.scene import SCENE_FILES, Scene
from dac.scenes.sfm.pycolmap_loader import load_pycolmap
from dac.scenes.sfm.triangulation import Tracks, triangulate_tracks
from dac.settings import PointsSettings
from dac.storage.artifacts import sha256, write_file
from dac.storage.provenance import source_digest
from dac.storage.states import Finished, digest_of

_LOG = logging.getLogger("dac.points")
_FEW = 50


@dataclass(frozen=True, eq=False)
class Points:
    """Points and their tracks.

    Attributes:
        xyz: (P, 3) float32, world frame.
        rgb: (P, 3) uint8.
        offsets: (P + 1,) int64; point i's track is views[offsets[i] : offsets[i + 1]].
        views: (T,) int32 indices into the scene's views; ascending and distinct within a track.
        error: (P,) float32, mean reprojection error in pixels.
    """

    xyz: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    views: NDArray[np.int32]
    error: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.xyz)

    def save(self, path: Path) -> None:
        """Write an uncompressed .npz, whole or not at all."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        write_file(path, lambda temporary: np.savez(temporary, **arrays))

    @classmethod
    def load(cls, path: Path) -> Points:
        """Read what `save` wrote.

        Raises:
            UserError: missing, damaged, or arrays that don't belong together.
        """
        fix = "delete it, run again"
        try:
            with np.load(path, allow_pickle=False) as file:
                points = cls(**{field.name: file[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(path, f"holds no points ({error})", fix) from None
        count, offsets = len(points), points.offsets
        whole = (
            points.xyz.shape == points.rgb.shape == (count, 3)
            and points.error.shape == (count,)
            and offsets.shape == (count + 1,)
            and offsets[0] == 0
            and offsets[-1] == len(points.views)
            and bool((np.diff(offsets) >= 0).all())
        )
        if not whole:
            raise UserError(path, "arrays of points that don't belong together", fix)
        return points


def points_from_model(model: ColmapModel, scene: Scene) -> Points:
    """The points of a COLMAP model that the scene's views see.

    Views are found by their images' names. Track entries of other images are dropped, entries of
    one image twice are joined, and points that no view sees are dropped. A model whose points have
    no tracks at all (SLAM exports) keeps its points, with empty tracks.

    Args:
        model: in the data set's frame.
        scene: gives the views' names and `world_from_data`.

    Raises:
        UserError: there are tracks, but none of their images is a view of the scene.
    """
    view_of_name = {name: view for view, name in enumerate(scene.names)}
    ids = np.array(sorted(model.images), np.int64)
    views = np.array([view_of_name.get(model.images[i].name, -1) for i in ids.tolist()], np.int64)
    count = len(model.xyz)
    point = np.repeat(np.arange(count), np.diff(model.track_offsets))
    index = np.searchsorted(ids, model.track_image_ids)
    view = views[index] if len(index) else np.empty(0, np.int64)
    point, view = point[view >= 0], view[view >= 0]
    if len(model.track_image_ids) and not len(view):
        raise UserError(
            scene.name,
            "no image of the sparse model is a view of this scene",
            "the model's image names must be those of the scene's images",
        )
    point, view = _distinct(point, view, len(scene.names))
    length = np.bincount(point, minlength=count)
    kept = length > 0 if len(view) else np.ones(count, bool)
    rotation_scale, shift = scene.world_from_data[:3, :3], scene.world_from_data[:3, 3]
    return Points(
        xyz=(model.xyz[kept] @ rotation_scale.T + shift).astype(np.float32),
        rgb=model.rgb[kept].astype(np.uint8),
        offsets=_offsets(length[kept]),
        views=view.astype(np.int32),
        error=model.errors[kept].astype(np.float32),
    )


def triangulate(scene: Scene, settings: PointsSettings, work: Path) -> Points:
    """Points of a scene that has cameras but no points, from its training views.

    SIFT features are matched between each view and its nearest ones, kept where they agree with the
    known poses, and triangulated with poses and intrinsics fixed.

    Args:
        scene: with at least two training views.
        settings: how many views and features, and the error that is allowed.
        work: folder for intermediate files, in `triangulation/`, which are replaced.

    Raises:
        UserError: fewer than two training views.
    """
    if len(scene.train) < 2:
        raise UserError(scene.name, "one training view", "triangulation needs two or more")
    tracks = triangulate_tracks(scene, settings, work)
    if len(tracks.xyz) < _FEW:
        found = f"only {len(tracks.xyz)} points" if len(tracks.xyz) else "no point"
        _LOG.warning(
            "%s: %s could be triangulated from %d views; check the poses, try more "
            "points.neighbours, a smaller scene.downscale or a larger "
            "points.max_reprojection_error (azimuth divisions need no points)",
            scene.name,
            found,
            len(scene.train),
        )
    return _points_of_tracks(scene, tracks)


def triangulate_scene(folder: Path, settings: PointsSettings, out: Path, work: Path) -> None:
    """Triangulate a scene's points into `out`/points.npz; see `triangulate`.

    A result that is kept in `work` is taken from there.

    Args:
        folder: the scene's.
    """
    inputs = {name: sha256(folder / name) for name in SCENE_FILES}
    sources = [load_pycolmap().__version__, source_digest("dac.scenes.points")]
    finished = Finished(work, digest_of(settings.model_dump(mode="json"), inputs, sources))
    if not finished.restore(out):
        points = triangulate(Scene.load(folder), settings, work)
        with finished.new_folder(out) as part:
            points.save(part / "points.npz")


def _points_of_tracks(scene: Scene, tracks: Tracks) -> Points:
    count = len(tracks.xyz)
    colour = np.zeros((count, 3))
    for view in np.unique(tracks.view):
        entries = np.flatnonzero(tracks.view == view)
        column, row = np.floor(tracks.pixel[entries]).astype(np.int64).T
        image = scene.images[view]
        row, column = row.clip(0, image.shape[0] - 1), column.clip(0, image.shape[1] - 1)
        np.add.at(colour, tracks.point[entries], image[row, column, :3])
    counts = np.bincount(tracks.point, minlength=count)
    point, view = _distinct(tracks.point, tracks.view, len(scene.names))
    return Points(
        xyz=tracks.xyz.astype(np.float32),
        rgb=(colour / counts[:, None]).round().astype(np.uint8),
        offsets=_offsets(np.bincount(point, minlength=count)),
        views=view.astype(np.int32),
        error=tracks.error.astype(np.float32),
    )


def _distinct(
    point: NDArray[np.int64], view: NDArray[np.int64], views: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct (point, view) pairs, by point, then by view."""
    keys = np.unique(point * views + view)
    return keys // views, keys % views


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
