"""What lies at a path: which format it is, how many images it has, and of what kind.

Formats are told by the files that their readers want (see `dac.scenes.importer`); then the reader
itself is asked, so that what is wrong with a data set comes out here as it would in its import.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dac.errors import UserError
from dac.scenes.importer import READERS
from dac.scenes.orientation import match_pixels
from dac.scenes.photos.images import Header, read_header
from dac.scenes.sfm.inputs import SUFFIXES, list_photos
from dac.scenes.splits import split_views
from dac.settings import RenderSettings, SceneSettings, VideoSettings
from dac.storage.files import files_under

VIDEOS = (".mp4", ".mov", ".m4v", ".mkv", ".avi", ".webm")
_PHOTO_FOLDER = "images"


@dataclass(frozen=True)
class DataSet:
    """A data set as it was found.

    Attributes:
        path: the data set; for photos, the folder of them that is used.
        format: as settings call it.
        kind: what it is, in words.
        train, test: views of each kind; of a `.blend` file or a video those that settings make.
        size: width and height of every image in pixels, upright; None for a `.blend` file.
        alpha: whether pixels may be transparent.
        remarks: what else should be known, one sentence each.
    """

    path: Path
    format: str
    kind: str
    train: int
    test: int
    size: tuple[int, int] | None = None
    alpha: bool = False
    remarks: tuple[str, ...] = ()


def _has_model(path: Path) -> bool:
    """Whether COLMAP's cameras and images are there, text or binary."""
    return any(
        (path / folder / f"cameras{suffix}").is_file()
        and (path / folder / f"images{suffix}").is_file()
        for folder in ("sparse/0", "sparse", ".")
        for suffix in (".bin", ".txt")
    )


@dataclass(frozen=True)
class _Layout:
    """A format that brings its cameras: what it is, what tells it, in words and as a test."""

    kind: str
    sign: str
    is_there: Callable[[Path], bool]


_LAYOUTS = {
    "blender": _Layout(
        "a data set as Blender's scripts and NeRF-synthetic have it",
        "transforms_train.json",
        lambda path: (path / "transforms_train.json").is_file(),
    ),
    "nerfstudio": _Layout(
        "a data set of nerfstudio or instant-ngp",
        "transforms.json",
        lambda path: (path / "transforms.json").is_file(),
    ),
    "colmap": _Layout(
        "a COLMAP model with its images", "sparse/0/cameras.bin (or .txt)", _has_model
    ),
    "nerfpp": _Layout(
        "a data set in the layout of NeRF++",
        "train/rgb/ with train/pose/",
        lambda path: (path / "train/rgb").is_dir() and (path / "train/pose").is_dir(),
    ),
    "nsvf": _Layout(
        "a data set in the layout of NSVF",
        "rgb/ with pose/",
        lambda path: (path / "rgb").is_dir() and (path / "pose").is_dir(),
    ),
}


def recognise(path: Path, format: str | None = None) -> DataSet:
    """Find out what lies at a path.

    Args:
        path: a folder, or a file that is a data set in itself.
        format: what it is, if its owner says so.

    Raises:
        UserError: nothing is there, or nothing that is known; it may be two formats; its reader
            refuses it; an image can't be read; images of several sizes.
    """
    if not path.exists():
        raise UserError(path, "no such file or folder", "check the path")
    format = format or (_format_of_folder(path) if path.is_dir() else _format_of_file(path))
    if format == "blend":
        if path.is_dir():
            raise UserError(path, "is a folder, no Blender file", "name the file")
        made = RenderSettings()
        return DataSet(path, format, "a Blender file", made.train_views, made.test_views)
    if format == "video":
        return _video(path)
    if format == "photos":
        return _photos(path)
    return _posed(path, format)


