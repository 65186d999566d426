from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dac.errors import UserError
from dac.evaluation.records import Evaluation
from dac.report.figures import experts, points, qualitative
from dac.report.figures.experts import expert_gains
from dac.report.figures.qualitative import choose_details, choose_rows
from dac.report.point_scores import point_scores
from dac.report.renders import Renders
from dac.scenes.points import Points
from dac.scenes.scene import Scene


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
    rows = choose_rows(study / "scene", study / "reference", study / "ours", 2)
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
    xyz = Points.load(study / "points.npz").xyz.astype(np.float64)
    scores = point_scores(scene, xyz, [Renders(study / "reference"), Renders(study / "ours")])
    facing = np.zeros(len(xyz), np.int64)
    for view in scene.test:
        away = xyz - scene.cameras.centres[view].numpy()
        facing += np.linalg.norm(away, axis=1) <= float(np.float16(3.3)) * 1.1
    seen = scores.seen > 0
    assert (scores.seen == facing).all()  # all of the sphere is inside every image
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


Drawn = Callable[..., dict[str, Path]]


def _inputs(study: Path, kind: str) -> dict[str, list[Path]]:
    """What the rule of a figure gives it."""

    def record(name: str) -> list[Path]:
        return [study / name / "evaluation.json"]

    scene = [study / "scene" / "scene.json"]
    reference, ours = record("reference"), record("ours")
    if kind == "qualitative":
        return {"scenes": scene * 2, "baselines": reference * 2, "ours": ours * 2}
    if kind == "experts":
        return {"experts": record("experts"), "baseline": reference}
    ours = record("experts") if kind == "points of experts" else ours
    return {"scene": scene, "points": [study / "points.npz"], "baseline": reference, "ours": ours}


@pytest.mark.parametrize("kind", ["qualitative", "points", "points of experts", "experts"])
def test_figures(study: Path, drawn: Drawn, kind: str) -> None:
    module = {"qualitative": qualitative, "experts": experts}.get(kind, points)
    settings = {"report": {"crops": 2, "dpi": 100}}
    files = drawn(module, twice=True, settings=settings, **_inputs(study, kind))
    with Image.open(files["png"]) as picture:
        assert picture.size[0] == 7.0 * (100 if kind == "qualitative" else 300)
    assert files["png"].stat().st_size > 20_000


def test_a_scene_without_points_has_a_picture_that_says_so(study: Path, drawn: Drawn) -> None:
    inputs = _inputs(study, "points")
    Points(
        xyz=np.empty((0, 3), np.float32),
        rgb=np.empty((0, 3), np.uint8),
        offsets=np.zeros(1, np.int64),
        views=np.empty(0, np.int32),
        error=np.empty(0, np.float32),
    ).save(inputs["points"][0])
    with Image.open(drawn(points, **inputs)["png"]) as picture:
        assert picture.size == (2100, 180) and picture.convert("L").getextrema()[0] < 100


def test_missing_and_damaged_renders(study: Path, tmp_path: Path, drawn: Drawn) -> None:
    inputs, settings = _inputs(study, "qualitative"), {"report": {"crops": 1, "dpi": 50}}
    (study / "ours" / "renders.npy").write_bytes(b"not an array")
    with pytest.raises(UserError, match="is damaged"):
        drawn(qualitative, settings=settings, **inputs)
    (study / "ours" / "renders.npy").unlink()
    with pytest.raises(UserError, match="no such file"):
        drawn(qualitative, settings=settings, **inputs)
    with pytest.raises(UserError, match="no record of routed experts"):
        drawn(experts, **(_inputs(study, "experts") | {"experts": inputs["ours"]}))
    assert not list(tmp_path.glob("*.p*"))
