"""What `docs/make_screens.py` puts into the pages: the right lines, into the one right place."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from doc_pages import ROOT
from PIL import Image


@pytest.fixture(scope="module")
def screens() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_screens", ROOT / "docs/make_screens.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_dots_stand_for_what_is_left_out(screens: ModuleType) -> None:
    lines = list("abcdef")
    assert screens._elided(lines, [0, 1, 3]) == ["a", "b", "...", "d", "..."]
    assert screens._elided(lines, range(6)) == lines
    assert screens._elided(lines, []) == ["..."]


RUN = """Building DAG of jobs...
Configured: 3 trainings
total 41
dac.sfm: 21 of 72 photos have features
dac.sfm: features: 72 s
dac.sfm: Structure from motion made one model, of 67 of 67 photos.
fox baseline: step 900 of 4000, PSNR 20.1 dB, 0 min 26 s left
fox expert 0: step 3859 of 4000, PSNR 19.43 dB, 0 min 07 s left
fox baseline: step 3990 of 4000, PSNR 29.27 dB, 0 min 00 s left
fox baseline: step 7941 of 8000, PSNR 30.56 dB, 0 min 03 s left
41 of 41 steps (100%) done
Complete log: x""".splitlines()


def test_of_a_long_run_milestones_are_shown(screens: ModuleType) -> None:
    """In the first walk stages, and of each training its last progress; in others the least."""
    command = "snakemake --cores all --configfile config/my_fox.yaml"
    kept = [RUN[i] for i in (1, 2, 4, 5, 7, 8, 9, 10)]
    shown = screens._shown(command, RUN, first=True)
    assert [line for line in shown if line != "..."] == kept
    assert shown[0] == shown[-1] == "..."
    shown = screens._shown(command, RUN, first=False)
    assert [line for line in shown if line != "..."] == [RUN[i] for i in (1, 5, 10)]


def test_the_readme_has_some_columns_of_the_table(screens: ModuleType) -> None:
    markdown = (
        "| Scene | Model | PSNR ↑ | SSIM ↑ | MS-SSIM ↑ | Gain | Won | Steps | Path | Seconds | MB "
        "| s/dB |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
        r"| a\_b | 1x | 1 | 2 | 3 | +1 \[0, 2\] over 1x | 5 | 6 | 7 | 8 | 9 | 10 |"
        "\n\nA note.\n"
    )
    head, rule, row = screens._published(markdown).rstrip("\n").split("\n")
    assert head == f"| {' | '.join(screens.PUBLISHED)} |"
    assert rule == "|---|---|---:|---:|"
    assert row == r"| a\_b | 1x | 1 | +1 \[0, 2\] over 1x |"


def test_a_place_is_found_once_or_nothing_is_written(screens: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a 1 b 2 c")
    screens.replace(page, r"\d b", r"\1")
    assert page.read_text() == r"a \1 2 c"
    for pattern in (r"\d+|c", "x"):
        with pytest.raises(AssertionError, match="times"):
            screens.replace(page, pattern, "")


def test_the_pages_have_the_places(screens: ModuleType) -> None:
    """Each pattern that the script replaces stands in its page once."""
    source = (ROOT / "docs/make_screens.py").read_text()
    places = re.findall(r'replace\((README|TUTORIAL), r"(.+?)", ', source)
    assert len(places) == 3
    for name, pattern in places:
        text = getattr(screens, name).read_text(encoding="utf-8")
        assert len(re.findall(pattern, text, re.DOTALL)) == 1, pattern


def test_pictures_are_reduced_in_proportion(screens: ModuleType, tmp_path: Path) -> None:
    Image.new("RGB", (100, 50), "red").save(tmp_path / "a.png")
    screens.reduce(tmp_path / "a.png", tmp_path / "b.png", 40)
    with Image.open(tmp_path / "b.png") as small:
        assert small.size == (40, 20) and small.convert("RGB").getpixel((5, 5)) == (255, 0, 0)


def test_scenes_are_drawn_row_by_row(screens: ModuleType, tmp_path: Path) -> None:
    """Two narrow scenes fit a row, the third is wrapped into another."""
    narrow, wide = Image.new("RGB", (100, 220)), Image.new("RGB", (250, 220))
    drawn = [("a", [narrow] * 3), ("b", [narrow] * 3), ("c", [wide] * 3)]
    screens._draw(drawn, tmp_path / "all.png")
    with Image.open(tmp_path / "all.png") as canvas:
        assert canvas.size == (1000, 2 * (220 + 24) + 4)
