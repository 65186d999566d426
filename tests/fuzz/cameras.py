"""Cameras that are possible and absurd, in any data set's own form."""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

import pictures
from bases import HEIGHT, VIEWS, WIDTH, intrinsics, model, poses, write_matrices
from case import Case, data_files
from colmap import model_folder


def damage(random: Random, root: Path, case: Case) -> str:
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
    _write(root, case, matrices, focal, lens, size)
    return f"cameras: {what}{strong} {focal if what == 'lens' else ''}"


def _write(
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
        for file in data_files(root, ".json"):
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
    changed.write(model_folder(root, case), binary=case.kind != "colmap-text")
