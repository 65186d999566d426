"""A scene as a data set for other programs: its images, as they are trained on, with its cameras.

Notation: N views of W x H pixels, P points. Cameras are written in the scene's world or, by a
similarity, in the data set's own coordinates. The files are COLMAP's text format
(https://colmap.github.io/format.html) and nerfstudio's `transforms.json`
(https://docs.nerf.studio/quickstart/data_conventions.html).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dac.cameras import Cameras
from dac.errors import UserError
from dac.scenes.normalise import transformed_poses
from dac.scenes.points import Points
from dac.scenes.scene import Scene
from dac.scenes.views import opencv_from_opengl
from dac.storage.artifacts import new_folder, write_json

Array = NDArray[np.float64]

_COEFFICIENTS = ("k1", "k2", "p1", "p2", "k3", "k4")
_WHERE = "a COLMAP camera"


def write_transforms(scene: Scene, out: Path, similarity: Array) -> None:
    """Write `transforms.json` and `images/`, with the split.

    Args:
        out: a folder that isn't there, or is empty.
        similarity: (4, 4) from the scene's world to the coordinates that are written.

    Raises:
        UserError: there is something at `out`; the disk.
    """
    files = _files(scene)
    poses = _poses(scene, similarity)
    fisheye = scene.cameras.model == "fisheye"
    frames = []
    for view, file in enumerate(files):
        fx, fy, cx, cy = scene.cameras.intrinsics[view].tolist()
        lens = zip(_COEFFICIENTS, scene.cameras.distortion[view].tolist(), strict=True)
        matrix = np.vstack([opencv_from_opengl(poses[view]), [0, 0, 0, 1]])
        frames.append(
            {"file_path": file, "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy}
            | {"w": scene.cameras.width, "h": scene.cameras.height}
            | {key: value for key, value in lens if not (fisheye and key in ("p1", "p2"))}
            | {"transform_matrix": matrix.tolist()}
        )
    data: dict[str, Any] = {
        "camera_model": "OPENCV_FISHEYE" if fisheye else "OPENCV",
        "train_filenames": [files[view] for view in scene.train],
        "test_filenames": [files[view] for view in scene.test],
        "frames": frames,
    }
    with _new_data_set(out) as part:
        _write_images(scene, part, files)
        write_json(part / "transforms.json", data)


def write_colmap(scene: Scene, points: Points | None, out: Path, similarity: Array) -> None:
    """Write `images/`, `sparse/0/` with the points and their tracks, and `test.txt`.

    Args:
        points: in the scene's world; None writes none.
        out, similarity: as for `write_transforms`.

    Raises:
        UserError: as there; a lens that COLMAP has no model for.
    """
    cameras = scene.cameras
    names = [file.removeprefix("images/") for file in _files(scene)]
    lenses = [_colmap_lens(cameras, view) for view in range(len(cameras))]
    numbers = {lens: number for number, lens in enumerate(dict.fromkeys(lenses), 1)}
    seen, lines = _tracks(cameras, points, similarity)
    images = []
    for view, pose in enumerate(_poses(scene, similarity)):
        rotation = pose[:, :3].T
        numbers_of = [*_quaternion(rotation), *(-rotation @ pose[:, 3]).tolist()]
        words = [view + 1, *numbers_of, numbers[lenses[view]], names[view]]
        images += [" ".join(map(str, words)), " ".join(seen[view])]
    texts = {
        "cameras": [f"{number} {lens}" for lens, number in numbers.items()],
        "images": images,
        "points3D": lines,
    }
    with _new_data_set(out) as part:
        _write_images(scene, part, [f"images/{name}" for name in names])
        model = part / "sparse" / "0"
        model.mkdir(parents=True)
        for name, text in texts.items():
            (model / f"{name}.txt").write_text("".join(f"{line}\n" for line in text))
        (part / "test.txt").write_text("".join(f"{names[view]}\n" for view in scene.test))


def _new_data_set(out: Path) -> Any:
    """A folder that appears whole.

    Raises:
        UserError: there is something already.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UserError(out, "is there already", "name another folder with --out")
    return new_folder(out)


def _files(scene: Scene) -> list[str]:
    """Where each view's image goes: PNG, in `images/`."""
    names = [name.removeprefix("images/") for name in scene.names]
    stems = [str(PurePosixPath(name).with_suffix("")) for name in names]
    if len(set(stems)) < len(stems):  # a.jpg beside a.png
        stems = names
    return [f"images/{stem}.png" for stem in stems]


def _poses(scene: Scene, similarity: Array) -> Array:
    """(N, 3, 4) world_from_camera in the coordinates that are written."""
    return transformed_poses(scene.cameras.world_from_camera.numpy(), similarity)


def _write_images(scene: Scene, folder: Path, files: Sequence[str]) -> None:
    for view, file in enumerate(files):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(scene.images[view])).save(folder / file)


def _colmap_lens(cameras: Cameras, view: int) -> str:
    """A camera's model, size and parameters.

    Raises:
        UserError: COLMAP has no such model.
    """
    k1, k2, p1, p2, k3, k4 = cameras.distortion[view].tolist()
    lens = cameras.intrinsics[view].tolist()
    if cameras.model == "fisheye":
        name, more = "OPENCV_FISHEYE", [k1, k2, k3, k4]
    elif not any((k1, k2, p1, p2, k3, k4)):
        name, more = "PINHOLE", []
    elif not any((k3, k4)):
        name, more = "OPENCV", [k1, k2, p1, p2]
    elif not k4:
        name, more = "FULL_OPENCV", [k1, k2, p1, p2, k3, 0.0, 0.0, 0.0]
    else:
        what = f"can't have a distortion of the eighth power (k4 = {k4:g})"
        raise UserError(_WHERE, what, "export transforms instead")
    return " ".join(map(str, [name, cameras.width, cameras.height, *lens, *more]))


def _tracks(
    cameras: Cameras, points: Points | None, similarity: Array
) -> tuple[list[list[str]], list[str]]:
    """Each view's words of what it sees, and a line for each point."""
    seen: list[list[str]] = [[] for _ in range(len(cameras))]
    if points is None:
        return seen, []
    xyz = points.xyz.astype(np.float64)
    moved = xyz @ similarity[:3, :3].T + similarity[:3, 3]
    counts = [0] * len(cameras)
    tracks: list[list[str]] = [[] for _ in range(len(points))]
    owners = np.repeat(np.arange(len(points)), np.diff(points.offsets))
    for view in range(len(cameras)):
        there = owners[points.views == view]
        pixels, _ = cameras.project(view, torch.from_numpy(xyz[there]))
        for point, (x, y) in zip(there.tolist(), pixels.tolist(), strict=True):
            if np.isfinite(x) and np.isfinite(y):
                seen[view].append(f"{x} {y} {point + 1}")
                tracks[point] += [str(view + 1), str(counts[view])]
                counts[view] += 1
    lines = [
        " ".join(map(str, [point + 1, *moved[point], *points.rgb[point], points.error[point]]))
        + "".join(f" {word}" for word in track)
        for point, track in enumerate(tracks)
    ]
    return seen, lines


def _quaternion(rotation: Array) -> list[float]:
    """w, x, y, z."""
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(rotation).as_quat().tolist()
    return [w, x, y, z]
