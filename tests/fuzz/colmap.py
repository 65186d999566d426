"""Mistakes in COLMAP models, in their bytes and in what they say."""

from __future__ import annotations

import copy
from pathlib import Path
from random import Random

import hostile
from bases import Model, model
from case import Case, Damage


def model_folder(root: Path, case: Case) -> Path:
    return root / "sfm" if case.kind == "photos" else root / "data" / "sparse" / "0"


def damage_bytes(random: Random, root: Path, case: Case) -> str:
    files = sorted(file for file in model_folder(root, case).glob("*.*") if file.is_file())
    if not files:
        return ""
    file = random.choice(files)
    if file.suffix == ".txt":
        text = file.read_bytes().decode("utf-8", "replace")
        done, data = hostile.damage_text(random, text, [hostile.other_token(random)] * 4)
    else:
        done, data = hostile.damage_bytes(random, file.read_bytes())
    file.write_bytes(data)
    return f"{file.name}: {done}"


def damage_model(random: Random, root: Path, case: Case) -> str:
    """A model that is written well and says something impossible."""
    changed = model()
    for _ in range(random.choice([1, 1, 2])):
        done = random.choice(_MODEL_CHANGES)(random, changed)
    changed.write(model_folder(root, case), binary=case.kind != "colmap-text")
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
DAMAGES: list[Damage] = [damage_bytes] * 4 + [damage_model] * 5
