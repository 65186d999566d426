"""Which pairs of photos are worth matching in full.

Matching all pairs costs the square of the photos times the square of their features. Most pairs see
nothing in common, and a glance tells: the few hundred coarsest features, which are also the most
stable, match between views that overlap (preemptive matching: Wu, Towards Linear-time Incremental
Structure from Motion, 3DV 2013).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dac.scenes.sfm.pycolmap_loader import told_progress
from dac.scenes.sfm.state import remove_database

COARSEST = 400
BEST = 25
_FEWEST_MATCHES = 3


def promising_pairs(
    pycolmap: Any, database: Path, glance: Path, threads: int
) -> list[tuple[str, str]]:
    """Compare all pairs by their coarsest features.

    Args:
        database: holds the features of all photos.
        glance: where a database of the coarsest features is made.
        threads: CPU threads.

    Returns:
        Names of pairs: those among the `BEST` most alike of either photo.
    """
    remove_database(glance)
    with pycolmap.Database.open(database) as full, pycolmap.Database.open(glance) as coarse:
        names = _copy_coarsest(full, coarse)
    options = pycolmap.FeatureMatchingOptions()
    options.use_gpu = False
    options.num_threads = threads
    options.skip_geometric_verification = True
    verification = pycolmap.TwoViewGeometryOptions()
    verification.min_num_inliers = _FEWEST_MATCHES
    total = len(names) * (len(names) - 1) // 2
    with told_progress(glance, "matches", "pairs are compared", total):
        pycolmap.match_exhaustive(
            glance, options, verification_options=verification, device=pycolmap.Device.cpu
        )
    with pycolmap.Database.open(glance) as coarse:
        pairs, matches = coarse.read_all_matches()
    alike = {pycolmap.pair_id_to_image_pair(p): len(m) for p, m in zip(pairs, matches, strict=True)}
    return [(names[i], names[j]) for i, j in best_pairs(alike, BEST)]


def _copy_coarsest(full: Any, coarse: Any) -> dict[int, str]:
    """Copy all but the fine features; the names by id."""
    for camera in full.read_all_cameras():
        coarse.write_camera(camera, use_camera_id=True)
    for rig in full.read_all_rigs():
        coarse.write_rig(rig, use_rig_id=True)
    for frame in full.read_all_frames():
        coarse.write_frame(frame, use_frame_id=True)
    names = {}
    for image in full.read_all_images():
        names[image.image_id] = image.name
        coarse.write_image(image, use_image_id=True)
        keypoints = full.read_keypoints(image.image_id)
        descriptors = full.read_descriptors(image.image_id)
        chosen = coarsest(keypoints, COARSEST)
        descriptors.data = descriptors.data[chosen]
        coarse.write_keypoints(image.image_id, keypoints[chosen])
        coarse.write_descriptors(image.image_id, descriptors)
    return names


def coarsest(keypoints: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Indices of the features of largest scale.

    Args:
        keypoints: (M, 6) x, y and the affine shape a11, a12, a21, a22, as COLMAP stores them.
        count: how many at most.
    """
    area = np.abs(keypoints[:, 2] * keypoints[:, 5] - keypoints[:, 3] * keypoints[:, 4])
    return np.argsort(-area, kind="stable")[:count]


def best_pairs(alike: dict[tuple[int, int], int], best: int) -> list[tuple[int, int]]:
    """Pairs that are among the `best` most alike of either image.

    Args:
        alike: number of matches by pair; pairs with fewer than three are chance.
        best: pairs per image.

    Returns:
        Distinct pairs, ascending.
    """
    ranked = sorted(
        (pair for pair, count in alike.items() if count >= _FEWEST_MATCHES),
        key=lambda pair: (-alike[pair], pair),
    )
    taken: Counter[int] = Counter()
    chosen = []
    for i, j in ranked:
        if taken[i] < best or taken[j] < best:
            chosen.append((i, j))
        taken[i] += 1
        taken[j] += 1
    return sorted(chosen)


def can_list(names: Sequence[str]) -> bool:
    """Whether COLMAP's pair list, which is split at white space, can hold the names."""
    return not any(character.isspace() for name in names for character in name)
