"""The page's curves, partition in space and compared views, against what they are made of."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import toy
from PIL import Image

from dac.divide.partition import Partition
from dac.divide.routing import UNOWNED, owners_of_points, owners_of_views
from dac.evaluation.pictures import to_uint8
from dac.evaluation.truth import truth_image
from dac.page import comparison as comparison_module
from dac.page import turning as turning_module
from dac.page.chart import chart, ticks
from dac.page.comparison import choose, comparison, cover
from dac.page.results import load_results
from dac.page.turning import turning
from dac.report.partition_view import HORIZON, surroundings
from dac.report.renders import Renders

Make = Callable[..., Path]


def test_curves_are_those_of_the_runs_laid_end_to_end(make_results: Make, tmp_path: Path) -> None:
    drawn = chart(load_results(make_results(tmp_path), "toy"))
    assert drawn is not None
    lines = {line.name: line for line in drawn.lines}
    assert list(lines) == [
        *("expert 0", "expert 1", "baseline 1x", "baseline 2x"),
        *("distilled (corrected)", "DaC (corrected)", "distilled (paper)", "DaC (paper)"),
    ]
    assert lines["baseline 2x"].points == ((100, 18.0), (150, 19.0), (200, 20.2))
    assert lines["distilled (paper)"].points == ((140, 18.0), (160, 19.0), (180, 20.08))
    assert lines["DaC (corrected)"].points == ((210, 18.0), (225, 19.0), (240, 20.06))
    assert [line.dashed for line in drawn.lines] == [False] * 6 + [True] * 2
    assert drawn.last == 240
    table = {texts[0]: texts[1:] for texts in drawn.table.texts}
    assert drawn.table.head[1:] == list(lines)
    assert table["100"][2:4] == ["20.10", "18.00"] and table["240"][5] == "20.06"


def test_paths_and_ticks_share_their_axes(make_results: Make, tmp_path: Path) -> None:
    drawn = chart(load_results(make_results(tmp_path), "toy"))
    assert drawn is not None
    for frame in drawn.frames:
        (y0, t0), (y1, t1) = frame.ys[0], frame.ys[-1]
        for line, path in zip(drawn.lines, frame.paths, strict=True):
            places = [tuple(map(float, p.split())) for p in path[1:].split("L")]
            for (x, y), (step, psnr) in zip(places, line.points, strict=True):
                assert frame.left <= x <= frame.right and frame.top <= y <= frame.bottom
                across = (x - frame.left) / (frame.right - frame.left)
                assert math.isclose(across * drawn.last, step, abs_tol=drawn.last / 300)
                up = float(t0) + (y - y0) / (y1 - y0) * (float(t1) - float(t0))
                assert math.isclose(up, psnr, abs_tol=0.02)
        assert [name for *_, name in frame.bands] == ["experts", "distillation", "fine-tuning"]


@pytest.mark.parametrize("limits", [(0, 1), (0, 45000), (17.3, 27.9), (-3.2, 0.1), (19.99, 20.01)])
@pytest.mark.parametrize("most", [3, 6])
def test_ticks(limits: tuple[float, float], most: int) -> None:
    found = ticks(*limits, most)
    assert 1 <= len(found) <= most and limits[0] <= found[0] and found[-1] <= limits[1]
    assert len({round(step, 9) for step in np.diff(found)}) <= 1


def _decoded(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def test_the_partition_in_space(make_results: Make, tmp_path: Path) -> None:
    found = load_results(make_results(tmp_path), "toy")
    assert found.partition is not None and found.points is not None
    turned = turning(found.scene, found.partition, found.points)
    middle, extent = surroundings(found.scene)
    reach = HORIZON * extent
    points = _decoded(turned.data["points"], "<i2").reshape(-1, 3) / 32767 * reach + middle
    assert np.abs(points - found.points.xyz).max() < reach / 30000
    groups = _decoded(turned.data["groups"], "<u2")
    owner = owners_of_views(found.scene, found.partition)[list(found.scene.train)]
    expected = owners_of_points(found.scene, found.points, owner, 2)
    assert groups.tolist() == [2 if group == UNOWNED else group for group in expected]
    assert set(_decoded(turned.data["light"], "u1")) == {200}
    cameras = _decoded(turned.data["cameras"], "<i2").reshape(-1, 5, 3) / 32767 * reach + middle
    centres = found.scene.cameras.centres.numpy()[list(found.scene.train)]
    assert np.abs(cameras[:, 0] - centres).max() < reach / 30000
    # The image's corners lie before the camera, which looks at the origin.
    assert (((cameras[:, 1:] - cameras[:, :1]) * -centres[:, None]).sum(-1) > 0).all()
    assert turned.data["owners"] == [0] * 6 + [1] * 6
    assert turned.groups == ("6 views", "6 views") and turned.thinned == ""
    assert turned.description == "12 cameras in 2 groups around 40 points of the scene"


def test_groups_that_overlap_say_what_they_own(make_results: Make, tmp_path: Path) -> None:
    found = load_results(make_results(tmp_path), "toy")
    assert found.partition is not None
    first, second = found.partition.groups
    both = Partition("azimuth-overlap", (first + second[:2], second), found.partition.owner)
    assert turning(found.scene, both, None).groups == ("8 views, owns 6", "6 views")


def test_many_points_and_cameras_are_thinned(
    make_results: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = load_results(make_results(tmp_path), "toy")
    assert found.partition is not None
    monkeypatch.setattr(turning_module, "MOST_POINTS", 10)
    monkeypatch.setattr(turning_module, "MOST_CAMERAS", 5)
    turned = turning(found.scene, found.partition, found.points)
    assert len(_decoded(turned.data["groups"], "<u2")) == 10 and len(turned.data["owners"]) == 5
    assert turned.thinned == "Drawn are 5 of 12 cameras and 10 of 40 points."


def test_the_cover_sees_most_points() -> None:
    """It is a test view, whatever the others see; without points it is the middle one."""
    scene = toy.scene()
    seen = [scene.train[0]] * 9 + [scene.test[2]] * 2 + [scene.test[1]] * 3
    points = toy.points_with([[view] for view in seen])
    assert cover(scene, points).name == scene.names[scene.test[1]]
    assert cover(scene, None).name == scene.names[scene.test[len(scene.test) // 2]]
    assert not cover(scene, None).tall


def test_views_are_at_the_quartiles_of_the_gain(make_results: Make, tmp_path: Path) -> None:
    results = make_results(tmp_path, seeds=[0], modes=["paper"], gains=(0.4, -0.1, 0.3, -0.2))
    runs = results / "toy/kplanes/seed0"
    baseline = Renders(runs / "baseline-200/evaluation")
    ours = Renders(runs / "azimuth-2/paper/distill-80-finetune-60/evaluation")
    names = list(ours.index)
    chosen = choose(baseline, ours)
    assert [name for name, *_ in chosen] == [names[0], names[2], names[1], names[3]]
    assert [round(gain, 6) for *_, gain in chosen] == [0.4, 0.3, -0.1, -0.2]
    assert [why for _, why, _ in chosen] == [
        *("largest gain", "upper quartile", "lower quartile", "largest loss")
    ]


def test_one_model_is_shown_beside_the_truth(make_results: Make, tmp_path: Path) -> None:
    """The longest of all views, its views ranked by PSNR, the median first."""
    found = load_results(make_results(tmp_path, seeds=[0], modes=[]), "toy")
    shown = comparison(found)
    assert shown is not None and shown.names == ("baseline 2x",)
    psnrs = [float(view.gain.removesuffix(" dB")) for view in shown.views]
    assert psnrs == sorted(psnrs, reverse=True) and shown.first == 2
    assert [view.why for view in shown.views] == [
        *("highest", "upper quartile", "lower quartile", "lowest")
    ]
    assert all(len(view.pictures) == len(view.labels) == 2 for view in shown.views)


def _pixels(uri: str) -> np.ndarray:
    data = base64.b64decode(uri.removeprefix("data:image/webp;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_pictures_are_the_renders_to_the_last_bit(make_results: Make, tmp_path: Path) -> None:
    found = load_results(make_results(tmp_path), "toy")
    shown = comparison(found)
    assert shown is not None and "stored without loss" in shown.rule
    for view in shown.views:
        index = found.scene.indices([view.name])[0]
        truth = to_uint8(truth_image(found.scene, index))
        pictures = [_pixels(uri) for uri in view.pictures]
        for picture, darker in zip(pictures, (0, 10, 20), strict=True):
            assert np.array_equal(picture, truth - np.minimum(truth, darker))
    assert shown.views[0].labels[1:] == ("baseline 2x, 20.00 dB", "DaC, 20.40 dB")


def test_pictures_keep_within_their_budget(
    make_results: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = load_results(make_results(tmp_path), "toy")
    whole = comparison(found)
    assert whole is not None
    size = sum(len(uri) for view in whole.views for uri in view.pictures) * 3 / 4
    monkeypatch.setattr(comparison_module, "MOST_BYTES", size * 0.6)
    coarse = comparison(found)
    assert coarse is not None and "WebP of quality" in coarse.rule
    assert sum(len(uri) for v in coarse.views for uri in v.pictures) * 3 / 4 <= size * 0.6
