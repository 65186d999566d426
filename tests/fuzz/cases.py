"""One number, one case: a base with one to four mistakes in it, the same in every run."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

import configs
import hostile
import pictures
from bases import (
    CLIPS,
    HEIGHT,
    KINDS,
    VIEWS,
    WIDTH,
    Model,
    intrinsics,
    model,
    poses,
    write_matrices,
)
from PIL import Image

from dac.settings import SceneSettings

SEED = "hostile input, "
_TAKEN_AWAY = (
    *(OSError, MemoryError, ValueError, LookupError, TypeError),
    Image.DecompressionBombError,
)
# Settings that are allowed and hardly sensible.
_EXTREMES: dict[str, list[Any]] = {
    "near": [1e-300, 1e-9, 1e8],
    "far": [1e-300, 1e-9, 1e9],
    "box": [[[-1e9] * 3, [1e9] * 3], [[0.0] * 3, [1e-300] * 3], [[5.0] * 3, [5.1] * 3]],
    "test_fraction": [1e-9, 0.5, 0.999999],
    "downscale": [4, 19, 24, 10**9],
    "orientation": ["keep"],
    "background": ["black"],
    "minimum_views": [2, 3, 10**9],
    "maximum_share": [1e-9, 0.3, 0.5, 0.51],
    "overlap_degrees": [1e-9, 90.0, 360.0],
    "louvain_resolution": [1e-9, 1e9],
    "seed": [2**31 - 1],
}
_LENS = ["fl_x", "fl_y", "cx", "cy", "w", "h", "k1", "k2", "k3", "k4", "p1", "p2"]
_DIVISIONS = ["azimuth", "azimuth-quantile", "azimuth-overlap", "random", "single"]


@dataclass
class Case:
    """What a case holds besides its folder.

    Attributes:
        number: it names the case.
        kind: one of `bases.KINDS`.
        changes: what was done to the base.
        scene: the scene's section of the settings, for data sets.
        division, K, divide: how it is divided.
    """

    number: int
    kind: str
    changes: list[str] = field(default_factory=list)
    scene: dict[str, Any] = field(default_factory=dict)
    division: str = "azimuth"
    K: int = 2
    divide: dict[str, Any] = field(default_factory=lambda: {"minimum_views": 1})


def make_case(number: int, bases: Path, root: Path) -> Case:
    """Write the folder of a case.

    Args:
        number: of the case; the first ones are the bases as they are.
        bases: holds a folder for each kind, as `bases.write_base` makes it.
        root: the folder to make.
    """
    random = Random(SEED + str(number))
    whole = number < len(KINDS)
    kind = KINDS[number] if whole else random.choice([*KINDS, "config", "nerfstudio"])
    shutil.copytree(bases / kind, root, symlinks=True)
    case = Case(number, kind)
    if whole:
        return case
    if kind == "config":
        case.changes += configs.damage(random, root)
        return case
    _choose_settings(random, case)
    for _ in range(random.choice([0, 1, 1, 1, 2, 3])):
        damage = random.choice(_DAMAGES[kind])
        try:
            done = damage(random, root, case)
        except _TAKEN_AWAY:  # an earlier change left nothing for this one to work on
            continue
        if done:
            case.changes.append(done)
        if done.endswith(("pipe", "sparse", "/dev/zero")):
            break  # what no further change could read
    return case


def _choose_settings(random: Random, case: Case) -> None:
    """Valid settings of every kind, so that hostile data meets every path."""
    division = random.choice([*_DIVISIONS, "azimuth", "louvain", "spectral"])
    if division in ("louvain", "spectral") and not case.kind.startswith("colmap"):
        division = "azimuth"
    case.division, case.K = (
        division,
        1 if division == "single" else random.choice([1, 2, 2, 2, 2, 3, 9]),
    )
    if division == "azimuth-overlap":
        case.K, case.divide["overlap_degrees"] = 4, 120.0
    scene = case.scene
    if random.random() < 0.25:
        scene["downscale"] = random.choice([2, 3, 20, 21])
    if random.random() < 0.2:
        scene["masks"] = "masks"
    if random.random() < 0.2:
        scene["exclude"] = "lists/exclude.txt"
    split = random.choice([*[None] * 5, "every-8th", "fraction", "list", "list", "given"])
    if split is not None:
        scene["split"] = split
    if split == "list":
        scene["test_list"] = "lists/test.txt"
    if random.random() < 0.15:
        scene["space"] = random.choice(["box", "contraction"])
    if random.random() < 0.15:
        scene["recentre"] = random.choice([True, False])
    if random.random() < 0.2:
        key = random.choice(sorted(_EXTREMES))
        (scene if key in SceneSettings.model_fields else case.divide)[key] = random.choice(
            _EXTREMES[key]
        )


Damage = Callable[[Random, Path, Case], str]


def _files(root: Path, *suffixes: str) -> list[Path]:
    found = [file for file in sorted((root / "data").rglob("*")) if file.is_file()]
    return [file for file in found if not suffixes or file.suffix in suffixes]


def _transforms_tree(random: Random, root: Path, case: Case) -> str:
    file = random.choice(_files(root, ".json") or [None])
    if file is None:
        return ""
    try:
        data = json.loads(file.read_text())
    except ValueError:
        return ""
    done, marks = hostile.damage_tree(random, data, hostile.RAW_JSON)
    file.write_bytes(hostile.to_json(data, marks))
    return f"{file.name}: {done}"


def _transforms_names(random: Random, root: Path, case: Case) -> str:
    """A hostile name for an image, or a pose or a lens that can't be."""
    file = random.choice(_files(root, ".json") or [None])
    if file is None:
        return ""
    try:
        data = json.loads(file.read_text())
        frames = data["frames"]
        frame = random.choice(frames)
        what = random.choice(["name", "name", "names", "pose", "lens", "same", "split"])
        if what == "name":
            frame["file_path"] = done = random.choice(hostile.NAMES)
        elif what == "names":
            done = random.choice(hostile.NAMES)
            for index, each in enumerate(frames):
                each["file_path"] = done.replace("secret", f"images/v{index}")
        elif what == "pose":
            row, column = random.randrange(4), random.randrange(4)
            frame["transform_matrix"][row][column] = done = hostile.value(random)
        elif what == "lens":
            key = random.choice(_LENS)
            where = random.choice([data, frame])
            where[key] = done = hostile.value(random)
        elif what == "same":
            done = frame["file_path"] = random.choice(frames)["file_path"]
        else:
            names = [each["file_path"] for each in frames]
            data["train_filenames"], data["test_filenames"] = names[:5], names[5:]
            done = random.choice([data["train_filenames"], data["test_filenames"]])
            done[random.randrange(len(done))] = hostile.value(random)
        text = json.dumps(data)
    except (ValueError, KeyError, TypeError, IndexError):
        return ""
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    return f"{file.name}: {what} {ascii(done)[:80]}"


