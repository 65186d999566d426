"""Divide the views of a COLMAP model of your own by what they see, and look at the groups.

    python examples/partition_colmap.py data/garden --groups 3 --out groups.png

The folder holds `images/` and a model, text or binary, in `sparse/0`. Every 8th view is kept for
testing, as in training; the others are divided.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dac.divide.covisibility import covisibility
from dac.divide.diagnostics import diagnose
from dac.divide.divide import partition_scene
from dac.errors import UserError
from dac.report.figures.partition import partition_figure
from dac.scenes.formats.colmap_model import read_model
from dac.scenes.importer import import_scene
from dac.scenes.points import points_from_model
from dac.settings import DivideSettings, SceneSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with images/ and sparse/0")
    parser.add_argument("--groups", type=int, default=3, metavar="K", help="default: 3")
    parser.add_argument("--out", type=Path, default=Path("groups.png"), help="default: groups.png")
    given = parser.parse_args()

    # Cameras in the project's frame: +z is up, and they lie within the unit cube.
    scene = import_scene(given.data, "colmap", SceneSettings(), name=given.data.resolve().name)
    points = points_from_model(read_model(given.data / "sparse" / "0"), scene)

    # A[i, j]: how many of the model's points views i and j both see.
    A = covisibility(points.offsets, points.views, len(scene.names))
    partition = partition_scene(scene, "louvain", given.groups, DivideSettings(), A)

    for note in partition.notes:
        print(note)
    found = diagnose(scene, partition, points, A)
    print(f"modularity {found['modularity']:.3f}, {found['uncovered']:.1%} of points uncovered")
    for group, names in enumerate(partition.groups):
        # The share of a group's links that leave it; a single group has no other to share with.
        leaving = found["conductance"][group] or 0.0
        covered = found["coverage"][group]
        print(f"group {group}: {len(names)} views, conductance {leaving:.2f}, covers {covered:.1%}")
        print("  " + " ".join(names))
    partition_figure(scene, partition, points, given.out, given.out.with_suffix(".pdf"))
    print(f"picture: {given.out}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
