"""Views as a data set gives them: files, cameras and splits, before any pixel is read.

Every format's reader returns `Views`; what follows (splits, pixels, normalisation) is the same for
all. Notation: N views; poses are world_from_camera with OpenCV axes, in the data set's own frame.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dac.errors import UserError

Array = NDArray[np.float64]
LensModel = Literal["perspective", "fisheye"]

ROTATION_TOLERANCE = 5e-3


@dataclass(frozen=True)
class Sparse:
    """Sparse points in the data set's frame.

    Attributes:
        xyz: (P, 3).
        points, views: (T,) each: point `points[i]` was seen in view `views[i]`.
    """

    xyz: Array
    points: NDArray[np.int64]
    views: NDArray[np.int64]


@dataclass(frozen=True)
class Views:
    """N views of a data set.

    Attributes:
        root: the data set's folder, or the file that lists the views; errors name it.
        model: the lens model of all views.
        names: N distinct names, POSIX paths relative to the data set.
        files: N image files.
        sizes: (N, 2) int64 width and height that the intrinsics refer to.
        intrinsics, distortion, poses: (N, 4), (N, 6), (N, 3, 4), see `dac.cameras`.
        given: each view's part in the data set's own split, None without one.
        upright: the cameras are known to mean pixels after their EXIF orientation; else the sizes
            tell (see `dac.scenes.orientation`).
        sparse: sparse points, if the data set has them.
        log: what the reader decided, one sentence each.
    """

    root: Path
    model: LensModel
    names: tuple[str, ...]
    files: tuple[Path, ...]
    sizes: NDArray[np.int64]
    intrinsics: Array
    distortion: Array
    poses: Array
    given: tuple[Literal["train", "test"], ...] | None = None
    upright: bool = False
    sparse: Sparse | None = None
    log: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def select(self, indices: Sequence[int]) -> Views:
        """The views at the given distinct indices, in that order, with their points' tracks."""
        index = np.asarray(indices, np.int64)
        sparse = self.sparse
        if sparse is not None:
            place = np.full(len(self), -1, np.int64)
            place[index] = np.arange(len(index))
            kept = place[sparse.views] >= 0
            sparse = Sparse(sparse.xyz, sparse.points[kept], place[sparse.views[kept]])
        return replace(
            self,
            names=tuple(self.names[i] for i in index),
            files=tuple(self.files[i] for i in index),
            sizes=self.sizes[index],
            intrinsics=self.intrinsics[index],
            distortion=self.distortion[index],
            poses=self.poses[index],
            given=None if self.given is None else tuple(self.given[i] for i in index),
            sparse=sparse,
        )

    def noting(self, *sentences: str) -> Views:
        """The same views with more sentences in the log."""
        return replace(self, log=(*self.log, *sentences))


def inside(root: Path, relative: str, where: str | Path) -> Path:
    """The path of a file that a data set names.

    Raises:
        UserError: the name is absolute, or leads out of `root` by `..` or by a symbolic link.
    """
    fix = "name or copy the file into the data folder"
    if not relative or "\0" in relative:
        raise UserError(where, f"{relative!r} is no file name", fix)
    if PurePosixPath(relative).is_absolute() or PureWindowsPath(relative).drive:
        raise UserError(where, f"{relative} is an absolute path", fix)
    path = root / os.path.normpath(relative)
    try:
        leaves = not path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        raise UserError(where, f"{relative} is a link that goes in circles", fix) from None
    if leaves:
        raise UserError(where, f"{relative} leaves the data folder", fix)
    return path


def rigid(matrix: object, where: str | Path) -> Array:
    """Check a (3, 4) or (4, 4) pose and return its first three rows, the rotation made exact.

    Raises:
        UserError: another shape, NaN or infinity, a rotation part that is off by more than 5e-3 or
            mirrored, a last row that is not 0, 0, 0, 1.
    """
    fix = "check how the poses were exported"
    try:
        pose = np.array(matrix, np.float64)
    except (TypeError, ValueError):
        raise UserError(where, "the pose is no matrix of numbers", fix) from None
    if pose.shape not in ((3, 4), (4, 4)):
        raise UserError(where, f"the pose has shape {pose.shape}, not (4, 4)", fix)
    if not np.isfinite(pose).all():
        raise UserError(where, "the pose holds NaN or infinity", fix)
    if len(pose) == 4 and not np.allclose(pose[3], [0, 0, 0, 1], atol=1e-6):
        raise UserError(where, "the pose's last row is not 0, 0, 0, 1", fix)
    rotation = pose[:3, :3]
    error = float(np.abs(rotation.T @ rotation - np.eye(3)).max())
    if error > ROTATION_TOLERANCE:
        raise UserError(where, f"the rotation is not orthonormal (off by {error:.2g})", fix)
    u, _, vt = np.linalg.svd(rotation)
    if np.linalg.det(u @ vt) < 0:
        raise UserError(where, "the rotation is mirrored", fix)
    return np.column_stack([u @ vt, pose[:3, 3]])


def opencv_from_opengl(pose: Array) -> Array:
    """Turn a (3, 4) world_from_camera from OpenGL's camera axes (y up, z back) to OpenCV's."""
    turned: Array = pose * np.array([1.0, -1.0, -1.0, 1.0])
    return turned


def refuse_duplicates(names: Iterable[str], where: str | Path) -> None:
    """Raise a UserError naming the first name that appears twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(where, f"{name} appears twice", "list each image once")
        seen.add(name)


def read_names(file: Path) -> list[str]:
    """Image names from a text file, one a line; empty lines and lines with # in front do not count.

    Raises:
        UserError: the file is missing or no text.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise UserError(file, f"can't be read ({reason})", "one image name a line") from None
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def matching(names: Sequence[str], entry: str) -> list[int]:
    """Indices of the views that an entry of a list means: `images/a.jpg`, or `a.jpg` for short."""
    wanted = entry.removeprefix("./")
    return [i for i, name in enumerate(names) if name == wanted or name.endswith("/" + wanted)]