def _transforms_text(random: Random, root: Path, case: Case) -> str:
    file = random.choice(_files(root, ".json") or [None])
    if file is None:
        return ""
    text = file.read_bytes().decode("utf-8", "replace")
    done, data = hostile.damage_text(random, text, [])
    file.write_bytes(data)
    return f"{file.name}: {done}"


def _extreme(random: Random, root: Path, case: Case) -> str:
    """Cameras that are possible, taken each alone: far, near, in one place, all alike, odd lenses.

    The images are fitted to them, so that nothing is refused before the scene is laid out.
    """
    matrices = [pose[:3] for pose in poses(VIEWS)]
    what = random.choice(
        ["scaled", "moved", "one place", "alike", "in a row", "up", "lens", "sizes"]
    )
    strength = random.choice([0.0, 1e-150, 1e-9, 1e-3, 1e3, 1e6, 1e11])
    for i, matrix in enumerate(matrices):
        if what == "scaled":
            matrix[:, 3] *= strength
        elif what == "moved":
            matrix[:, 3] += strength
        elif what == "one place":
            matrix[:, 3] = matrices[0][:, 3]
        elif what == "alike":
            matrix[:, :3] = matrices[0][:, :3]
        elif what == "in a row":
            matrix[:] = matrices[0]
            matrix[0, 3] += strength * i
        elif what == "up":
            matrix[:, :3] = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    focal, lens, size = 30.0, [0.0] * 4, (WIDTH, HEIGHT)
    if what == "lens":
        focal = random.choice([0.1, 1.0, 5.0, 30.0, 1e4, 1e7])
        lens = [random.choice([0.0, 1e-40, 1e-9, -0.3, 0.3, -5.0, 1e3, -1e8]) for _ in range(4)]
    if what == "sizes":
        size = random.choice([(1, 1), (1, 2), (2, 1), (1, 3000), (3000, 1), (3, 3), (64, 64)])
        pictures.resize(root / "data", size)
    strong = f" by {strength:g}" if what in ("scaled", "moved", "in a row") else ""
    _write_cameras(root, case, matrices, focal, lens, size)
    return f"cameras: {what}{strong} {focal if what == 'lens' else ''}"


