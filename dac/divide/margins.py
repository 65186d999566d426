"""Margins: the views a little beyond a group's border, which its specialist sees besides its own.

Views at a border are an expert's weak place, and two neighbours that both saw them agree there, so
that a picture may be blended of both.

Notation: n training views, K groups.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dac.divide.azimuth import azimuths
from dac.divide.poses import pose_distances
from dac.scenes.scene import Scene
from dac.settings import CONTROLS, Division

Member = NDArray[np.bool_]


def margins(
    scene: Scene, division: Division, owner: NDArray[np.int64], K: int, share: float
) -> Member:
    """Which training views lie in which group's margin.

    - azimuth: those that are up to `share` of a sector's width beyond one of its ends;
    - azimuth-quantile, louvain, spectral: as many as twice the share of the group's own, those
      nearest to any of them by `pose_distances`;
    - azimuth-overlap, whose groups overlap already, and the controls: none.

    Args:
        owner: (n,) the group that owns each training view.
        share: of a sector's width on either side.

    Returns:
        (K, n); a group's own views are in no margin of its own.
    """
    n = len(owner)
    poses = scene.cameras.world_from_camera.cpu().numpy()[list(scene.train)]
    member = np.zeros((K, n), bool)
    if K == 1 or share == 0 or division in CONTROLS or division == "azimuth-overlap":
        return member
    if division == "azimuth":
        position = azimuths(poses[:, :, 3]) * K / (2 * np.pi)
        for group in range(K):
            beyond = np.abs((position - group - 0.5 + K / 2) % K - K / 2) - 0.5
            member[group] = (beyond <= share) & (owner != group)
        return member
    distances = pose_distances(poses, poses)
    for group in range(K):
        own = owner == group
        nearest = np.where(own, np.inf, distances[:, own].min(axis=1))
        wanted = min(round(2 * share * own.sum()), n - int(own.sum()))
        member[group, np.argsort(nearest, kind="stable")[:wanted]] = True
    return member
