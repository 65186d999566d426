"""A folder of photos whose cameras structure from motion has found."""

from __future__ import annotations

from pathlib import Path

from dac.errors import UserError
from dac.scenes.colmap import views_of_model
from dac.scenes.colmap_model import read_model
from dac.scenes.views import Views

EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")


def list_photos(folder: Path) -> list[str]:
    """Sorted POSIX paths, relative to `folder`, of the images in it and in its subfolders.

    Raises:
        UserError: no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise UserError(folder, "no such folder", "check the path")
    names = sorted(
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.suffix.lower() in EXTENSIONS and file.is_file() and not file.name.startswith(".")
    )
    if not names:
        raise UserError(folder, "holds no images", f"they end in {', '.join(EXTENSIONS)}")
    return names


def read_photos(path: Path, sfm_model: Path) -> Views:
    """Views of the photos that the model in `sfm_model` has registered.

    Raises:
        UserError: no photos, a damaged model, a photo that was taken away since.
    """
    photos = list_photos(path)
    views = views_of_model(read_model(sfm_model), sfm_model, path)
    return views.noting(f"Structure from motion registered {len(views)} of {len(photos)} photos.")