def _write_cameras(
    root: Path,
    case: Case,
    matrices: list[Any],
    focal: float,
    lens: list[float],
    size: tuple[int, int],
) -> None:
    """Give a data set other cameras; `lens` is k1, k2, p1, p2."""
    if case.kind in ("blender", "nerfstudio"):
        rows = cycle([[*(m * [1, -1, -1, 1]).tolist(), [0, 0, 0, 1]] for m in matrices])
        for file in _files(root, ".json"):
            data = json.loads(file.read_text())
            for frame in data["frames"]:
                frame["transform_matrix"] = next(rows)
            keys = {"fl_x": focal, "fl_y": focal, "w": size[0], "h": size[1]}
            keys |= {"cx": size[0] / 2, "cy": size[1] / 2}
            data |= keys | dict(zip(("k1", "k2", "p1", "p2"), lens, strict=True))
            file.write_text(json.dumps(data))
        return
    if case.kind in ("nerfpp", "nsvf"):  # which have no distortion
        write_matrices(case.kind, root / "data", matrices, intrinsics(focal, focal, *size))
        return
    changed = model(matrices)
    changed.cameras[0][3:5] = size
    changed.cameras[0][5] = [focal, focal, size[0] / 2, size[1] / 2, *lens]
    changed.write(_colmap_folder(root, case), binary=case.kind != "colmap-text")


def _picture(random: Random, root: Path, case: Case) -> str:
    files = _files(root, ".png", ".jpg")
    if not files:
        return ""
    if random.random() < 0.2:  # all of them alike
        state = random.getstate()
        for file in files:
            random.setstate(state)
            done = pictures.damage(random, file, many=True)
        return f"all images: {done}"
    return pictures.damage(random, random.choice(files))


def _mask(random: Random, root: Path, case: Case) -> str:
    case.scene["masks"] = "masks"
    files = sorted(file for file in (root / "masks").rglob("*") if file.is_file())
    file = random.choice(files)
    if random.random() < 0.3:
        return _replace(random, root, file, LINKS)
    return "mask " + pictures.damage(random, file)


def _list(random: Random, root: Path, case: Case) -> str:
    key = random.choice(["test_list", "exclude"])
    file = root / "lists" / {"test_list": "test.txt", "exclude": "exclude.txt"}[key]
    case.scene |= {key: f"lists/{file.name}"} | ({"split": "list"} if key == "test_list" else {})
    if random.random() < 0.2:
        return _replace(random, root, file, ["link to itself", "broken link"])
    if random.random() < 0.3:
        done, data = hostile.damage_bytes(random, file.read_bytes())
    else:
        text = file.read_bytes().decode("utf-8", "replace")
        done, data = hostile.damage_text(random, text, [lambda t: t + "v0.png\n" * 50_000])
    file.write_bytes(data)
    return f"{file.name}: {done}"


def _colmap_folder(root: Path, case: Case) -> Path:
    return root / "sfm" if case.kind == "photos" else root / "data" / "sparse" / "0"


def _colmap_bytes(random: Random, root: Path, case: Case) -> str:
    files = sorted(file for file in _colmap_folder(root, case).glob("*.*") if file.is_file())
    if not files:
        return ""
    file = random.choice(files)
    if file.suffix == ".txt":
        text = file.read_bytes().decode("utf-8", "replace")
        done, data = hostile.damage_text(random, text, [_other_token(random)] * 4)
    else:
        done, data = hostile.damage_bytes(random, file.read_bytes())
    file.write_bytes(data)
    return f"{file.name}: {done}"


def _other_token(random: Random) -> Callable[[str], str]:
    def change(text: str) -> str:
        tokens = text.split(" ")
        at = random.randrange(len(tokens))
        tokens[at] = str(random.choice([*hostile.NAMES, "9" * 9000, "1e999", "nan", "-1", "2e5"]))
        return " ".join(tokens)

    return change


def _colmap_model(random: Random, root: Path, case: Case) -> str:
    """A model that is written well and says something impossible."""
    changed = model()
    for _ in range(random.choice([1, 1, 2])):
        done = random.choice(_MODEL_CHANGES)(random, changed)
    changed.write(_colmap_folder(root, case), binary=case.kind != "colmap-text")
    return f"model: {done}"


