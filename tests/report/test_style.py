from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dac.report.style import drawing, group_colours, lighter, sample


def test_groups_keep_their_distinct_colours() -> None:
    many = group_colours(30)
    assert len(set(many)) == 30
    assert all(len(colour) == 7 and int(colour[1:], 16) >= 0 for colour in many)
    for count in range(1, 30):
        assert group_colours(count) == many[:count]


def test_equal_figures_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        outputs = {kind: tmp_path / f"{name}.{kind}" for kind in ("png", "pdf")}
        with drawing(outputs, 2.0, 1.0, dpi=50) as figure:
            figure.add_subplot().plot([0, 1], [1, 0])
            figure.text(0.5, 0.5, "text")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert pdf == (tmp_path / "b.pdf").read_bytes()
    assert b"CreationDate" not in pdf and pdf.startswith(b"%PDF")
    assert b"Software" not in (tmp_path / "a.png").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


def test_a_figure_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), drawing({"png": tmp_path / "a.png"}, 1.0, 1.0):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("colour", ["#000000", "#332288", "#FFFFFF", "#0072B2"])
def test_lighter_colours_are_no_darker_than_medium(colour: str) -> None:
    parts = [int(lighter(colour)[i : i + 2], 16) for i in (1, 3, 5)]
    assert max(parts) + min(parts) >= 2 * 0.6 * 255 - 2


def test_a_sample_is_the_same_each_time_and_in_order() -> None:
    whole = np.arange(100)
    assert sample(whole, 100) is whole
    some = sample(whole, 10)
    assert len(set(some)) == 10 and (np.diff(some) > 0).all()
    assert np.array_equal(some, sample(whole, 10))


def test_colours_need_no_matplotlib() -> None:
    code = "import sys, dac.report.style; print('matplotlib' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, check=True
    ).stdout
    assert printed.strip() == b"False"
