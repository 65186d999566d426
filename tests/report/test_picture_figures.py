from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dac.errors import UserError
from dac.evaluation.records import Evaluation
from dac.report.figures.experts import expert_gains, experts_figure
from dac.report.figures.points import points_figure
from dac.report.figures.qualitative import (
    Comparison,
    choose_details,
    choose_rows,
    qualitative_figure,
)
from dac.report.point_scores import point_scores
from dac.scenes.points import Points
from dac.scenes.scene import Scene


def _points(study: Path, count: int = 300) -> Path:
    """Points on the toy's sphere."""
    rng = np.random.default_rng(0)
    xyz = rng.normal(size=(count, 3))
    xyz = (0.8 * xyz / np.linalg.norm(xyz, axis=1, keepdims=True)).astype(np.float32)
    Points(
        xyz=xyz,
        rgb=np.zeros((count, 3), np.uint8),
        offsets=np.zeros(count + 1, np.int64),
        views=np.zeros(0, np.int32),
        error=np.zeros(count, np.float32),
    ).save(study / "points.npz")
    return study / "points.npz"


@pytest.mark.parametrize("seed", range(6))
def test_details_are_the_slow_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(18, 40, 2))
    side = int(rng.integers(3, 8))
    advantage = rng.normal(size=(height, width))
    means = {
        (y, x): advantage[y : y + side, x : x + side].mean()
        for y in range(height - side + 1)
        for x in range(width - side + 1)
    }
    best = max(means, key=lambda corner: means[corner])
    apart = [
        corner
        for corner in means
        if abs(corner[0] - best[0]) >= side or abs(corner[1] - best[1]) >= side
    ]
    worst = min(apart, key=lambda corner: means[corner])
    assert choose_details(advantage, side) == [best, worst]


def test_rows_say_who_is_ahead(study: Path) -> None:
    rows = choose_rows(Comparison(study / "scene", study / "reference", study / "ours"), 2)
    assert len(rows) == 2
    for row in rows:
        assert row.ahead[0] and row.details[0][1] < 12
        assert row.detail_psnr[0, 0] == pytest.approx(-20 * np.log10(0.2), abs=0.3)
        assert row.detail_psnr[0, 1] > row.detail_psnr[0, 0]
        assert row.psnr[1] > row.psnr[0]
        top, bottom, left, right = row.frame
        assert 0 <= top < bottom <= 24 and 0 <= left < right <= 24
        for y, x in row.details:
            assert top <= y and y + row.side <= bottom and left <= x and x + row.side <= right


def test_points_get_the_errors_of_their_pixels(study: Path) -> None:
    scene = Scene.load(study / "scene")
    xyz = Points.load(_points(study)).xyz.astype(np.float64)
    scores = point_scores(scene, xyz, [study / "reference", study / "ours"])
    facing = np.zeros(len(xyz), np.int64)
    for view in scene.test:
        away = xyz - scene.cameras.centres[view].numpy()
        facing += np.linalg.norm(away, axis=1) <= float(np.float16(3.3)) * 1.1
    seen = scores.views > 0
    assert (scores.views == facing).all()  # all of the sphere is inside every image
    assert np.isnan(scores.psnr[:, ~seen]).all() and seen.sum() > 100
    assert scores.psnr[0, seen] == pytest.approx(-20 * np.log10(0.2), abs=0.2)
    low, high = scores.psnr[1, seen].min(), scores.psnr[1, seen].max()
    assert low >= 13.8 and high <= 20.2 and high - low > 5


def test_expert_gains(study: Path) -> None:
    gains = expert_gains(study / "experts", study / "reference")
    ours, theirs = (Evaluation.load(study / name) for name in ("experts", "reference"))
    for i, (a, b) in enumerate(zip(ours.images, theirs.images, strict=True)):
        assert gains.gain[i] == pytest.approx(a.psnr - b.psnr)
    even, odd = gains.gain[gains.owner == 0].mean(), gains.gain[gains.owner == 1].mean()
    # Expert 1 is 3 dB under expert 0 on every view, its own included.
    assert gains.matrix == pytest.approx(np.array([[even, odd + 3], [even - 3, odd]]))
    assert (gains.oracle >= gains.gain - 1e-12).all()
    assert gains.oracle[1] == pytest.approx(gains.gain[1] + 3)


def _draw(study: Path, kind: str, png: Path, pdf: Path) -> None:
    reference, ours = study / "reference", study / "ours"
    if kind == "qualitative":
        comparison = Comparison(study / "scene", reference, ours)
        qualitative_figure([comparison, comparison], 2, png, pdf, dpi=100)
    elif kind.startswith("points"):
        ours = study / "experts" if kind == "points of experts" else ours
        points_figure(study / "scene", _points(study), reference, ours, png, pdf)
    else:
        experts_figure(study / "experts", reference, png, pdf)


@pytest.mark.parametrize("kind", ["qualitative", "points", "points of experts", "experts"])
def test_figures_are_written_alike_twice(study: Path, tmp_path: Path, kind: str) -> None:
    for name in ("one", "two"):
        _draw(study, kind, tmp_path / f"{name}.png", tmp_path / f"{name}.pdf")
    for suffix in ("png", "pdf"):
        one, two = (tmp_path / f"{name}.{suffix}" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes() and one.stat().st_size > 5000


def test_a_scene_without_points_has_a_picture_that_says_so(study: Path, tmp_path: Path) -> None:
    none = Points(
        xyz=np.empty((0, 3), np.float32),
        rgb=np.empty((0, 3), np.uint8),
        offsets=np.zeros(1, np.int64),
        views=np.empty(0, np.int32),
        error=np.empty(0, np.float32),
    )
    none.save(tmp_path / "points.npz")
    png, pdf = tmp_path / "p.png", tmp_path / "p.pdf"
    points_figure(
        study / "scene", tmp_path / "points.npz", study / "reference", study / "ours", png, pdf
    )
    assert png.stat().st_size > 1000 and pdf.stat().st_size > 1000


def test_missing_and_damaged_renders(study: Path, tmp_path: Path) -> None:
    targets = (tmp_path / "a.png", tmp_path / "a.pdf")
    comparison = Comparison(study / "scene", study / "reference", study / "ours")
    (study / "ours" / "renders.npy").write_bytes(b"not an array")
    with pytest.raises(UserError, match="is damaged"):
        qualitative_figure([comparison], 1, *targets)
    (study / "ours" / "renders.npy").unlink()
    with pytest.raises(UserError, match="no such file"):
        qualitative_figure([comparison], 1, *targets)
    with pytest.raises(UserError, match="no record of routed experts"):
        experts_figure(study / "ours", study / "reference", *targets)
    assert not targets[0].exists() and not targets[1].exists()
