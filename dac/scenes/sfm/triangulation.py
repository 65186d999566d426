"""Tracks and points with known cameras: SIFT and triangulation by pycolmap, poses fixed.

What the poses tell is used throughout: only views near each other are matched, a match must lie on
its epipolar plane, and lens distortion is taken out of the keypoints, so that COLMAP works with
ideal cameras whatever the lens.

Notation: x, y pixels, the first pixel's centre at 0.5; an image's id in COLMAP is its view + 1.
Within this module, cameras and pixels are those of the images after enlargement.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dac.cameras import Cameras
from dac.scenes.scene import Scene
from dac.scenes.sfm.pycolmap_loader import load_pycolmap, told_progress
from dac.settings import PointsSettings
from dac.storage.artifacts import explained_disk_errors, require_space

_LOG = logging.getLogger("dac.points")
_GREY = 128.0
# Images up to this side are enlarged twofold, where SIFT finds four times as many matches. (Its own
# option for that, first_octave = -2, gives descriptors that match nothing on some images.)
_SMALL_IMAGE = 400
# A turn of this many degrees makes two views as far apart as a typical step between neighbours.
_DEGREES_PER_STEP = 20.0


@dataclass(frozen=True)
class Tracks:
    """Triangulated points.

    Attributes:
        xyz: (P, 3) in the world; error: (P,) mean reprojection error in pixels.
        point, view: (T,) int64, which point and which view each entry belongs to.
        pixel: (T, 2) x, y of each entry in its image (as the scene holds it, not enlarged).
    """

    xyz: NDArray[np.float64]
    error: NDArray[np.float64]
    point: NDArray[np.int64]
    view: NDArray[np.int64]
    pixel: NDArray[np.float64]


def triangulate_tracks(scene: Scene, settings: PointsSettings, work: Path) -> Tracks:
    """Match and triangulate the training views; see `dac.scenes.points.triangulate`."""
    pycolmap = load_pycolmap()
    scale = 2 if max(scene.cameras.width, scene.cameras.height) <= _SMALL_IMAGE else 1
    cameras = enlarged(scene.cameras, scale)
    max_error = settings.max_reprojection_error * scale
    work = work / "triangulation"
    with explained_disk_errors(work):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        require_space(work, len(scene.train) * _space_of_view(cameras, settings.max_features))
        write_images(scene, scale, work)
        model = ideal_model(pycolmap, cameras, scene.train)
        database = work / "database.db"
        names = [model.images[i].name for i in sorted(model.images)]
        with pycolmap.Database.open(database) as file:
            _write_model(file, model)
        _extract(pycolmap, database, work, names, settings.max_features)
        pairs = near_pairs(cameras.select(scene.train), settings.neighbours)
        _match(pycolmap, database, work, [(names[i], names[j]) for i, j in pairs])
        with pycolmap.Database.open(database) as file:
            keypoints = {i: file.read_keypoints(i)[:, :2].astype(np.float64) for i in model.images}
            rays = {i: _rays(cameras, i - 1, keypoints[i]) for i in keypoints}
            _verify(pycolmap, file, cameras, rays, max_error)
            for i in keypoints:
                file.update_keypoints(i, ideal_pixels(cameras, i - 1, rays[i]))
        model = _triangulate(pycolmap, model, database, work, max_error)
    return _tracks_of(model, keypoints, scale)


def _space_of_view(cameras: Cameras, max_features: int) -> int:
    """Bytes that one view may take: SQLite ends the process where the disk is full."""
    pixels = cameras.width * cameras.height
    # A grey image; keypoint, descriptor and, as much again, matches.
    return pixels + 2 * min(max_features, pixels // 16) * (24 + 128)


def enlarged(cameras: Cameras, scale: int) -> Cameras:
    """The cameras of images enlarged by a factor."""
    return replace(
        cameras,
        width=cameras.width * scale,
        height=cameras.height * scale,
        intrinsics=cameras.intrinsics * scale,
    )


def write_images(scene: Scene, scale: int, work: Path) -> None:
    """Training images as COLMAP reads them: grey, `images/{view}.png`, and `masks/{view}.png.png`.

    They are enlarged `scale`-fold.

    RGBA is composited over mid grey. A mask, where features count, is written only if the scene
    has masks or alpha.
    """
    (work / "images").mkdir()
    (work / "masks").mkdir()
    for view in scene.train:
        pixels = scene.images[view].astype(np.float32)
        grey = pixels[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)
        used = scene.usable(view)
        if scene.has_alpha:
            alpha = pixels[..., 3] / 255.0
            grey = grey * alpha + _GREY * (1.0 - alpha)
            used = (alpha > 0.5) if used is None else used & (alpha > 0.5)
        name = _image_name(view)
        _save_grey(grey.round(), scale, Image.Resampling.BICUBIC, work / "images" / name)
        if used is not None:
            nearest = Image.Resampling.NEAREST
            _save_grey(used * 255, scale, nearest, work / "masks" / f"{name}.png")


def _save_grey(pixels: NDArray[Any], scale: int, how: Image.Resampling, path: Path) -> None:
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    if scale != 1:
        image = image.resize((image.width * scale, image.height * scale), how)
    image.save(path, compress_level=1)


def _image_name(view: int) -> str:
    return f"{view:06d}.png"


def ideal_model(pycolmap: Any, cameras: Cameras, views: Sequence[int]) -> Any:
    """A reconstruction with the given views, without points and without lens distortion."""
    model = pycolmap.Reconstruction()
    kind = "PINHOLE" if cameras.model == "perspective" else "OPENCV_FISHEYE"
    lenses, lens_of = np.unique(cameras.intrinsics.numpy(), axis=0, return_inverse=True)
    for number in np.unique(lens_of[list(views)]).tolist():
        params = list(lenses[number]) + [0.0] * (4 if kind == "OPENCV_FISHEYE" else 0)
        camera = pycolmap.Camera(
            model=kind,
            width=cameras.width,
            height=cameras.height,
            params=params,
            camera_id=number + 1,
        )
        camera.has_prior_focal_length = True
        model.add_camera_with_trivial_rig(camera)
    for view in views:
        pose = cameras.world_from_camera[view].numpy()
        rotation = pose[:, :3].T
        cam_from_world = np.column_stack([rotation, -rotation @ pose[:, 3]])
        image = pycolmap.Image(
            name=_image_name(view), camera_id=int(lens_of[view]) + 1, image_id=view + 1
        )
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(cam_from_world))
    return model


def _write_model(database: Any, model: Any) -> None:
    for camera in model.cameras.values():
        database.write_camera(camera, use_camera_id=True)
    for rig in model.rigs.values():
        database.write_rig(rig, use_rig_id=True)
    for frame in model.frames.values():
        database.write_frame(frame, use_frame_id=True)
    for image in model.images.values():
        database.write_image(image, use_image_id=True)


def _extract(
    pycolmap: Any, database: Path, work: Path, names: list[str], max_features: int
) -> None:
    options = pycolmap.FeatureExtractionOptions()
    options.use_gpu = False
    options.sift.max_num_features = max_features
    options.sift.peak_threshold /= 2.0  # renders are free of noise
    reader = pycolmap.ImageReaderOptions()
    if any((work / "masks").iterdir()):
        reader.mask_path = work / "masks"
    with told_progress(database, "keypoints", "views have features", len(names)):
        pycolmap.extract_features(
            database,
            work / "images",
            image_names=names,
            reader_options=reader,
            extraction_options=options,
            device=pycolmap.Device.cpu,
        )


def near_pairs(cameras: Cameras, neighbours: int) -> list[tuple[int, int]]:
    """Pairs of views that may see the same things.

    The distance of two views is that of their centres, in units of a typical step to the nearest
    neighbours, plus the angle between their viewing directions, in units of 20 degrees.

    Args:
        cameras: N views.
        neighbours: how many of the nearest views each view is paired with.

    Returns:
        Distinct pairs (i, j), i < j, ascending.
    """
    count = len(cameras)
    neighbours = min(neighbours, count - 1)
    centres = cameras.centres.numpy()
    forward = cameras.world_from_camera[:, :, 2].numpy()
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    angles = np.degrees(np.arccos((forward @ forward.T).clip(-1.0, 1.0)))
    step = np.median(np.sort(gaps, axis=1)[:, 1 : neighbours + 1])
    distances = gaps / max(float(step), 1e-12) + angles / _DEGREES_PER_STEP
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :neighbours]
    pairs = {(min(i, j), max(i, j)) for i in range(count) for j in nearest[i].tolist()}
    return sorted(pairs)


def _match(pycolmap: Any, database: Path, work: Path, pairs: list[tuple[str, str]]) -> None:
    listed = work / "pairs.txt"
    listed.write_text("".join(f"{first} {second}\n" for first, second in pairs))
    options = pycolmap.FeatureMatchingOptions()
    options.use_gpu = False
    options.skip_geometric_verification = True  # the poses verify: see `_verify`
    verification = pycolmap.TwoViewGeometryOptions()
    verification.min_num_inliers = 1
    pairing = pycolmap.ImportedPairingOptions()
    pairing.match_list_path = listed
    with told_progress(database, "matches", "pairs are matched", len(pairs)):
        pycolmap.match_image_pairs(
            database, options, pairing, verification, device=pycolmap.Device.cpu
        )


def _rays(cameras: Cameras, view: int, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M, 3) unit directions in the world."""
    x, y = torch.from_numpy(pixels).unbind(1)
    directions = cameras.rays(torch.full((len(pixels),), view), x, y)[1]
    return np.asarray(directions.double().numpy())


