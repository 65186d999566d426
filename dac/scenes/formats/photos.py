"""A folder of photos whose cameras structure from motion has found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dac.scenes.formats.colmap import views_of_model
from dac.scenes.formats.colmap_model import read_model
from dac.scenes.sfm.inputs import list_photos
from dac.scenes.views import Views


def read_photos(path: Path, sfm_model: Path) -> Views:
    """Views of the photos that the model in `sfm_model` has registered, as upright pixels.

    Raises:
        UserError: no photos, a damaged model, a photo that was taken away since.
    """
    photos = list_photos(path)
    views = views_of_model(read_model(sfm_model), sfm_model, path)
    return replace(views, upright=True).noting(
        f"Structure from motion registered {len(views)} of {len(photos)} photos."
    )