def _format_of_file(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix == ".blend":
        return "blend"
    if suffix in VIDEOS:
        return "video"
    what = f"is a file, but neither a Blender file nor a video ({', '.join(VIDEOS)})"
    raise UserError(path, what, "name the folder of the data set")


def _format_of_folder(path: Path) -> str:
    """The one format whose sign is there; else photos, if there are any."""
    formats = [format for format, layout in _LAYOUTS.items() if layout.is_there(path)]
    if len(formats) > 1:
        signs = " and ".join(f"{_LAYOUTS[format].sign} ({format})" for format in formats)
        fix = f"say which: --format {' or --format '.join(formats)}"
        raise UserError(path, f"may be two data sets, since it holds {signs}", fix)
    if formats:
        return formats[0]
    kinds = Counter(file.suffix.lower() for file in files_under(path))
    if any(kinds[suffix] for suffix in SUFFIXES):
        return "photos"
    singles = [
        file.name
        for file in sorted(path.iterdir())
        if file.is_file() and file.suffix.lower() in (".blend", *VIDEOS)
    ]
    if singles:
        raise UserError(path, f"holds no photos but {singles[0]}", f"name {path / singles[0]}")
    raise _nothing_known(path, kinds)


def _nothing_known(path: Path, kinds: Counter[str]) -> UserError:
    held = ", ".join(f"{n} {kind or 'nameless'}" for kind, n in kinds.most_common(3))
    signs = "; ".join(layout.sign for layout in _LAYOUTS.values())
    looked = f"looked for photos ({', '.join(SUFFIXES)}); {signs}"
    fix = "convert them to JPEG" if kinds[".heic"] or kinds[".heif"] else "see docs/own-scene.md"
    what = f"holds only files of other kinds ({held})" if held else "is empty"
    return UserError(path, f"{what}: {looked}", fix)


def _photos(path: Path) -> DataSet:
    """Photos: those in `images/` where there is such a folder, else all below the path."""
    folder, remarks = path, []
    every = list_photos(path)
    inner = [name for name in every if name.startswith(f"{_PHOTO_FOLDER}/")]
    if inner:
        folder = path / _PHOTO_FOLDER
        if others := len(every) - len(inner):
            remarks.append(f"Not used: {others} more in {path}, outside of {_PHOTO_FOLDER}/.")
    names = list_photos(folder)
    headers = [read_header(folder / name) for name in names]
    size = _one_size(folder, names, [header.upright for header in headers])
    train, test = _every_8th(folder, names)
    kind = "a folder of photos"
    return DataSet(folder, "photos", kind, train, test, size, _alpha(headers), tuple(remarks))


def _posed(path: Path, format: str) -> DataSet:
    """A data set that brings its cameras."""
    views = READERS[format](path)
    views = views.select(sorted(range(len(views)), key=lambda i: views.names[i]))
    headers = [read_header(file) for file in views.files]
    remarks = views.log
    views, _ = match_pixels(views, headers)
    size = _one_size(path, views.names, [(int(w), int(h)) for w, h in views.sizes])
    train, test, _ = split_views(
        views.names, SceneSettings(), views.given, path, centres=views.poses[:, :, 3]
    )
    kind = f"{_LAYOUTS[format].kind} ({_LAYOUTS[format].sign})"
    return DataSet(path, format, kind, len(train), len(test), size, _alpha(headers), remarks)


def _one_size(
    where: Path, names: Sequence[str], sizes: Sequence[tuple[int, int]]
) -> tuple[int, int]:
    for name, size in zip(names, sizes, strict=True):
        if size != sizes[0]:
            (w, h), (v, g) = sizes[0], size
            what = f"{names[0]} has {w} x {h} pixels but {name} has {v} x {g}"
            raise UserError(where, what, "bring all images to one size")
    return sizes[0]


def _alpha(headers: Sequence[Header]) -> bool:
    return any(header.alpha for header in headers)


def _every_8th(where: Path, names: Sequence[str]) -> tuple[int, int]:
    """How many views train and how many test, where a data set gives no split."""
    centres = np.zeros((len(names), 3))  # which this way of splitting doesn't look at
    train, test, _ = split_views(
        names, SceneSettings(split="every-8th"), None, where, centres=centres
    )
    return len(train), len(test)


def _video(path: Path) -> DataSet:
    """A video, and the photos that are made of it if nothing else is said.

    Raises:
        UserError: the package av is missing; it can't be decoded.
    """
    try:
        import av  # noqa: F401
    except ImportError as error:
        fix = "dac doctor says how to install it"
        raise UserError(path, f"videos need the package av ({error})", fix) from None
    from dac.scenes.photos.video import probe

    made, video = VideoSettings(), probe(path)
    reduced = min(1.0, made.longest_side / max(video.size))
    size = (round(video.size[0] * reduced), round(video.size[1] * reduced))
    frames = video.frames or made.frames
    train, test = _every_8th(path, [f"{i:05}" for i in range(min(made.frames, frames))])
    pixels = f"{video.size[0]} x {video.size[1]} pixels"
    remark = f"The video lasts {video.seconds:.0f} s and has {frames} frames of {pixels}."
    return DataSet(path, "video", "a video", train, test, size, remarks=(remark,))
