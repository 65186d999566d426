"""Mistakes in path files: JSON with a camera's keyframes, as `dac view` writes them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import hostile
from bases import PATH_FILE
from case import Case, Damage
from on_disk import replace_by

Frames = list[dict[str, Any]]


def _text(random: Random, root: Path, case: Case) -> str:
    file = root / PATH_FILE
    if random.random() < 0.5:
        done, data = hostile.damage_bytes(random, file.read_bytes())
    else:
        text = file.read_bytes().decode("utf-8", "replace")
        done, data = hostile.damage_text(random, text, [hostile.other_token(random)] * 3)
    file.write_bytes(data)
    return f"{file.name}: {done}"


def _tree(random: Random, root: Path, case: Case) -> str:
    file = root / PATH_FILE
    data = json.loads(file.read_text())
    done, marks = hostile.damage_tree(random, data, [*hostile.RAW_JSON, _LONG])
    file.write_bytes(hostile.to_json(data, marks))
    return f"{file.name}: {done}"


_LONG = "[" + "0," * 4_000_000 + "0]"


def _keyframes(random: Random, root: Path, case: Case) -> str:
    """Keyframes that may each be well and together make an odd path."""
    file = root / PATH_FILE
    data = json.loads(file.read_text())
    what = random.choice(sorted(_PATHS))
    data["keyframes"] = _PATHS[what](random, data["keyframes"])
    file.write_bytes(hostile.to_json(data, {}))
    return f"{file.name}: {what}"


def _many(random: Random, frames: Frames) -> Frames:
    count = random.choice([999, 1000, 1001, 5000, 20_000]) if frames else 0
    return [frames[i % len(frames)] | {"seconds": i * 0.1} for i in range(count)]


def _times(random: Random, frames: Frames) -> Frames:
    first = random.choice([0.0, 0.0, 1.0, 86_399.0])
    apart = random.choice([0.0, 5e-324, 1e-300, 1e-100, 1e-15, 1e-9, 1e-4, 1.0, 1e300])
    return [frame | {"seconds": first + i * apart} for i, frame in enumerate(frames)]


def _far(random: Random, frames: Frames) -> Frames:
    far = random.choice([1e-300, 1e3, 1e9, 1e11, 1e12, 1e13, 1e300])
    for frame in frames:
        for row in frame["world_from_camera"]:
            row[3] *= far
    return frames


def _fov(random: Random, frames: Frames) -> Frames:
    degrees = [0, 1e-9, 0.1, 179, 179.1, 360]
    return [frame | {"fov_degrees": random.choice(degrees)} for frame in frames]


def _half_turns(random: Random, frames: Frames) -> Frames:
    """Every other camera looks straight back."""
    for frame in frames[::2]:
        for row in frame["world_from_camera"]:
            row[0], row[2] = -row[0], -row[2]
    return frames


def _in_one_place(random: Random, frames: Frames) -> Frames:
    return [copy.deepcopy(frames[0]) | {"seconds": float(i)} for i in range(4)]


_PATHS: dict[str, Callable[[Random, Frames], Frames]] = {
    "many": _many,
    "times": _times,
    "other times": _times,
    "far": _far,
    "fields of view": _fov,
    "half turns": _half_turns,
    "in one place": _in_one_place,
    "one": lambda random, frames: frames[:1],
    "none": lambda random, frames: [],
    "a loop": lambda random, frames: [*frames, frames[0] | {"seconds": 9.0}],
    "backwards": lambda random, frames: frames[::-1],
}


def _replaced(random: Random, root: Path, case: Case) -> str:
    return replace_by(random, root, root / PATH_FILE, ["link to /dev/zero", "link to itself"])


DAMAGES: list[Damage] = [_text, _replaced, *[_tree] * 3, *[_keyframes] * 4]
