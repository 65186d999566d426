"""The layout of NSVF (Liu et al., arXiv:2007.11571), as TanksAndTempleBG has it.

`rgb/` and `pose/` hold a file each for every view, of one stem; `intrinsics.txt` is for all. The
stem's prefix is the split: `0_` trains, `1_` tests. Views with `2_` (in NSVF's synthetic scenes,
where `1_` is for validation) are left out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from dac.errors import UserError
from dac.scenes.formats.matrices import (
    IMAGES,
    MATRICES,
    Lens,
    files_in,
    frames_of,
    lens_of_matrix,
    lines_of,
    matrix_of,
    refuse_alone,
)
from dac.scenes.formats.transforms import views_of
from dac.scenes.views import Views
from dac.storage.files import inside

PART_OF_PREFIX: dict[str, Literal["train", "test"]] = {"0_": "train", "1_": "test"}
UNUSED_PREFIX = "2_"


def read_nsvf(path: Path) -> Views:
    """Views of a scene in the layout of NSVF, split by their names' prefixes.

    Raises:
        UserError: a file is missing or damaged, a name has another prefix, a pose or the lens is
            impossible.
    """
    images = _used(path, files_in(path, "rgb", IMAGES))
    if not images:
        where = inside(path, "rgb", path)
        raise UserError(where, "holds no images named 0_* or 1_*", "check the scene's format")
    poses = files_in(path, "pose", MATRICES)
    refuse_alone(path, _used(path, poses).values(), images, "rgb")
    file = inside(path, "intrinsics.txt", path)
    lens = read_intrinsics(file)
    views = views_of(path, frames_of(path, images, "pose", lambda _: (file, lens)))
    views = replace(views, given=tuple(PART_OF_PREFIX[stem[:2]] for stem in images))
    left_out = sum(stem.startswith(UNUSED_PREFIX) for stem in poses)
    if left_out:
        views = views.noting(
            f"{left_out} views whose names begin with {UNUSED_PREFIX} are left out."
        )
    return views


def _used(path: Path, files: dict[str, str]) -> dict[str, str]:
    """The files of views that train or test.

    Raises:
        UserError: a name's prefix says neither, and isn't the one that is left out.
    """
    for stem, name in files.items():
        if stem[:2] not in (*PART_OF_PREFIX, UNUSED_PREFIX):
            what = "begins with neither 0_ (training) nor 1_ (test)"
            raise UserError(path / name, what, "rename it")
    return {stem: name for stem, name in files.items() if stem[:2] in PART_OF_PREFIX}


def read_intrinsics(file: Path) -> Lens:
    """The lens of all views, as keys of a frame.

    A matrix of 4 x 4 or 3 x 3, or NSVF's older form, whose first line is `f cx cy` (and 0), and
    whose others say nothing of the lens.

    Raises:
        UserError: the file is missing or damaged; none of these.
    """
    lines = lines_of(file)
    values = [value for line in lines for value in line]
    for side in (4, 3):
        if len(values) == side * side:
            return lens_of_matrix(matrix_of(values, side, file), file)
    if not lines or len(lines[0]) not in (3, 4) or any(lines[0][3:]):
        what = "holds neither a 4 x 4 matrix nor a first line of f, cx and cy"
        raise UserError(file, what, "check how the cameras were exported")
    f, cx, cy = lines[0][:3]
    return {"fl_x": f, "fl_y": f, "cx": cx, "cy": cy}
