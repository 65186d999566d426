from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from dac.errors import UserError
from dac.report.figures import controls
from dac.report.figures.controls import Panel, panels_of, small_print

Recorder = Callable[..., Path]
Drawn = Callable[..., dict[str, Path]]
GROUPS = (0, 0, 1, 1)
# The second expert is 2 dB better than the first's own on the first view, 3 dB worse elsewhere.
EACH = ((30.0, 32.0), (30.0, 27.0), (27.0, 30.0), (27.0, 30.0))


def _study(
    record: Recorder,
    scene: str,
    seeds: int = 1,
    modes: tuple[str, ...] = ("paper",),
    stride: int = 1,
) -> list[Path]:
    """Every method is off the 2x baseline by one number on all views and seeds."""
    files = []
    base = (-1.0, 0.0, 1.0, 2.0)

    def add(method: str, gain: float, spread: tuple[float, ...] = base, **kept: object) -> None:
        files.append(record(scene, method, 30.0 + gain, spread=spread, **kept))

    for seed in range(seeds):
        add("baseline-1x", -0.5, seed=seed, steps=100)
        add("baseline-2x", 0.0, seed=seed, steps=200)
        add("baseline-5.66667x", 0.3, seed=seed, steps=567)
        add("restart", 0.05, seed=seed, steps=200)
        routed = {"groups": GROUPS, "expert_psnr": EACH, "division": "azimuth", "K": 2}
        settings = {"evaluate": {"expert_stride": stride}}
        # Sector 0 gains 0.2 and sector 1 0.6 over the 2x baseline.
        add("experts", 0.2, (-1.0, 0.0, 1.4, 2.4), seed=seed, settings=settings, **routed)
        for mode in modes:
            kept = {"seed": seed, "mode": mode}
            for division, K, before, gain in (
                ("single", 1, -0.4, 0.02),
                ("random", 2, -0.5, 0.04),
                ("azimuth", 2, -0.7, 0.1),
            ):
                add("distilled", before, division=division, K=K, **kept)
                add("dac", gain, division=division, K=K, distill_steps=100, **kept)
    return files


def _gains(panel: Panel) -> dict[str, float]:
    return {line.name: line.gain.mean for line in panel.lines if line.gain is not None}


@pytest.mark.parametrize("seeds", [1, 3])
def test_rows_are_the_differences_of_the_records(record: Recorder, seeds: int) -> None:
    (panel,) = panels_of(_study(record, "lego", seeds))
    expected = {
        "baseline 1x": -0.5,
        "baseline 5.67x": 0.3,
        "restart": 0.05,
        "2 experts, routed": 0.4,
        "2 experts, oracle": 0.4 + 2.0 / 4,
        "distilled, K = 1": -0.4,
        "distilled, random, K = 2": -0.5,
        "distilled, azimuth, K = 2": -0.7,
        "DaC, K = 1": 0.02,
        "DaC, random, K = 2": 0.04,
        "DaC, azimuth, K = 2": 0.1,
    }
    assert _gains(panel) == pytest.approx(expected) and list(_gains(panel)) == list(expected)
    for line in panel.lines:
        assert line.gain is not None and line.gain.seeds == seeds
        if "experts" not in line.name:  # equal on all views: the interval is a point
            assert line.gain.low == pytest.approx(line.gain.high) and line.sure
    assert [line.name for line in panel.lines if line.control] == [
        "distilled, K = 1",
        "distilled, random, K = 2",
        "DaC, K = 1",
        "DaC, random, K = 2",
    ]


def test_stages_add_up(record: Recorder) -> None:
    (panel,) = panels_of(_study(record, "lego", 2))
    (fall,) = panel.waterfalls
    assert [stage.mean for stage in fall.stages] == pytest.approx([0.9, -1.1, 0.8])
    assert sum(stage.mean for stage in fall.stages) == pytest.approx(0.1 + 0.5)
    assert fall.twice == pytest.approx(0.5)
    assert fall.sectors == pytest.approx(np.array([[0.7, -0.2, 0.6], [1.1, -0.2, 0.6]]))


def test_stages_rest_on_the_seeds_that_all_share(record: Recorder) -> None:
    files = _study(record, "lego", 1)
    files.append(record("lego", "baseline-1x", 99.0, seed=1, spread=(-1, 0, 1, 2)))
    (panel,) = panels_of(files)
    assert {stage.seeds for stage in panel.waterfalls[0].stages} == {1}
    assert panel.waterfalls[0].stages[0].mean == pytest.approx(0.9)


def test_every_mode_has_its_rows_and_stages(record: Recorder) -> None:
    (panel,) = panels_of(_study(record, "lego", modes=("corrected", "paper")))
    assert [fall.mode for fall in panel.waterfalls] == ["corrected", "paper"]
    names = [line.name for line in panel.lines]
    assert names[-2:] == ["DaC, azimuth, K = 2, corrected", "DaC, azimuth, K = 2, paper"]
    assert len(names) == 5 + 2 * 6


