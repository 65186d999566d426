"""The layout of NeRF++ (Zhang et al., arXiv:2010.07492), in which Tanks and Temples circulates.

`{train,test}/{rgb,pose,intrinsics}/`: an image, its pose and its intrinsics have one stem. A folder
`mask/` beside them is used, white where a pixel is. `validation/`, which not all scenes have, and
`camera_path/`, which has no images, are left out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal

from dac.errors import UserError
from dac.scenes.formats.matrices import (
    IMAGES,
    MATRICES,
    Lens,
    files_in,
    frames_of,
    lens_of_matrix,
    matrix_of,
    numbers,
    refuse_alone,
)
from dac.scenes.formats.transforms import Frame, views_of
from dac.scenes.photos.masks import find_mask
from dac.scenes.views import Views
from dac.storage.files import inside


def read_nerfpp(path: Path) -> Views:
    """Views of a scene in the layout of NeRF++, split as given.

    Raises:
        UserError: a file is missing or damaged, a pose or a lens is impossible.
    """
    frames: list[Frame] = []
    parts: list[Literal["train", "test"]] = []
    masks: list[Path | None] = []
    splits: tuple[Literal["train", "test"], ...] = ("train", "test")
    for part in splits:
        images = files_in(path, f"{part}/rgb", IMAGES)
        if not images:
            where = inside(path, f"{part}/rgb", path)
            raise UserError(where, "holds no images", f"they end in {', '.join(IMAGES)}")
        frames += _frames(path, part, images)
        parts += [part] * len(images)
        masks += _masks(path, part, list(images.values()))
    views = replace(views_of(path, frames), given=tuple(parts))
    if any(masks):
        views = replace(views, masks=tuple(masks))
    return views.noting(
        "Views of train/ and test/ are used; validation/ and camera_path/, if any, are left out."
    )


def _frames(path: Path, part: str, images: dict[str, str]) -> list[Frame]:
    for folder in ("pose", "intrinsics"):
        cameras = files_in(path, f"{part}/{folder}", MATRICES)
        refuse_alone(path, cameras.values(), images, f"{part}/rgb")

    def lens(stem: str) -> tuple[Path, Lens]:
        file = inside(path, f"{part}/intrinsics/{stem}.txt", path)
        return file, lens_of_matrix(matrix_of(numbers(file), 4, file), file)

    return frames_of(path, images, f"{part}/pose", lens)


def _masks(path: Path, part: str, images: list[str]) -> list[Path | None]:
    """The images' masks, where this part of the data set has any."""
    folder = inside(path, f"{part}/mask", path)
    if not folder.is_dir():
        return [None] * len(images)
    return [find_mask(folder, PurePosixPath(name).name) for name in images]
