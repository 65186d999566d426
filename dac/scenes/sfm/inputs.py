"""The photos that structure from motion sees: listed, decoded once, upright, of one size.

A photo's name is its path below the photo folder, POSIX style; the model and all that follows from
it use that name.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from dac.errors import UserError
from dac.scenes.photos.images import decode, open_image, read_header
from dac.scenes.photos.masks import find_mask, read_mask
from dac.storage.artifacts import sha256
from dac.storage.files import files_under, inside

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
_ORIENTATION = 0x0112  # EXIF tag
_UNKNOWN_TO_COLMAP = frozenset({".webp"})


@dataclass(frozen=True)
class Photo:
    """One readable photo.

    Attributes:
        name: path below the photo folder.
        width, height: pixels, after the EXIF orientation is applied.
        orientation: EXIF orientation, 1 where the pixels are upright.
        alpha: whether pixels may be transparent.
    """

    name: str
    width: int
    height: int
    orientation: int
    alpha: bool = False

    @property
    def needs_copy(self) -> bool:
        """Whether COLMAP can't be given the file as it is."""
        suffix = PurePosixPath(self.name).suffix.lower()
        return self.orientation != 1 or suffix in _UNKNOWN_TO_COLMAP


def list_photos(folder: Path) -> list[str]:
    """Sorted names of the photos in a folder and its subfolders; hidden files are left out.

    Raises:
        UserError: no such folder, or no photo in it; a name that is not UTF-8; a photo or a folder
            that is a link out of it.
    """
    if not folder.is_dir():
        raise UserError(folder, "no such folder", "check the path")
    outside: list[Path] = []
    names = sorted(
        file.relative_to(folder).as_posix()
        for file in files_under(folder, outside)
        if file.suffix.lower() in SUFFIXES and file.is_file()
    )
    for link in outside:
        if link.is_dir() or link.suffix.lower() in SUFFIXES:
            what = "is a link that leads out of the photos' folder, or nowhere"
            raise UserError(link, what, "copy the photos into the folder")
    for name in names:
        inside(folder, name, folder)
    if not names:
        raise UserError(folder, "holds no photos", f"they end in {', '.join(SUFFIXES)}")
    return names


def chosen_photos(folder: Path, exclude: Sequence[str]) -> list[str]:
    """Sorted names of the photos that are not excluded.

    Raises:
        UserError: no such folder, or it holds fewer than two such photos.
    """
    names = list_photos(folder)
    left_out = set(exclude)
    chosen = [name for name in names if name not in left_out]
    if len(chosen) < 2:
        but = f" but for {len(names) - len(chosen)} excluded" if len(chosen) < len(names) else ""
        what = f"holds {'one photo' if chosen else 'no photo'}{but}"
        raise UserError(folder, what, "structure from motion needs two, better twenty")
    return chosen


def digests_of(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """SHA-256 of every photo's file.

    Raises:
        UserError: names the photo that can't be read.
    """
    digests = {}
    for name in names:
        try:
            digests[name] = sha256(folder / name)
        except OSError as error:
            what = f"can't be read ({error.strerror})"
            raise UserError(folder / name, what, "replace it") from None
    return digests


def decode_photos(folder: Path, names: Sequence[str]) -> list[Photo]:
    """Decode every photo once, so that a damaged one is found before the long work.

    Raises:
        UserError: names the photo that is damaged.
    """
    photos = []
    headers = [read_header(folder / name) for name in names]
    for name, header in zip(names, headers, strict=True):
        decode(folder / name, 3)
        photos.append(Photo(name, *header.upright, header.orientation, header.alpha))
    return photos


def camera_group(name: str, camera: str) -> str:
    """Photos of one group share a camera.

    Args:
        name: of the photo.
        camera: `single` or `per-folder`.
    """
    return "" if camera == "single" else str(PurePosixPath(name).parent)


def check_sizes(folder: Path, photos: Sequence[Photo], camera: str) -> None:
    """Photos that share a camera must share a size.

    Args:
        folder: for the message.
        photos: two or more.
        camera: `single` or `per-folder`.

    Raises:
        UserError: names two photos and their sizes.
    """
    first: dict[str, Photo] = {}
    for photo in photos:
        other = first.setdefault(camera_group(photo.name, camera), photo)
        if (photo.width, photo.height) != (other.width, other.height):
            sizes = f"{other.name} has {other.width} x {other.height} pixels but {photo.name} has"
            raise UserError(
                folder,
                f"{sizes} {photo.width} x {photo.height}, and sfm.camera {camera} means one size",
                "leave one of them out, or give each size a folder and set sfm.camera: per-folder",
            )


def colmap_folder(folder: Path, photos: Sequence[Photo], work: Path) -> Path:
    """A folder with the same names in which COLMAP finds upright pixels.

    COLMAP doesn't apply the EXIF orientation, but whoever reads a photo for training does. Where
    every photo can be used as it is this is `folder` itself; else `work/upright`, with lossless
    copies of the turned ones (PNG, whatever their name ends in, with the rest of their EXIF data)
    and links to the others.
    """
    upright = work / "upright"
    shutil.rmtree(upright, ignore_errors=True)
    if not any(photo.needs_copy for photo in photos):
        return folder
    for photo in photos:
        source, target = folder / photo.name, upright / photo.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if photo.needs_copy:
            copy = Image.fromarray(decode(source, 3, photo.orientation))
            copy.save(target, "PNG", compress_level=1, exif=_exif_upright(source))
        else:
            target.symlink_to(source.resolve())
    return upright


def masks_of(folder: Path | None, names: Sequence[str]) -> dict[str, Path]:
    """The mask of every photo, by the photo's name; empty without a folder of masks.

    Raises:
        UserError: names a photo that has none.
    """
    return {} if folder is None else {name: find_mask(folder, name) for name in names}


def colmap_masks(
    folder: Path, photos: Sequence[Photo], masks: Mapping[str, Path], work: Path
) -> Path | None:
    """A folder with masks as COLMAP wants them: `{name}.png`, upright, black where no feature is.

    A pixel counts where its mask is white and alpha at least half.

    Args:
        folder: of the photos.
        masks: of `masks_of`.
        work: gets `masks/`.

    Returns:
        The folder; None where no photo has a mask or alpha.

    Raises:
        UserError: a mask is damaged or has another size than its photo.
    """
    made = work / "masks"
    shutil.rmtree(made, ignore_errors=True)
    for photo in photos:
        used = np.full((photo.height, photo.width), 255, np.uint8)
        if photo.alpha:
            alpha = decode(folder / photo.name, 4, photo.orientation)[..., 3]
            used[alpha < 128] = 0
        if photo.name in masks:
            size = (photo.width, photo.height)
            used &= read_mask(masks[photo.name], photo.orientation, size, 1)
        if photo.alpha or photo.name in masks:
            target = made / f"{photo.name}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(used).save(target, compress_level=1)
    return made if made.exists() else None


def _exif_upright(source: Path) -> Any:
    with open_image(source) as image:
        exif = image.getexif()
        exif.get_ifd(0x8769)  # loads the part that holds the focal length
        exif.pop(_ORIENTATION, None)
        return exif
