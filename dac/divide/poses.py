"""How differently two cameras see a scene.

Notation: a pose is a camera-to-world matrix (3, 4), OpenCV axes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def pose_distances(poses: Floats, others: Floats) -> Floats:
    """|c - c'| / r + |f - f'|.

    c are the camera centres, f the unit viewing directions and r the mean distance of `others`
    from their mean, so that opposite viewing directions weigh as much as a move across the scene.

    Args:
        poses: (N, 3, 4).
        others: (M, 3, 4).

    Returns:
        (N, M).
    """
    centres, forward = others[:, :, 3], others[:, :, 2]
    radius = max(float(np.linalg.norm(centres - centres.mean(axis=0), axis=1).mean()), 1e-12)
    moved = np.linalg.norm(poses[:, None, :, 3] - centres[None], axis=-1)
    turned = np.linalg.norm(poses[:, None, :, 2] - forward[None], axis=-1)
    distances: Floats = moved / radius + turned
    return distances