def _camera_number(random: Random, changed: Model) -> str:
    number = random.choice(hostile.NUMBERS)
    place = random.choice(["id", "width", "height", "model", "parameter", "of an image", "twice"])
    camera = changed.cameras[0]
    if place == "parameter":
        at = random.randrange(len(camera[5]))
        camera[5][at] = number
        place = f"parameter {at}"
    elif place == "of an image":
        random.choice(changed.images)[2] = number
    elif place == "twice":
        changed.cameras.append(copy.deepcopy(camera))
    elif place == "model":
        camera[1], camera[2] = random.randrange(-2, 18), random.choice(["FOV", "x" * 99, "OPENCV"])
    else:
        camera[{"id": 0, "width": 3, "height": 4}[place]] = number
    return f"camera {place} = {ascii(number)[:40]}"


def _image_entry(random: Random, changed: Model) -> str:
    image, other = random.choice(changed.images), random.choice(changed.images)
    what = random.choice(
        ["name", "name", "pose", "id", "same name", "drop", "features", "one place"]
    )
    if what == "name":
        image[3] = random.choice(hostile.NAMES).replace("\0", "")
    elif what == "pose":
        image[1][random.randrange(7)] = random.choice(hostile.NUMBERS)
    elif what == "id":
        image[0] = random.choice([other[0], *hostile.NUMBERS])
    elif what == "same name":
        image[3] = random.choice(["", "./", "x/../"]) + other[3]
    elif what == "drop":
        changed.images.remove(image)
    elif what == "features":
        image[4] = random.choice([0, 1, 10_000])
    else:
        for each in changed.images:
            each[1] = list(image[1])
    return f"image {what}"


def _point_entry(random: Random, changed: Model) -> str:
    point = random.choice(changed.points)
    what = random.choice(["xyz", "rgb", "error", "track", "id", "no tracks", "long", "all far"])
    if what == "xyz":
        point[1][random.randrange(3)] = random.choice(hostile.NUMBERS)
    elif what == "rgb":
        point[2][random.randrange(3)] = random.choice(hostile.NUMBERS)
    elif what == "error":
        point[3] = random.choice(hostile.NUMBERS)
    elif what == "track":
        point[4][random.randrange(len(point[4]))] = random.choice(hostile.NUMBERS)
    elif what == "id":
        point[0] = random.choice(hostile.NUMBERS)
    elif what == "no tracks":
        for each in changed.points:
            each[4] = []
    elif what == "long":
        point[4] = point[4] * 2000
    else:
        far = random.choice([1e6, 1e20, 1e150, 1e300])
        for each in changed.points:
            each[1] = [far * value for value in each[1]]
    return f"point {what}"


def _count(random: Random, changed: Model) -> str:
    part = random.choice(["cameras", "images", "points3D", "features", "track"])
    count = random.choice([0, 1, 2**31, 2**32, 2**60, 2**63, 2**64 - 1])
    changed.counts[part] = count
    return f"{part} counted {count}"


def _emptied(random: Random, changed: Model) -> str:
    part = random.choice(["cameras", "images", "points"])
    kept = random.choice([0, 1, 2])
    setattr(changed, part, getattr(changed, part)[:kept])
    return f"{kept} {part}"


_MODEL_CHANGES = [_camera_number, _image_entry, _image_entry, _point_entry, _count, _emptied]


def _matrix(random: Random, root: Path, case: Case) -> str:
    """A camera's text with another number, count of numbers, form or text."""
    file = random.choice(_files(root, ".txt") or [None])
    if file is None:
        return ""
    text = file.read_bytes().decode("utf-8", "replace")
    if random.random() < 0.5:
        lines = [line.split() for line in text.splitlines()]
        row = random.choice(lines)
        at = random.randrange(len(row))
        row[at] = str(random.choice([hostile.value(random), *hostile.NUMBERS]))
        done = f"{at} = {ascii(row[at])[:40]}"
        data = "\n".join(map(" ".join, lines)).encode("utf-8", "surrogatepass")
    else:
        done, data = hostile.damage_text(random, text, [_other_token(random), *_MATRIX_FORMS])
    file.write_bytes(data)
    return f"{file.relative_to(root)}: {done}"


_MATRIX_FORMS: list[Callable[[str], str]] = [
    lambda text: " ".join(text.split()),
    lambda text: " ".join(text.split()[:12]),
    lambda text: "30. 12. 10. 0.\n0. 0. 0.\n0.1\n1.\n20 24\n",
    lambda text: "30 0 12\n0 30 10\n0 0 1\n",
    lambda text: text * 3000,
    lambda text: "0 " * 30_000,
]


