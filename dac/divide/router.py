"""The router: which experts show a camera's picture, and how much of it each.

Away from borders one expert does. Near one, the experts on both sides blend, so that a camera's way
across it has no jump; the mean of two renders is also better than either, since they err apart.
Where the experts are not to be trusted alone, in a group of few views or far from all of them, a
generalist takes a share: the model of all views.

Notation: K experts, n training views; a pose is a camera-to-world matrix (3, 4), OpenCV axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dac.cameras import Cameras
from dac.divide.azimuth import azimuths, sectors
from dac.divide.partition import Partition
from dac.divide.poses import pose_distances
from dac.scenes.scene import Scene

Floats = NDArray[np.float64]
By = Literal["sectors", "azimuths", "poses"]
# Distances to views say less of a border than an angle does. Measured on a walk around a square: so
# wide, two of five test views blend, as by sectors, and that gains as much.
_WIDER = 4.0
_NARROWEST = 1e-6  # a narrower blend is none
# So many spacings of the training views away from all of them the generalist shows the picture.
_ALONE = 3.0


@dataclass(frozen=True, eq=False)
class Router:
    """Weights over experts, from where a camera stands and looks.

    Attributes:
        by: sectors: by the sector of Eq. 1 that the camera lies in; azimuths, poses: by the
            training view that is nearest in azimuth, or by `pose_distances`.
        count: K.
        blend: how wide experts blend; 0 gives every camera to one. By sectors: up to this share of
            a sector's width on either side of a border, measured along the sphere of the cameras.
            Else: where another group's nearest view is farther away than the nearest of all by
            less than `_WIDER` times this share of both distances' sum.
        poses: (n, 3, 4) of the training views; none by sectors.
        owner: (n,) the expert that owns each.
        generalist: (K,) its share in each group's pictures, near the training views; None: there is
            no generalist. Only by poses.
    """

    by: By
    count: int
    blend: float
    poses: Floats
    owner: NDArray[np.int64]
    generalist: Floats | None = None

    @classmethod
    def of(
        cls,
        scene: Scene,
        partition: Partition,
        blend: float = 0.0,
        generalist: Floats | None = None,
    ) -> Router:
        """The router of a division."""
        by: dict[str, By] = {"azimuth": "sectors", "azimuth-overlap": "sectors"}
        by |= {"azimuth-quantile": "azimuths"}
        how = by.get(partition.division, "poses")
        known = [] if how == "sectors" else scene.indices(list(partition.owner))
        poses = scene.cameras.world_from_camera.cpu().numpy()[known]
        owner = [partition.owner[scene.names[view]] for view in known]
        return cls(how, partition.count, blend, poses, np.array(owner, np.int64), generalist)

    @property
    def models(self) -> int:
        """How many models it chooses from: K, and the generalist."""
        return self.count + (self.generalist is not None)

    def weights(self, pose: Floats) -> Floats:
        """(`models`,) shares of the experts in a camera's picture, from 0 to 1, whose sum is 1.

        The generalist's, if there is one, is the last. It is that of the camera's groups where a
        training view is as near as one is to the next (their median), and grows with the distance:
        at three times as far, the whole picture is its own.
        """
        if self.generalist is None:
            return self._experts(pose)
        distance = pose_distances(pose[None], self.poses)[0]
        shares = self._by_distance(distance)
        views_away = float(distance.min()) / max(self._spacing, 1e-12)
        near = min(1.0, max(0.0, (_ALONE - views_away) / (_ALONE - 1)))
        rest = 1.0 - near + near * float(shares @ self.generalist)
        return np.append(near * shares * (1.0 - self.generalist), rest)

    @cached_property
    def _spacing(self) -> float:
        """The median distance of a training view to the next."""
        distances = pose_distances(self.poses, self.poses)
        np.fill_diagonal(distances, np.inf)
        return float(np.median(distances.min(axis=1)))

    def _experts(self, pose: Floats) -> Floats:
        """(K,) shares among the experts."""
        if self.by == "sectors":
            return self._by_sectors(pose[:, 3])
        if self.by == "azimuths":
            turn = azimuths(self.poses[:, :, 3]) - azimuths(pose[None, :, 3])
            distance = np.abs((turn + np.pi) % (2 * np.pi) - np.pi)
        else:
            distance = pose_distances(pose[None], self.poses)[0]
        return self._by_distance(distance)

    def _by_sectors(self, centre: Floats) -> Floats:
        own = int(sectors(azimuths(centre[None]), self.count)[0])
        if self.blend < _NARROWEST or self.count == 1:
            return self._all_by(own)
        middles = (np.arange(self.count) + 0.5) / self.count
        away = np.abs((azimuths(centre[None]) / (2 * np.pi) - middles + 0.5) % 1.0 - 0.5)
        # Sectors narrow towards the pole, where all cameras look alike and all experts blend.
        narrowed = np.hypot(centre[0], centre[1]) / max(float(np.linalg.norm(centre)), 1e-12)
        inside = narrowed * (0.5 - away * self.count)
        return _normalised(_smooth(0.5 + inside / (2 * self.blend)))

    def _by_distance(self, distance: Floats) -> Floats:
        nearest = np.full(self.count, np.inf)
        np.minimum.at(nearest, self.owner, distance)
        own = int(self.owner[np.argmin(distance)])
        if self.blend < _NARROWEST:
            return self._all_by(own)
        least = nearest[own]
        beyond, there = np.ones(self.count), np.isfinite(nearest)
        beyond[there] = (nearest[there] - least) / np.maximum(nearest[there] + least, 1e-12)
        width = min(1.0, _WIDER * self.blend)
        return _normalised(_smooth(0.5 - beyond / (2 * width)))

    def _all_by(self, expert: int) -> Floats:
        shares = np.zeros(self.count)
        shares[expert] = 1.0
        return shares

    def owner_of(self, pose: Floats) -> int:
        """The expert with the largest share among experts; of equals the first."""
        return int(np.argmax(self._experts(pose)))

    def shares(self, cameras: Cameras) -> Floats:
        """(V, `models`) `weights` of every camera."""
        return np.stack([self.weights(pose) for pose in cameras.world_from_camera.cpu().numpy()])


def _smooth(x: Floats) -> Floats:
    """From 0 to 1 without a kink; `_smooth(x) + _smooth(1 - x)` is 1."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def _normalised(shares: Floats) -> Floats:
    whole: Floats = shares / shares.sum()
    return whole
