"""Mistakes in the transforms files of Blender and nerfstudio data sets."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import hostile
from case import Case, Damage, data_files

_LENS = ["fl_x", "fl_y", "cx", "cy", "w", "h", "k1", "k2", "k3", "k4", "p1", "p2"]


def _tree(random: Random, root: Path, case: Case) -> str:
    file = random.choice(data_files(root, ".json") or [None])
    if file is None:
        return ""
    try:
        data = json.loads(file.read_text())
    except ValueError:
        return ""
    done, marks = hostile.damage_tree(random, data, hostile.RAW_JSON)
    file.write_bytes(hostile.to_json(data, marks))
    return f"{file.name}: {done}"


def _names(random: Random, root: Path, case: Case) -> str:
    """A hostile name for an image, or a pose or a lens that can't be."""
    file = random.choice(data_files(root, ".json") or [None])
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


def _text(random: Random, root: Path, case: Case) -> str:
    file = random.choice(data_files(root, ".json") or [None])
    if file is None:
        return ""
    text = file.read_bytes().decode("utf-8", "replace")
    done, data = hostile.damage_text(random, text, [])
    file.write_bytes(data)
    return f"{file.name}: {done}"


DAMAGES: list[Damage] = [_tree] * 3 + [_names] * 4 + [_text]
