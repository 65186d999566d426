"""The page of a scene whose experts stay: the routed model leads, what else there is beside it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dac.page.chart import chart
from dac.page.comparison import comparison
from dac.page.results import Setup, load_results
from dac.page.table import tables
from dac.page.words import words
from dac.page.write import page_text
from dac.report.equal_path import Setup as Specialists

Make = Callable[..., Path]
GAIN = [2.0] * 4
NO_BREAK = "\N{NO-BREAK SPACE}"


def test_the_routed_model_leads(make_results: Make, tmp_path: Path) -> None:
    results = load_results(make_results(tmp_path, routed=GAIN, merged=True), "toy")
    said = words(results)
    routed, merged, *distilled = (line.replace(NO_BREAK, " ") for line in said.verdict)
    same, twice = "the baseline of the same path", "the baseline of twice the steps"
    assert routed == f"DaC (routed) is 2.00 dB [2.00, 2.00] ahead of {same}, over 2 seeds."
    assert merged == f"DaC (merged) is 0.10 dB [0.10, 0.10] behind {twice}, over 2 seeds."
    assert [line.split(" is ")[0] for line in distilled] == ["DaC (corrected)", "DaC (paper)"]
    assert said.took == (
        "Both took a path of 100 steps, DaC with a worker for each expert; all its trainings "
        "together took 175, 1.75 times as many. Its file has 4.00 MB, the baseline's 4.00 MB."
    )
    assert said.done == (
        "12 training views were divided by azimuth into 2 groups, and an expert was trained on "
        "each up to step 100, all from a shared trunk of the first 25. All of them stay: a router "
        "shows each view by its own, near a border by two. Their mean was fine-tuned, as one set "
        "of weights, for 100 steps. One model of the original size was distilled from experts that "
        "began anew in 80 steps and fine-tuned on the images in 60; the scores are means over 4 "
        "test views."
    )
    assert [one.title for one in said.differences][1:3] == [
        *("DaC (routed) over baseline 1x", "DaC (merged) over baseline 2x")
    ]


def test_without_a_distilled_model(make_results: Make, tmp_path: Path) -> None:
    results = load_results(make_results(tmp_path, modes=[], routed=GAIN), "toy")
    said = words(results)
    assert len(said.verdict) == 1 and said.verdict[0].startswith("DaC (routed) is")
    assert results.setup is None and results.partition is not None
    page = page_text(results)
    assert "not scored yet" not in page and not re.search(r">\s*(nan|None|inf)\s*<", page)
    assert "distilled" not in words(results).done


def test_of_a_place_the_generalist_is_told(make_results: Make, tmp_path: Path) -> None:
    folder = make_results(tmp_path, modes=[], routed=GAIN)
    for file in folder.rglob("*.json"):
        file.write_text(file.read_text().replace('"azimuth"', '"louvain"'))
    for divided in list(folder.rglob("azimuth-2")):
        divided.rename(divided.with_name("louvain-2"))
    said = words(load_results(folder, "toy")).done
    assert "by two, and gives the baseline of as many steps a share where it helps;" in said


@pytest.mark.parametrize("once", [True, False])
def test_merged_alone(make_results: Make, tmp_path: Path, once: bool) -> None:
    results = load_results(make_results(tmp_path, modes=[], merged=True, once=once), "toy")
    said = words(results)
    assert said.took == "" and len(said.verdict) == 1
    assert said.verdict[0].startswith("DaC (merged) is")
    assert "All of them stay" not in said.done
    assert "DaC-KPlanes (merged)" in page_text(results)


def test_which_routed_model(make_results: Make, tmp_path: Path) -> None:
    results = load_results(make_results(tmp_path, routed=GAIN, merged=True), "toy")
    assert results.specialists == Specialists("azimuth", 2, 0.25)
    assert results.setup == Setup("azimuth", 2, 80, 60)
    assert [row.label.method for row in results.rows] == [
        *("baseline-1x", "baseline-2x", "routed", "merged", "dac", "dac", "experts")
    ]
    # The same of random groups is a control of its.
    assert [row.label.division for row in results.rivals] == ["random"]
    assert results.rivals[0] in results.control_rows


def test_its_tables(make_results: Make, tmp_path: Path) -> None:
    found = tables(load_results(make_results(tmp_path, routed=GAIN, merged=True), "toy"))
    gains = {line[0].text: line[4].more for line in found.scores.cells}
    assert gains["DaC-KPlanes (routed, azimuth-2)"] == "over KPlanes (1x)"
    assert gains["DaC-KPlanes (merged)"] == "over KPlanes (2x)"
    (routed,) = [
        row for row in found.scores.rows if row["name"].startswith("DaC-KPlanes (routed, a")
    ]
    assert routed["gain_psnr"] == pytest.approx(2.0)
    # It is one model and takes part in the contest for the best; the paper's experts don't.
    best = [line[0].text for line in found.scores.cells if line[1].best]
    assert best == ["DaC-KPlanes (routed, azimuth-2)"]
    costs = dict(zip(found.costs.head, found.costs.cells[2], strict=True))
    assert (costs["File, MB"].text, costs["Steps in all"].text) == ("4.00", "175")
    assert any("2 routed experts (trunk 0.25) over a random division" in t for t in found.findings)


def test_its_pictures_are_beside_the_baseline_of_its_path(
    make_results: Make, tmp_path: Path
) -> None:
    shown = comparison(load_results(make_results(tmp_path, routed=GAIN), "toy"))
    assert shown is not None and shown.names == ("baseline 1x", "DaC, routed")
    assert "gain over the 1x baseline" in shown.rule
    assert shown.views[0].labels == ("truth", "baseline 1x, 19.50 dB", "DaC, routed, 21.50 dB")
    page = page_text(load_results(tmp_path, "toy"))
    assert "baseline 1x | DaC, routed</button>" in page


def test_its_curves(make_results: Make, tmp_path: Path) -> None:
    drawn = chart(load_results(make_results(tmp_path, routed=GAIN, merged=True), "toy"))
    assert drawn is not None
    assert [line.name for line in drawn.lines] == [
        *("expert 0", "expert 1", "baseline 1x", "baseline 2x", "trunk", "DaC (merged)"),
        *("distilled (corrected)", "DaC (corrected)", "distilled (paper)", "DaC (paper)"),
    ]
    lines = {line.name: line for line in drawn.lines}
    assert lines["expert 0"].points[-1][0] == 100 and lines["trunk"].points[-1][0] == 24
    assert lines["DaC (merged)"].points[-1][0] == 200
    assert lines["DaC (paper)"].points[-1][0] == 240  # after experts of its own
    assert [line.dashed for line in drawn.lines] == [False] * 6 + [True] * 4
    assert [name for *_, name in drawn.frames[0].bands] == ["trunk", "experts", "fine-tuning"]
