"""A point cloud as 3D Gaussians, for the viewers of 3D Gaussian splatting.

They are no optimised splats: each point becomes a disc that reaches the next ones, flat along its
normal, with the point's colour. The file has the properties that Kerbl et al.'s reference code
(https://github.com/graphdeco-inria/gaussian-splatting) writes: scales as logarithms, opacity before
its sigmoid, colour as the constant spherical harmonic, a rotation as a quaternion w, x, y, z.

Notation: P points.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dac.errors import UserError
from dac.export.cloud import Cloud
from dac.storage.artifacts import write_file

Array = NDArray[np.float64]

_HARMONIC = 0.28209479177387814  # the constant one, 1 / (2 sqrt(pi))
_OPACITY = 0.95
_REACH = 0.6  # the standard deviation across a disc, by how far apart points are: they overlap
_FLAT = 0.15  # of that, along the normal
PROPERTIES = (
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)


def save_splats(cloud: Cloud, path: Path, similarity: Array) -> None:
    """Write a cloud as Gaussians, binary PLY, whole or not at all.

    Args:
        similarity: (4, 4) from the scene's world to the coordinates that are written.

    Raises:
        UserError: another suffix, a full disk.
    """
    require_splats(path)
    linear = similarity[:3, :3]
    scale = float(np.cbrt(np.linalg.det(linear)))
    normals = cloud.normals @ linear.T / scale
    rows = np.column_stack(
        [
            cloud.points @ linear.T + similarity[:3, 3],
            normals,
            (cloud.colours / 255 - 0.5) / _HARMONIC,
            np.full(len(normals), np.log(_OPACITY / (1 - _OPACITY))),
            np.log(_REACH * scale * cloud.spacing[:, None] * np.array([1, 1, _FLAT])),
            _turned_to(normals),
        ]
    )
    lines = [
        *("ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"),
        *(f"property float {name}" for name in PROPERTIES),
        "end_header",
    ]
    header = "".join(f"{line}\n" for line in lines).encode("ascii")
    data = header + rows.astype("<f4").tobytes()
    write_file(path, lambda temporary: temporary.write_bytes(data))


def require_splats(path: Path) -> None:
    """Refuse what can't be written, before anything is rendered.

    Raises:
        UserError: another suffix.
    """
    if path.suffix != ".ply":
        raise UserError(path, "the name of a file of splats ends in .ply", "change --out")


def _turned_to(normals: Array) -> Array:
    """(P, 4) unit quaternions w, x, y, z that turn the z axis to each normal; for zero, none."""
    x, y, z = normals.T
    half = np.column_stack([1 + z, -y, x, np.zeros_like(z)])  # 1 + cos, then the axis
    opposite = (1 + z < 1e-9) & (np.linalg.norm(normals, axis=1) > 0)
    half[opposite] = [0, 1, 0, 0]  # half a turn about x
    length: Array = np.linalg.norm(half, axis=1, keepdims=True)
    return half / length