def _view_name(random: Random, root: Path, case: Case) -> str:
    """An image or a camera's file under another name."""
    file = random.choice(_files(root, ".txt", ".png"))
    name = random.choice(_VIEW_NAMES) + random.choice([file.suffix, ".jpg", ".txt", ".PNG"])
    file.rename(os.fsencode(file.parent) + b"/" + os.fsencode(name))
    return f"{file.relative_to(root)} is now {name!a}"


_VIEW_NAMES = ["0", "7", "2_0", "3_0", "0_", "_", "0_1", "1_1", ".0", "caf\udce9", "a\nb", "0.0"]


LINKS = {
    "link outside": "{outside}/secret{suffix}",
    "relative link outside": "../../../../../../etc/hostname",
    "link to /etc/passwd": "/etc/passwd",
    "link to /dev/zero": "/dev/zero",
    "link to itself": "{name}",
    "broken link": "nowhere",
    "link to a folder": "{outside}/images",
    "link within": "{other}",
}


def _replace(random: Random, root: Path, file: Path, links: Iterable[str]) -> str:
    """A file replaced by one of some links, a folder, a pipe, or nothing."""
    what = random.choice([*links, "folder", "pipe", "gone", "sparse"])
    other = random.choice(_files(root) or [file]).resolve()
    file.unlink()
    if what == "folder":
        file.mkdir()
    elif what == "pipe":
        os.mkfifo(file)
    elif what == "sparse":
        with file.open("wb") as target:
            target.truncate(2**34)
    elif what != "gone":
        names = {"outside": root / "outside", "suffix": file.suffix, "name": file.name}
        file.symlink_to(LINKS[what].format(**names, other=other))
    return f"{file.relative_to(root)}: {what}"


def _file(random: Random, root: Path, case: Case) -> str:
    files = _files(root)
    if not files:
        return ""
    return _replace(random, root, random.choice(files), LINKS)


def _folder(random: Random, root: Path, case: Case) -> str:
    """A whole folder moved, linked or filled with loops and odd names."""
    folders = sorted(f for f in (root / "data").rglob("*") if f.is_dir() and not f.is_symlink())
    folders.append(root / "data")
    folder = random.choice(folders)
    what = random.choice(["outside", "loops", "odd names", "gone", "file", "moved", "case"])
    if what == "outside" and folder.name != "data":
        kept = root / "outside" / "moved"
        folder.rename(kept)
        folder.symlink_to(random.choice([kept, root / "outside" / "images"]))
    elif what == "loops":
        for name, target in (("a", "."), ("b", "."), ("c", ".."), ("d.png", ".")):
            (folder / name).symlink_to(target)
    elif what == "odd names":
        for name in (
            b"caf\xe9.png",
            b"a\nb.png",
            b"\x1b[31m.jpg",
            b"-rf.png",
            b" .png",
            b"{x}.png",
        ):
            shutil.copy(root / "outside" / "secret.png", os.fsencode(folder) + b"/" + name)
    elif what == "gone":
        shutil.rmtree(folder)
    elif what == "file":
        shutil.rmtree(folder)
        folder.write_bytes(b"")
    elif what == "moved":
        shutil.move(folder, root / "data2")
        (root / "data").mkdir(exist_ok=True)
    else:
        for file in sorted(folder.iterdir()):
            file.rename(file.with_name(file.name.upper()))
    return f"{folder.relative_to(root)}: {what}"


def clip_of(case: Case) -> str:
    """Which of the videos a case is about."""
    return sorted(CLIPS)[case.number % len(CLIPS)]


def _clip(random: Random, root: Path, case: Case) -> str:
    file = root / "data" / clip_of(case)
    done, data = hostile.damage_bytes(random, file.read_bytes())
    file.write_bytes(data)
    return f"{file.name}: {done}"


_SHARED: list[Damage] = [*[_picture] * 3, *[_extreme] * 2, _file, _folder, _mask, _list]
_TRANSFORMS: list[Damage] = [_transforms_tree] * 3 + [_transforms_names] * 4 + [_transforms_text]
_COLMAP: list[Damage] = [_colmap_bytes] * 4 + [_colmap_model] * 5
_MATRICES: list[Damage] = [_matrix] * 7 + [_view_name] * 2
_DAMAGES: dict[str, list[Damage]] = {
    "blender": _SHARED + _TRANSFORMS,
    "nerfstudio": _SHARED + _TRANSFORMS,
    "colmap-binary": _SHARED + _COLMAP,
    "colmap-text": _SHARED + _COLMAP,
    "photos": [*_SHARED, _picture, _picture, _folder, _colmap_bytes, _colmap_model],
    "nerfpp": _SHARED + _MATRICES,
    "nsvf": _SHARED + _MATRICES,
    "video": [_clip],
}
