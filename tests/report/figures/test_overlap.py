from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from dac.errors import UserError
from dac.report.figures import overlap
from dac.report.figures.overlap import panels_of, small_print

Recorder = Callable[..., Path]
Drawn = Callable[..., dict[str, Path]]


def _study(
    record: Recorder, scene: str, seeds: int = 1, modes: tuple[str, ...] = ("paper",)
) -> list[Path]:
    """Overlapping sectors are ahead of disjoint groups by 0.2 dB on every view and seed."""
    files = []
    for seed in range(seeds):
        psnr = 30.0 + 0.1 * seed
        files.append(record(scene, "baseline-2x", psnr, seed=seed, steps=200))
        for i, mode in enumerate(modes):
            ours = {"seed": seed, "mode": mode, "distill_steps": 100}
            disjoint = psnr + 0.5 + i
            files.append(record(scene, "dac", disjoint, division="azimuth", K=4, **ours))
            overlapping = {"division": "azimuth-overlap", "K": 6}
            files.append(record(scene, "dac", disjoint + 0.2, **overlapping, **ours))
    return files


@pytest.mark.parametrize("seeds", [1, 3])
def test_dots_are_the_records(record: Recorder, seeds: int) -> None:
    (panel,) = panels_of(_study(record, "chair", seeds, ("corrected", "paper")))
    middle = 30 + 0.1 * (seeds - 1) / 2
    kinds = [(dot.kind, dot.mode, dot.row.psnr.mean()) for dot in panel.dots]
    assert kinds == [
        ("baseline", "", pytest.approx(middle)),
        ("disjoint", "corrected", pytest.approx(middle + 0.5)),
        ("overlapping", "corrected", pytest.approx(middle + 0.7)),
        ("disjoint", "paper", pytest.approx(middle + 1.5)),
        ("overlapping", "paper", pytest.approx(middle + 1.7)),
    ]
    assert list(panel.differences) == ["corrected", "paper"]
    for found in panel.differences.values():
        assert [found.mean, found.low, found.high] == pytest.approx([0.2] * 3)
        assert found.sure and found.seeds == seeds


def test_small_print_explains_what_is_drawn(record: Recorder) -> None:
    assert "Whiskers" in small_print(panels_of(_study(record, "chair", 2)))
    alone = small_print(panels_of(_study(record, "chair")[:2]))
    assert "Whiskers" not in alone and "interval" not in alone
    assert "One seed" in small_print(panels_of(_study(record, "chair")))


def test_what_is_missing(record: Recorder, drawn: Drawn) -> None:
    baseline, disjoint, overlapping = _study(record, "chair")
    for files in ([baseline, disjoint], [overlapping], [baseline, overlapping]):
        (panel,) = panels_of(files)
        assert len(panel.dots) == len(files) and not panel.differences
        assert drawn(overlap, records=files)["png"].stat().st_size > 5000
    # A scene without a model of DaC's has no panel.
    panels = panels_of([baseline, disjoint, record("ship", "baseline-2x", 30.0)])
    assert [panel.scene.scene for panel in panels] == ["chair"]
    with pytest.raises(UserError, match="no record is of DaC"):
        panels_of([baseline])
    with pytest.raises(UserError, match="two runs of one kind: disjoint, paper mode"):
        panels_of([disjoint, record("chair", "dac", 30.0, division="azimuth", K=3, mode="paper")])
    other = record("chair", "baseline-2x", 30.0, spread=(0, 1))
    with pytest.raises(UserError, match=r"dac \(seed 0\) scores other views than baseline-2x"):
        panels_of([disjoint, other])


def test_of_one_view_there_is_no_interval(record: Recorder, drawn: Drawn) -> None:
    ours = {"mode": "paper", "distill_steps": 100, "spread": [0.0]}
    files = [
        record("a", "dac", 30.0, division="azimuth", K=4, **ours),
        record("a", "dac", 31.0, division="azimuth-overlap", K=6, **ours),
    ]
    panels = panels_of(files)
    assert panels[0].differences["paper"].mean == 1 and not panels[0].differences["paper"].sure
    assert "of one test view there is no interval" in small_print(panels)
    assert drawn(overlap, records=files)["png"].stat().st_size > 5000


def test_seeds_that_are_not_shared_are_not_compared(record: Recorder) -> None:
    ours = {"mode": "paper", "distill_steps": 100}
    files = [
        record("a", "dac", 30.0, seed=0, division="azimuth", K=4, **ours),
        record("a", "dac", 31.0, seed=1, division="azimuth-overlap", K=6, **ours),
    ]
    (panel,) = panels_of(files)
    assert len(panel.dots) == 2 and not panel.differences


@pytest.mark.parametrize("scenes", [1, 7])
def test_figures(record: Recorder, drawn: Drawn, scenes: int) -> None:
    files = [file for i in range(scenes) for file in _study(record, f"scene{i}", seeds=1 + i % 3)]
    with Image.open(drawn(overlap, twice=True, records=files)["png"]) as picture:
        rows = 1 if scenes == 1 else 2
        inches = (4.6 if scenes == 1 else 7.0, 2.1 * rows + 0.6)
        assert picture.size == pytest.approx([300 * side for side in inches], abs=1)
