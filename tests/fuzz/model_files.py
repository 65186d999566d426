"""Mistakes in model files: safetensors, as `dac export model` writes them.

Such a file is 8 bytes with the header's length, the header in JSON (each tensor's dtype, shape and
place; texts under `__metadata__`), and the tensors' bytes.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from random import Random
from typing import Any

import hostile
import numpy as np
import torch
from bases import MODEL_FILES
from case import Case, Damage
from on_disk import replace_by
from safetensors.torch import load, save_file
from torch import Tensor

from dac.export.model_file import tensors_digest

_DTYPES = ["F64", "F16", "BF16", "I8", "U8", "BOOL", "I64", "F8_E4M3", "F4", "C64", "f32", "", "X"]
_LENGTHS = [0, 1, 2, 7, 2**20, 2**20 + 1, 2**31, 2**53, 2**63, 2**64 - 1]
_SIZES = [0, 1, 2, 3, 10**4, 2**31, 2**32, 2**60, 2**63, 2**64, -1, 10**30]
_VALUES = [math.nan, math.inf, -math.inf, 3e38, -3e38, 1e30, -1e30, 1e-40, 1e9, -1e9, 0.0]
# What the description may say and hardly should, or should not quite.
_ODD: dict[str, list[Any]] = {
    "space.near": [0, 1e-300, 1.0, 1e9],
    "space.far": [1e-300, 3.0, 1e9],
    "space.kind": ["box", "contraction"],
    "space.box": [
        *([[-1e9] * 3, [1e9] * 3], [[0.0] * 3, [1e-300] * 3], [[5.0] * 3, [5.1] * 3]),
        [[-1e9, -1.0, -1.0], [1e9, 1.0, 1.0]],
    ],
    "camera.focal": [5e-324, 1e-30, 1e9],
    "camera.world_from_camera": [[[0.0] * 4] * 3, [[1e9] * 4] * 3],
    "world_from_data": [
        *([[0.0] * 4] * 4, [[1e9] * 4] * 4),
        *(np.diag([scale] * 3 + [1.0]).tolist() for scale in (1e-300, 1e-9, 1e9, -1.0)),
    ],
    "views.model": ["fisheye"],
    "views.width": [1, 10**6],
    "views.height": [1, 10**6],
    "views.count": _SIZES,
    "router.by": ["sectors", "azimuths", "poses"],
    "router.count": [1, 2, 3, 256, *_SIZES],
    "router.blend": [0, 1e-300, 1, 2],
    "router.generalist": [None, [], [0, 2], [0, 0.5, 1], [1, 1], "all"],
    "router.views": _SIZES,
    "router.packed": [False, None, 1],
    "router": [None],
    "version": [0, 1, 2, 3, 4, True, 1.0, "2", None, [1]],
    "about.title": hostile.NAMES,
    "about.scene": hostile.NAMES,
    "settings.decoder": ["explicit"],
}
_LARGE = ["[" + "0," * 450_000 + "0]", '"' + "x" * 900_000 + '"', '"' + "x" * 2_000_000 + '"']


def _parts(file: Path) -> tuple[Any, bytes]:
    """Header and tensors' bytes."""
    data = file.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def _join(file: Path, header: bytes, rest: bytes, length: int | None = None) -> None:
    size = len(header) if length is None else length
    file.write_bytes((size % 2**64).to_bytes(8, "little") + header + rest)


def _bytes(random: Random, root: Path, file: Path) -> str:
    done, data = hostile.damage_bytes(random, file.read_bytes())
    file.write_bytes(data)
    return f"file: {done}"


def _length(random: Random, root: Path, file: Path) -> str:
    """A header that is said to be longer or shorter than it is."""
    header, rest = _parts(file)
    text = hostile.to_json(header, {})
    length = random.choice([*_LENGTHS, len(text) - 1, len(text) + 1, len(text) + len(rest)])
    _join(file, text, rest, length)
    return f"header of {len(text)} bytes said to have {length}"


def _header(random: Random, root: Path, file: Path) -> str:
    """Another header, of JSON or not, with its true length."""
    header, rest = _parts(file)
    if random.random() < 0.3:
        done, text = hostile.damage_text(random, json.dumps(header), [])
    else:
        done, marks = hostile.damage_tree(random, header, hostile.RAW_JSON)
        text = hostile.to_json(header, marks)
    _join(file, text, rest)
    return f"header: {done}"


