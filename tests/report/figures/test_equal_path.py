from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from dac.report.equal_path import equal_path
from dac.report.figures import equal_path as module
from dac.report.figures.equal_path import series_of

Study = Callable[..., list[Path]]
Drawn = Callable[..., dict[str, Path]]
SETUP = ["azimuth", 4, 0.25]


def test_a_look_for_each_method(equal_path_study: Study) -> None:
    files = equal_path_study() + equal_path_study("ant")
    series = series_of(equal_path(files, {"zoo": SETUP, "ant": SETUP}))
    assert [each.name for each in series] == [
        "baseline",
        *(f"routed, K = {K}, trunk 0.25" for K in (2, 4, 8)),
        "routed, K = 4, no trunk",
        "routed, K = 4, trunk 0.25, random groups",
        "routed, K = 4, trunk 0.5",
        *("baseline, 4 x the rays", "baseline, 4 x the parameters"),
        *("merged", "distilled, fine-tuned"),
    ]
    assert [each.joined for each in series] == [True] * 4 + [False] * 7
    assert len({(each.marker, each.fill, each.colour) for each in series}) == len(series)
    for points in series.values():
        assert [[line.path for line in of] for of in points] == [
            [line.path for line in points[0]]
        ] * 2


@pytest.mark.parametrize("seeds", [1, 3])
def test_points_and_bars_are_the_tables(
    equal_path_study: Study, drawn: Drawn, figures: list[Figure], seeds: int
) -> None:
    files = equal_path_study(seeds=range(seeds))
    picture = drawn(module, records=files, settings={"routed": {"zoo": SETUP}}, twice=True)
    assert picture["png"].stat().st_size > 20_000
    axes: Any = figures[0].axes[0]
    (found,) = equal_path(files, {"zoo": SETUP})
    drawn_lines = {line.get_label(): line for line in axes.lines}
    assert len(drawn_lines) == 11 and axes.get_xscale() == "log"
    heights = sorted(y for line in axes.lines for y in line.get_ydata())
    assert heights == pytest.approx(sorted(line.row.mean("psnr") or 0 for line in found.lines))
    bars = [bar.get_segments()[0] for bar in axes.collections]
    assert len(bars) == 11  # of all but the baselines
    (gain,) = [line.gain for line in found.lines if line.method == "big_batch"]
    assert gain is not None
    ends = np.array([31.5 + 0.005 * (seeds - 1) + end - gain.mean for end in (gain.low, gain.high)])
    assert any(np.allclose(bar[:, 1], ends) for bar in bars)
    # No two points of a path lie on each other.
    places = [tuple(point) for line in axes.lines for point in line.get_xydata()]
    assert len({(round(x, 3), round(y, 3)) for x, y in places}) == len(places)


def test_many_scenes(equal_path_study: Study, drawn: Drawn) -> None:
    files = [file for i in range(4) for file in equal_path_study(f"scene{i}", seeds=[0])]
    routed = {f"scene{i}": SETUP for i in range(4)}
    assert drawn(module, records=files, settings={"routed": routed})["pdf"].stat().st_size > 5000
