"""What the NeRF++ and NSVF formats share: images, and cameras as text files of matrices.

A pose is a 4 x 4 matrix, row by row, on one line or on four: camera-to-world, with OpenCV axes (x
right, y down, z forward). Intrinsics are in pixels, and the first pixel's centre is at 0.5, as in
both projects' own code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from dac.errors import UserError
from dac.scenes.formats.transforms import Frame
from dac.scenes.views import rigid
from dac.storage.files import inside, read_text

IMAGES = (".png", ".jpg", ".jpeg")
MATRICES = (".txt",)
_LARGEST_FILE = 64 * 2**10  # bytes
_SKEW = 1e-6  # of the focal length
_FIX = "check how the cameras were exported"
Lens = dict[str, float]


def files_in(root: Path, folder: str, suffixes: Sequence[str]) -> dict[str, str]:
    """The files of a folder, by what stands before their suffix.

    Args:
        root: the data set.
        folder: relative to `root`.
        suffixes: of the files that count; hidden ones never do.

    Returns:
        Names relative to `root`, in their order.

    Raises:
        UserError: the folder can't be listed or lies outside of `root`; two files differ in nothing
            but their suffix.
    """
    path = inside(root, folder, root)
    try:
        names = sorted(file.name for file in path.iterdir())
    except OSError as error:
        what = f"can't be listed ({error.strerror})"
        raise UserError(path, what, "check the data set's layout and the scene's format") from None
    found: dict[str, str] = {}
    for name in names:
        pure = PurePosixPath(name)
        if name.startswith(".") or pure.suffix.lower() not in suffixes:
            continue
        if pure.stem in found:
            raise UserError(path / name, f"{found[pure.stem]} has the same stem", "keep one")
        found[pure.stem] = f"{folder}/{name}"
    return found


def frames_of(
    root: Path,
    images: Mapping[str, str],
    poses: str,
    lens: Callable[[str], tuple[Path, Lens]],
) -> list[Frame]:
    """Images with their cameras.

    Args:
        root: the data set.
        images: names relative to `root`, by stem.
        poses: the folder of the poses, `{stem}.txt` each.
        lens: gives the lens of the image with some stem, and the file that states it.

    Raises:
        UserError: a pose is missing, damaged or impossible; an image lies outside of `root`.
    """
    frames = []
    for stem, name in images.items():
        file = inside(root, name, root)
        pose_file = inside(root, f"{poses}/{stem}.txt", root)
        pose = rigid(matrix_of(numbers(pose_file), 4, pose_file), pose_file)
        lens_file, keys = lens(stem)
        frames.append(Frame(str(lens_file), name, name, file, pose, keys))
    return frames


def refuse_alone(root: Path, names: Iterable[str], images: Mapping[str, str], folder: str) -> None:
    """Raise a UserError for the first of some cameras' files whose image is missing.

    Args:
        names: of the cameras' files, relative to `root`.
        images: by stem.
        folder: of the images.
    """
    for name in names:
        if PurePosixPath(name).stem not in images:
            fix = f"copy it to {folder}/ or take the file out"
            raise UserError(root / name, "its image is missing", fix)


def lines_of(file: Path) -> list[list[float]]:
    """The numbers in a text file, line by line; empty lines don't count.

    Raises:
        UserError: the file is missing, larger than a camera's or no text; something in it is no
            finite number.
    """
    lines = []
    for line in read_text(file, _LARGEST_FILE, "text, a camera's numbers").split("\n"):
        row = []
        for word in line.split():
            try:
                row.append(float(word))
            except ValueError:
                raise UserError(file, f"{word!r:.80} is no number", _FIX) from None
            if not math.isfinite(row[-1]):
                raise UserError(file, "holds NaN or infinity", _FIX)
        if row:
            lines.append(row)
    return lines


def numbers(file: Path) -> list[float]:
    """All numbers in a text file; see `lines_of`."""
    return [number for line in lines_of(file) for number in line]


def matrix_of(values: Sequence[float], side: int, where: Path) -> list[list[float]]:
    """A flattened `side` x `side` matrix.

    Raises:
        UserError: another count of values.
    """
    if len(values) != side * side:
        what = f"holds {len(values)} numbers, not the {side * side} of a {side} x {side} matrix"
        raise UserError(where, what, _FIX)
    return [list(values[side * row : side * row + side]) for row in range(side)]


def lens_of_matrix(matrix: Sequence[Sequence[float]], where: Path) -> Lens:
    """The lens of a 3 x 3 or 4 x 4 matrix of intrinsics, as keys of a frame.

    Raises:
        UserError: it is no such matrix, or its pixels are skewed.
    """
    (fx, skew, cx, *more), (zero, fy, cy, *others), last = (list(row) for row in matrix[:3])
    if not (zero == 0 and last[:3] == [0, 0, 1] and not any((*more, *others, *last[3:]))):
        raise UserError(where, "is no matrix of intrinsics (fx 0 cx, 0 fy cy, 0 0 1)", _FIX)
    if abs(skew) > _SKEW * abs(fx):
        raise UserError(where, f"the pixels are skewed (by {skew:g})", "undistort the images first")
    return {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy}
