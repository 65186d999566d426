"""The nerfstudio / instant-ngp format: one `transforms.json`.

Lens distortion, intrinsics per file or per frame; poses camera-to-world with OpenGL axes. Its
`applied_transform` says how the exporter turned the poses; they are used as they stand.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from dac.errors import UserError
from dac.scenes.formats.transforms import Frame, read_frames, views_of
from dac.scenes.views import Views
from dac.storage.files import inside, is_file

LARGEST_MISSING_SHARE = 0.5


def read_nerfstudio(path: Path) -> Views:
    """Views of a folder with a `transforms.json` (or of the file itself).

    Listed images that are missing are left out, up to half of them.

    Raises:
        UserError: the file is missing or damaged, too many images are missing, a pose or a lens is
            impossible.
    """
    file = path if path.suffix == ".json" else inside(path, "transforms.json", path)

    def find(name: str, where: str) -> Path | None:
        image = inside(file.parent, name, where)
        return image if is_file(image) else None

    frames, data, missing = read_frames(file, find)
    total = len(frames) + len(missing)
    if len(missing) > LARGEST_MISSING_SHARE * total:
        raise UserError(
            file,
            f"{len(missing)} of {total} images are missing, first {missing[0]}",
            "copy the images beside the file",
        )
    views = views_of(file.parent, frames)
    if missing:
        views = views.noting(
            f"{len(missing)} of {total} listed images are missing (first {missing[0]}) "
            "and left out."
        )
    return _given_split(views, frames, data, file)


def _given_split(views: Views, frames: list[Frame], data: dict[str, Any], file: Path) -> Views:
    """Apply `train_filenames` and `test_filenames` (or `val_filenames`), where they exist."""
    test_key = "test_filenames" if data.get("test_filenames") else "val_filenames"
    train, test = data.get("train_filenames"), data.get(test_key)
    if not train or not test:
        return views
    part: dict[str, Literal["train", "test"]] = {}
    lists: tuple[tuple[Literal["train", "test"], Any], ...] = (("train", train), ("test", test))
    for key, names in lists:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(file, f"the {key} split is no list of names", "mend the file")
        for name in names:
            if name in part:
                raise UserError(file, f"{name} is listed twice in the splits", "list it once")
            part[name] = key
    kept = [i for i, frame in enumerate(frames) if frame.file_path in part]
    chosen = views.select(kept)
    given = tuple(part[frames[i].file_path] for i in kept)
    if len(kept) < len(frames):
        chosen = chosen.noting(f"{len(frames) - len(kept)} views in no split are left out.")
    return replace(chosen, given=given)
