"""PSNR projected on the sparse points (what the paper's Fig. 1 shows).

Notation: P points; V scored views; t the distance of a point along its ray. A point's error in a
view is the squared error around its pixel; its PSNR is that of the mean over the views that see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from dac.errors import UserError
from dac.evaluation.metrics import SMALLEST_ERROR
from dac.evaluation.truth import truth_image, usable_pixels
from dac.report.renders import Renders, common_views
from dac.scenes.scene import Scene

Floats = NDArray[np.float64]

WINDOW = 3  # pixels around a point over which an error is averaged
SLACK = 0.1  # a point this much farther than the rendered surface still counts as seen


@dataclass(frozen=True)
class PointScores:
    """PSNR of several methods on the same points, seen in the same views.

    Attributes:
        psnr: (M, P) dB for M methods; NaN where no view sees the point.
        seen: (P,) how many of the scored views see each point.
        views: how many all methods score.
    """

    psnr: Floats
    seen: NDArray[np.int64]
    views: int


def point_scores(scene: Scene, xyz: Floats, methods: Sequence[Renders]) -> PointScores:
    """Project errors of scored views on points.

    Which views see a point is decided once, by the first method's depth, so that every method is
    judged by the same pixels.

    Args:
        scene: of the evaluations.
        xyz: (P, 3) points in the world.
        methods: M evaluations.

    Raises:
        UserError: their arrays are missing or damaged, or they score no common view.
    """
    common = common_views(methods)
    if not common:
        what = "shares no scored view with the others"
        raise UserError(methods[-1].folder, what, "score the same")
    total, count = np.zeros((len(methods), len(xyz))), np.zeros(len(xyz), np.int64)
    for name, view in zip(common, scene.indices(common), strict=True):
        depth = np.asarray(methods[0].depth[methods[0].index[name]])
        points, rows, columns = _seen(scene, view, xyz, depth)
        truth = truth_image(scene, view).double().numpy()
        usable = usable_pixels(scene, view)
        if usable is not None:
            kept = usable.numpy()[rows, columns]
            points, rows, columns = points[kept], rows[kept], columns[kept]
        count[points] += 1
        for index, method in enumerate(methods):
            error = ((method.image(name) / 255.0 - truth) ** 2).mean(axis=-1)
            total[index, points] += uniform_filter(error, WINDOW, mode="nearest")[rows, columns]
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return PointScores(-10.0 * np.log10(np.maximum(mean, SMALLEST_ERROR)), count, len(common))


def _seen(
    scene: Scene, view: int, xyz: Floats, depth: NDArray[np.float16]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the points that a view sees, and their pixels' rows and columns."""
    height, width = depth.shape
    pixels, _ = scene.cameras.project(view, torch.from_numpy(xyz))
    flat = np.floor(pixels.numpy())
    with np.errstate(invalid="ignore"):
        inside = (flat >= 0).all(axis=1) & (flat < (width, height)).all(axis=1)
    points = np.flatnonzero(inside)
    columns, rows = flat[points].astype(np.int64).T
    t = np.linalg.norm(xyz[points] - scene.cameras.centres[view].numpy(), axis=1)
    seen = t <= depth[rows, columns].astype(np.float64) * (1 + SLACK)
    return points[seen], rows[seen], columns[seen]
