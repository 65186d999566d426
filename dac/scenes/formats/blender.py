"""The Blender format of NeRF-synthetic: `transforms_train.json` and `transforms_test.json`.

Names in it mostly lack their extension. The validation views (`transforms_val.json`) are left out,
but where the views are split anew. Coordinates are kept as they are: +z is up and the object lies
around the origin.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dac.errors import UserError
from dac.scenes.formats.transforms import Frame, read_frames, views_of
from dac.scenes.views import Views, refuse_duplicates
from dac.storage.files import inside, is_file

PARTS = ("train", "test", "val")
EXTENSIONS = ("", ".png", ".jpg", ".jpeg", ".PNG", ".JPG")


def read_blender(path: Path, *, validation: bool = False) -> Views:
    """Views of a Blender-format folder; split as given if it has test views.

    Args:
        validation: read the validation views too, if there are any; the split is not given then.

    Raises:
        UserError: a file is missing or damaged, an image is missing, a pose is impossible.
    """
    frames: list[Frame] = []
    parts: list[str] = []
    for part in PARTS if validation else PARTS[:2]:
        file = inside(path, f"transforms_{part}.json", path)
        if part != "train" and not file.exists():
            continue
        found, _, _ = read_frames(file, lambda name, where: find_image(path, name, where))
        frames += found
        parts += [part] * len(found)
    refuse_duplicates((frame.name for frame in frames), path)
    views = views_of(path, frames)
    if validation:
        return views
    if "test" not in parts:
        return views.noting("There is no transforms_test.json: the training views are split.")
    return replace(views, given=tuple("train" if part == "train" else "test" for part in parts))


def find_image(root: Path, name: str, where: str) -> Path:
    """The image that a frame means, with its extension.

    Raises:
        UserError: there is none, or it lies outside `root`.
    """
    for extension in EXTENSIONS:
        file = inside(root, name + extension, where)
        if is_file(file):
            return file
    raise UserError(where, "its image is missing", "copy it there or take the frame out")
