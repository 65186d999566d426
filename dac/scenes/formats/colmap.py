"""A COLMAP model with its images: `images/` and `sparse/0` (or `sparse`, or the model's files)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dac.errors import UserError
from dac.scenes.formats.colmap_model import ColmapCamera, ColmapModel, read_model
from dac.scenes.views import LensModel, Sparse, Views, checked_lens
from dac.storage.files import inside, is_file

# Where each parameter goes: fx, fy, cx, cy, then k1, k2, p1, p2, k3, k4; one f stands for both.
_LENSES: dict[str, tuple[LensModel, str]] = {
    "SIMPLE_PINHOLE": ("perspective", "f cx cy"),
    "PINHOLE": ("perspective", "fx fy cx cy"),
    "SIMPLE_RADIAL": ("perspective", "f cx cy k1"),
    "RADIAL": ("perspective", "f cx cy k1 k2"),
    "OPENCV": ("perspective", "fx fy cx cy k1 k2 p1 p2"),
    "FULL_OPENCV": ("perspective", "fx fy cx cy k1 k2 p1 p2 k3 0 0 0"),
    "SIMPLE_FISHEYE": ("fisheye", "f cx cy"),
    "FISHEYE": ("fisheye", "fx fy cx cy"),
    "SIMPLE_RADIAL_FISHEYE": ("fisheye", "f cx cy k1"),
    "RADIAL_FISHEYE": ("fisheye", "f cx cy k1 k2"),
    "OPENCV_FISHEYE": ("fisheye", "fx fy cx cy k1 k2 k3 k4"),
    "THIN_PRISM_FISHEYE": ("fisheye", "fx fy cx cy k1 k2 0 0 k3 k4 0 0"),
}


def read_colmap(path: Path) -> Views:
    """Views of a folder that holds a COLMAP model and its images.

    Raises:
        UserError: no model, a damaged one, an unsupported lens, a missing image.
    """
    for name in ("sparse/0", "sparse", "."):
        folder = path / name
        if any(is_file(folder / f"cameras{suffix}") for suffix in (".bin", ".txt")):
            folder = inside(path, name, path)
            return views_of_model(read_model(folder), folder, inside(path, "images", path))
    raise UserError(path, "no COLMAP model here", "it needs sparse/0/cameras.bin (or .txt)")


def views_of_model(model: ColmapModel, where: Path, images: Path) -> Views:
    """Views of a model's registered images, in their names' order; names relative to `images`.

    Raises:
        UserError: no registered image, a missing one, an unsupported or mixed lens.
    """
    ids = sorted(model.images, key=lambda i: model.images[i].name)
    if not ids:
        raise UserError(where, "no registered images", "run structure from motion again")
    cameras = [model.cameras[model.images[i].camera_id] for i in ids]
    names = [model.images[i].name for i in ids]
    files = [inside(images, name, where) for name in names]
    for file in files:
        if not is_file(file):
            raise UserError(file, "the image is missing", "copy it there")
    lenses = {camera: lens_of(camera, where) for camera in set(cameras)}
    if len({lens[0] for lens in lenses.values()}) > 1:
        raise UserError(where, "perspective and fisheye lenses are mixed", "split the model")
    poses = []
    for i in ids:
        cam_from_world = model.images[i].cam_from_world
        rotation = cam_from_world[:, :3].T
        poses.append(np.column_stack([rotation, -rotation @ cam_from_world[:, 3]]))
    return Views(
        root=images,
        model=lenses[cameras[0]][0],
        names=tuple(names),
        files=tuple(files),
        sizes=np.array([(c.width, c.height) for c in cameras], np.int64),
        intrinsics=np.array([lenses[c][1] for c in cameras], np.float64),
        distortion=np.array([lenses[c][2] for c in cameras], np.float64),
        poses=np.stack(poses),
        sparse=_sparse(model, ids),
    )


def lens_of(camera: ColmapCamera, where: Path) -> tuple[LensModel, list[float], list[float]]:
    """Lens model, (fx, fy, cx, cy) and (k1, k2, p1, p2, k3, k4) of a COLMAP camera.

    Raises:
        UserError: the model, or a coefficient that it uses, has no counterpart here.
    """
    fix = "undistort the images with COLMAP first"
    if camera.model not in _LENSES:
        raise UserError(where, f"camera model {camera.model} is not supported", fix)
    kind, layout = _LENSES[camera.model]
    values = dict.fromkeys(("k1", "k2", "p1", "p2", "k3", "k4"), 0.0)
    for key, value in zip(layout.split(), camera.params, strict=True):
        if not np.isfinite(value) or (key == "0" and value != 0.0):
            what = "not finite" if not np.isfinite(value) else "a term that is not supported"
            raise UserError(where, f"{camera.model} with a parameter {value:g}: {what}", fix)
        values[key] = value
    fx, fy = values.get("fx", values.get("f", 0.0)), values.get("fy", values.get("f", 0.0))
    coefficients = [values[key] for key in ("k1", "k2", "p1", "p2", "k3", "k4")]
    lens = [fx, fy, values["cx"], values["cy"], *coefficients]
    lens = checked_lens(where, (camera.width, camera.height), lens, "export the model again")
    return kind, lens[:4], lens[4:]


def _sparse(model: ColmapModel, ids: list[int]) -> Sparse | None:
    if not len(model.xyz):
        return None
    order = np.argsort(ids)
    views = order[np.searchsorted(np.array(ids)[order], model.track_image_ids)]
    points = np.repeat(np.arange(len(model.xyz)), np.diff(model.track_offsets))
    return Sparse(model.xyz, points, views)