def ideal_pixels(cameras: Cameras, view: int, rays: NDArray[np.float64]) -> NDArray[np.float32]:
    """Where rays meet the image of the same camera without lens distortion.

    Args:
        view: the camera.
        rays: (M, 3) directions in the world.

    Returns:
        (M, 2) pixels: f tan(theta) from the centre for a perspective lens, f theta for a fisheye.
    """
    local = rays @ cameras.world_from_camera[view, :, :3].numpy()
    if cameras.model == "perspective":
        plane = local[:, :2] / np.maximum(local[:, 2:], 1e-6)
    else:
        aside = np.linalg.norm(local[:, :2], axis=1, keepdims=True)
        theta = np.arctan2(aside, local[:, 2:])
        plane = local[:, :2] * theta / np.maximum(aside, 1e-12)
    focal, centre = cameras.intrinsics[view].numpy().reshape(2, 2)
    return np.asarray(plane * focal + centre, np.float32)


def epipolar_error(
    baseline: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far rays are from meeting, as angles.

    Args:
        baseline: (3,) from the first centre to the second.
        first, second: (M, 3) unit rays of matched keypoints.

    Returns:
        (M,) radians: the larger of each ray's angles to the other's epipolar plane; infinite where
        that plane is not defined.
    """
    error = np.zeros(len(first))
    for ray, other in ((first, second), (second, first)):
        normal = np.cross(baseline, ray)
        length = np.linalg.norm(normal, axis=1)
        defined = length > 1e-9 * np.linalg.norm(baseline)
        sine = np.abs((normal * other).sum(axis=1)) / np.where(defined, length, 1.0)
        angle = np.arcsin(sine.clip(0.0, 1.0))
        error = np.maximum(error, np.where(defined, angle, np.inf))
    return error


def _verify(
    pycolmap: Any,
    database: Any,
    cameras: Cameras,
    rays: dict[int, NDArray[np.float64]],
    max_error: float,
) -> None:
    """Write the matches whose rays meet, within `max_error` pixels, as verified ones."""
    centres = cameras.centres.numpy()
    kept = total = 0
    for pair, matches in zip(*database.read_all_matches(), strict=True):
        i, j = pycolmap.pair_id_to_image_pair(pair)
        error = epipolar_error(
            centres[j - 1] - centres[i - 1], rays[i][matches[:, 0]], rays[j][matches[:, 1]]
        )
        focal = float(cameras.intrinsics[[i - 1, j - 1], :2].mean())
        good = matches[error * focal <= max_error]
        kept, total = kept + len(good), total + len(matches)
        if len(good):
            geometry = pycolmap.TwoViewGeometry()
            geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
            geometry.inlier_matches = good
            database.write_two_view_geometry(i, j, geometry)
    _LOG.info("%d of %d matches agree with the poses", kept, total)


def _triangulate(pycolmap: Any, model: Any, database: Path, work: Path, max_error: float) -> Any:
    options = pycolmap.IncrementalPipelineOptions()
    options.min_num_matches = 1
    options.extract_colors = False  # keypoints have moved: `dac.scenes.points` takes colours
    options.random_seed = 0
    options.triangulation.random_seed = 0
    options.triangulation.merge_max_reproj_error = max_error
    options.triangulation.complete_max_reproj_error = max_error
    options.mapper.filter_max_reproj_error = max_error
    (work / "model").mkdir()
    return pycolmap.triangulate_points(
        model, database, work / "images", work / "model", options=options
    )


def _tracks_of(model: Any, keypoints: dict[int, NDArray[np.float64]], scale: int) -> Tracks:
    ids = sorted(model.points3D)
    entries = [
        (point, element.image_id, element.point2D_idx)
        for point, i in enumerate(ids)
        for element in model.points3D[i].track.elements
    ]
    table = np.array(entries, np.int64).reshape(-1, 3)
    pixels = [keypoints[image][index] for _, image, index in entries]
    return Tracks(
        xyz=np.array([model.points3D[i].xyz for i in ids], np.float64).reshape(-1, 3),
        error=np.array([model.points3D[i].error for i in ids], np.float64) / scale,
        point=table[:, 0],
        view=table[:, 1] - 1,
        pixel=np.array(pixels, np.float64).reshape(-1, 2) / scale,
    )