def _tensor_entry(random: Random, root: Path, file: Path) -> str:
    """A tensor whose dtype, shape or place is a lie."""
    header, rest = _parts(file)
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    name = random.choice(sorted(entries))
    entry = entries[name]
    begin, end = entry["data_offsets"]
    what = random.choice(["dtype", "shape", "both", "place", "flat", "deep", "same place"])
    if what in ("dtype", "both"):
        entry["dtype"] = random.choice(_DTYPES)
    if what in ("shape", "both"):
        entry["shape"][random.randrange(len(entry["shape"]))] = random.choice(_SIZES)
    elif what == "place":
        sizes = [*_SIZES, len(rest), len(rest) + 1]
        entry["data_offsets"][random.randrange(2)] = random.choice(sizes)
    elif what == "flat":
        entry["shape"] = [(end - begin) // 4]
    elif what == "deep":
        entry["shape"] = [1] * 5000 + entry["shape"]
    elif what == "same place":
        entry["data_offsets"] = entries[random.choice(sorted(entries))]["data_offsets"]
    _join(file, hostile.to_json(header, {}), rest)
    return f"{name}: {what} {hostile.short(entry)}"


def _read(file: Path) -> tuple[dict[str, Tensor], Any]:
    """Tensors and description."""
    header, _ = _parts(file)
    return load(file.read_bytes()), json.loads(header["__metadata__"]["dac"])


def _write(
    file: Path, tensors: dict[str, Tensor], contents: Any, marks: dict[str, str] | None = None
) -> None:
    """A file that is written well, with the digest that its tensors have."""
    contents["weights_sha256"] = tensors_digest(tensors)
    text = hostile.to_json(contents, marks or {}).decode("utf-8", "replace")
    save_file(tensors, file, {"dac": text})


def _tensors(random: Random, root: Path, file: Path) -> str:
    """Tensors that are missing, more, or others."""
    tensors, contents = _read(file)
    name = random.choice(sorted(tensors))
    what = random.choice(["missing", "more", "renamed", "many", "all gone", "half", "flat"])
    if what == "missing":
        del tensors[name]
    elif what == "more":
        tensors[random.choice(["views.more", "extra", "field", name + ".0"])] = torch.ones(3)
    elif what == "renamed":
        new = random.choice(hostile.NAMES).encode(errors="replace").decode()
        tensors[new] = tensors.pop(name)
    elif what == "many":
        tensors |= {f"extra.{i}": torch.ones(1) for i in range(3000)}
    elif what == "all gone":
        tensors.clear()
    else:
        tensors[name] = tensors[name].half() if what == "half" else tensors[name].flatten()
    _write(file, tensors, contents)
    return f"{name}: {what}"


def _numbers(random: Random, root: Path, file: Path) -> str:
    """Numbers that no training gives, in a part of a tensor or in all of it."""
    tensors, contents = _read(file)
    part = random.choice(sorted({name.split(".")[0] for name in tensors}))
    name = random.choice(sorted(name for name in tensors if name.split(".")[0] == part))
    value = random.choice([*_VALUES, 1.0, 2.0, 255.0, 1e12, 1e300])
    flat = tensors[name].view(-1)
    first, last = sorted(random.randrange(len(flat) + 1) for _ in range(2))
    if random.random() < 0.3:
        first, last = 0, len(flat)
    flat[first:last] = torch.tensor(value, dtype=torch.float64).to(flat.dtype)
    _write(file, tensors, contents)
    return f"{name}[{first}:{last}] = {value}"


def _description(random: Random, root: Path, file: Path) -> str:
    tensors, contents = _read(file)
    marks: dict[str, str] = {}
    if random.random() < 0.4:
        key = random.choice(sorted(_ODD))
        value = random.choice(_ODD[key])
        path: list[Any] = [*key.split(".")]
        hostile.holder(contents, path)[path[-1]] = value
        done = f"{key} = {hostile.short(value)}"
    else:
        done, marks = hostile.damage_tree(random, contents, [*hostile.RAW_JSON, *_LARGE])
    _write(file, tensors, contents, marks)
    return f"description: {done}"


def _replaced(random: Random, root: Path, file: Path) -> str:
    return replace_by(random, root, file, ["link to /dev/zero", "link to itself"])


_KINDS = [
    *[_bytes, _length, _replaced],
    *[_header, _tensors] * 2,
    *[_tensor_entry, _numbers] * 3,
    *[_description] * 5,
]


def _damage(random: Random, root: Path, case: Case) -> str:
    """One of the files, in one of the ways."""
    name = random.choice(MODEL_FILES)
    return f"{name}: {random.choice(_KINDS)(random, root, root / name)}"


DAMAGES: list[Damage] = [_damage]
