"""One number, one case: a base with one to four mistakes in it, the same in every run."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random
from typing import Any

import cameras
import colmap
import configs
import matrices
import model_files
import on_disk
import path_files
import transforms
from bases import KINDS
from case import Case, Damage
from PIL import Image
from safetensors import SafetensorError

from dac.settings import SceneSettings

SEED = "hostile input, "
_TAKEN_AWAY = (
    *(OSError, MemoryError, ValueError, LookupError, TypeError, RuntimeError),
    *(Image.DecompressionBombError, SafetensorError),
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
_DIVISIONS = ["azimuth", "azimuth-quantile", "azimuth-overlap", "random", "single"]


def make_case(number: int, bases: Path, root: Path) -> Case:
    """Write the folder of a case.

    Args:
        number: of the case; the first ones are the bases as they are.
        bases: holds a folder for each kind, as `bases.write_base` makes it.
        root: the folder to make.
    """
    random = Random(SEED + str(number))
    kind = _kind(number, random)
    shutil.copytree(bases / kind, root, symlinks=True)
    case = Case(number, kind)
    if number < len(KINDS):
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


def kind_of(number: int) -> str:
    """A case's kind."""
    return _kind(number, Random(SEED + str(number)))


def _kind(number: int, random: Random) -> str:
    whole = number < len(KINDS)
    return KINDS[number] if whole else random.choice([*KINDS, "config", "nerfstudio"])


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


_SHARED: list[Damage] = [
    *[on_disk.damage_picture] * 3,
    *[cameras.damage] * 2,
    *(on_disk.damage_file, on_disk.damage_folder, on_disk.damage_mask, on_disk.damage_list),
]
_DAMAGES: dict[str, list[Damage]] = {
    "blender": _SHARED + transforms.DAMAGES,
    "nerfstudio": _SHARED + transforms.DAMAGES,
    "colmap-binary": _SHARED + colmap.DAMAGES,
    "colmap-text": _SHARED + colmap.DAMAGES,
    "photos": [
        *_SHARED,
        *(on_disk.damage_picture, on_disk.damage_picture, on_disk.damage_folder),
        *(colmap.damage_bytes, colmap.damage_model),
    ],
    "nerfpp": _SHARED + matrices.DAMAGES,
    "nsvf": _SHARED + matrices.DAMAGES,
    "video": [on_disk.damage_clip],
    "model": model_files.DAMAGES,
    "path": path_files.DAMAGES,
}