def test_each_scene_may_have_its_own_division(record: Recorder) -> None:
    files = _study(record, "lego")
    experts = {"groups": (0, 1, 2), "expert_psnr": [(20.0, 20.0, 20.0)] * 3}
    files += [
        record("fox", "baseline-2x", 20.0),
        record("fox", "experts", 20.1, division="louvain", K=3, **experts),
        record("fox", "dac", 20.2, division="louvain", K=3, mode="paper"),
        record("bare", "baseline-2x", 20.0),
    ]
    panels = panels_of(files)
    last = [panel.lines[-1].name for panel in panels if panel.lines]
    assert last == ["DaC, azimuth, K = 2", "DaC, louvain, K = 3"] and not panels[2].lines
    files.append(record("fox", "experts", 20.1, division="random", K=3, **experts))
    with pytest.raises(UserError, match="routed experts of several divisions"):
        panels_of(files)


def test_small_print_says_what_to_be_careful_about(record: Recorder) -> None:
    one = small_print(panels_of(_study(record, "lego", stride=4)))
    assert "One seed" in one and "stride 4" in one
    three = small_print(panels_of(_study(record, "lego", 3)))
    assert "One seed" not in three and "Oracle" not in three


def test_what_is_missing(record: Recorder, tmp_path: Path, drawn: Drawn) -> None:
    first, second = record("a", "baseline-1x", 20.0), record("a", "baseline-2x", 21.0)
    with pytest.raises(UserError, match="no record of the 2x baseline"):
        drawn(controls, records=[first])
    assert not list(tmp_path.glob("*.p*"))
    other = record("a", "restart", 21.0, seed=1)
    (panel,) = panels_of([first, second, other])
    assert [line.gain is None for line in panel.lines] == [False, True] and not panel.waterfalls
    for files in ([second], [first, second, other]):
        assert drawn(controls, records=files)["png"].stat().st_size > 5000


def test_two_runs_of_one_kind_are_refused(record: Recorder) -> None:
    kept = {"division": "azimuth", "K": 2}
    routed = record("a", "experts", 21.0, groups=GROUPS, expert_psnr=EACH, **kept)
    files = [record("a", "baseline-2x", 21.0), routed]
    twice = [record("a", "dac", 21.0, steps=n, mode="m", **kept) for n in (1, 2)]
    with pytest.raises(UserError, match="two runs of DaC in the division azimuth-2"):
        panels_of([*files, *twice])
    students = [record("a", "distilled", 21.0, steps=n, mode="m", **kept) for n in (1, 2)]
    with pytest.raises(UserError, match="two runs of one kind: distilled"):
        panels_of([*files, *students])


def test_stages_rest_on_the_views_that_all_share(record: Recorder) -> None:
    files = _study(record, "lego")
    files[0] = record("lego", "baseline-1x", 29.5, spread=(-1.0, 0.0))
    (panel,) = panels_of(files)
    (fall,) = panel.waterfalls
    assert [stage.views for stage in fall.stages] == [2, 2, 2]
    assert fall.sectors[0] == pytest.approx([0.7, -0.2, 0.6]) and np.isnan(fall.sectors[1]).all()


def test_of_one_view_there_is_no_interval(record: Recorder, drawn: Drawn) -> None:
    files = [record("a", f"baseline-{n}x", 20.0 + n, spread=[0.0]) for n in (1, 2)]
    panels = panels_of(files)
    (line,) = panels[0].lines
    assert line.gain is not None and line.gain.mean == -1 and not line.sure
    assert "of one test view there is no interval" in small_print(panels)
    assert drawn(controls, records=files)["png"].stat().st_size > 5000


def test_a_run_that_is_far_off(record: Recorder, drawn: Drawn, figures: list[Figure]) -> None:
    files = [record("a", "baseline-2x", 20.0)]
    files += [record("a", "baseline-1x", 5.0), record("a", "restart", 60.0)]
    drawn(controls, records=files)
    low, high = figures[-1].axes[0].get_xlim()
    assert -3.4 < low < high < 3.4


@pytest.mark.parametrize("scenes", [1, 3])
def test_figures(record: Recorder, drawn: Drawn, scenes: int) -> None:
    files = []
    for i in range(scenes):
        modes = ("corrected", "paper") if i == 2 else ("paper",)
        files += _study(record, f"scene{i}", 1 + 2 * (i % 2), modes)
    with Image.open(drawn(controls, twice=True, records=files)["png"]) as picture:
        assert picture.size[0] == 2100 and picture.size[1] > 700 * scenes
