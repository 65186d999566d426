"""Views as a data set gives them: files, cameras and splits, before any pixel is read.

Every format's reader returns `Views`; what follows (splits, pixels, normalisation) is the same for
all. Notation: N views; poses are world_from_camera with OpenCV axes, in the data set's own frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dac.errors import UserError
from dac.storage.files import read_text

Array = NDArray[np.float64]
LensModel = Literal["perspective", "fisheye"]

ROTATION_TOLERANCE = 5e-3
FURTHEST = 1e12  # of a camera or a point from the origin: beyond, distances lose their digits
LARGEST_SIDE = 1_000_000  # pixels
LARGEST_NUMBER, SMALLEST_NUMBER = 1e9, 1e-30  # of a lens
LARGEST_LIST = 16 * 2**20  # bytes


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
        masks: each view's own mask, None for those that have none; None for a data set without.
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
    masks: tuple[Path | None, ...] | None = None
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
            new_index = np.full(len(self), -1, np.int64)
            new_index[index] = np.arange(len(index))
            kept = new_index[sparse.views] >= 0
            sparse = Sparse(sparse.xyz, sparse.points[kept], new_index[sparse.views[kept]])
        return replace(
            self,
            names=tuple(self.names[i] for i in index),
            files=tuple(self.files[i] for i in index),
            sizes=self.sizes[index],
            intrinsics=self.intrinsics[index],
            distortion=self.distortion[index],
            poses=self.poses[index],
            given=None if self.given is None else tuple(self.given[i] for i in index),
            masks=None if self.masks is None else tuple(self.masks[i] for i in index),
            sparse=sparse,
        )

    def noting(self, *sentences: str) -> Views:
        """The same views with more sentences in the log."""
        return replace(self, log=(*self.log, *sentences))


def rigid(matrix: object, where: str | Path) -> Array:
    """Check a (3, 4) or (4, 4) pose and return its first three rows, the rotation made exact.

    Raises:
        UserError: another shape, NaN or infinity, a rotation part that is off by more than 5e-3 or
            mirrored, a last row that is not 0, 0, 0, 1.
    """
    fix = "check how the poses were exported"
    try:
        if not _numbers(matrix):
            raise ValueError
        pose = np.array(matrix, np.float64)
    except (ValueError, OverflowError):
        raise UserError(where, "the pose is no matrix of numbers", fix) from None
    if pose.shape not in ((3, 4), (4, 4)):
        raise UserError(where, f"the pose has shape {pose.shape}, not (4, 4)", fix)
    if not np.isfinite(pose).all():
        raise UserError(where, "the pose holds NaN or infinity", fix)
    if np.abs(pose).max() > FURTHEST:
        raise UserError(where, f"the camera stands further than {FURTHEST:g} away", fix)
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


def _numbers(matrix: object) -> bool:
    """Whether it is a list of rows of numbers, none of them long."""
    return (
        isinstance(matrix, list)
        and len(matrix) <= 16
        and all(isinstance(row, list) and len(row) <= 16 for row in matrix)
        and all(isinstance(v, int | float) and not isinstance(v, bool) for r in matrix for v in r)
    )


def checked_lens(
    where: str | Path, size: tuple[float, float], lens: Sequence[float], fix: str
) -> list[float]:
    """Check a camera's size and lens.

    Args:
        where: what states them, for the message.
        size: width and height in pixels.
        lens: fx, fy, cx, cy and the coefficients of the distortion.
        fix: for the message.

    Returns:
        The lens's numbers; coefficients too small for any effect are 0.

    Raises:
        UserError: a size that no image has, a focal length that is not positive or gives no image,
            a number that leaves no digits to compute with.
    """
    if not all(1 <= side <= LARGEST_SIDE for side in size):
        width, height = (f"{side:g}" if abs(side) <= 1e300 else "impossibly many" for side in size)
        raise UserError(where, f"the camera has {width} x {height} pixels", fix)
    for focal in lens[:2]:
        if not focal > 0:
            raise UserError(where, f"the focal length is not positive ({focal:g})", fix)
        if not 1e-3 <= focal / max(size) <= 1e6:
            raise UserError(where, f"a focal length of {focal:g} pixels gives no image", fix)
    largest = max(map(abs, lens))
    if not largest <= LARGEST_NUMBER:
        raise UserError(where, f"a lens with the number {largest:g}", fix)
    return [value if abs(value) > SMALLEST_NUMBER else 0.0 for value in lens]


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
        UserError: the file is missing, too large or no text.
    """
    lines = read_text(file, LARGEST_LIST, "text, one image name a line").split("\n")
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


class Finder:
    """Finds the views that the entries of a list mean.

    Args:
        names: of all views.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._named: dict[str, list[tuple[int, str]]] = {}
        for i, name in enumerate(names):
            self._named.setdefault(name.rsplit("/", 1)[-1], []).append((i, name))

    def __call__(self, entry: str) -> list[int]:
        """Indices of the views that `images/a.jpg` means, or `a.jpg` for short."""
        wanted = entry.removeprefix("./")
        alike = self._named.get(wanted.rsplit("/", 1)[-1], [])
        return [i for i, name in alike if name == wanted or name.endswith("/" + wanted)]
