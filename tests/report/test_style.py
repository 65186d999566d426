from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from matplotlib.figure import Figure

from dac.report.style import group_colours, save_figure


def test_groups_keep_their_distinct_colours() -> None:
    many = group_colours(30)
    assert len(set(many)) == 30
    assert all(len(colour) == 7 and int(colour[1:], 16) >= 0 for colour in many)
    for count in range(1, 30):
        assert group_colours(count) == many[:count]


def test_equal_figures_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        figure = Figure()
        figure.add_subplot().plot([0, 1], [1, 0])
        figure.text(0.5, 0.5, "text")
        save_figure(figure, tmp_path / f"{name}.png", tmp_path / f"{name}.pdf", dpi=50)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert pdf == (tmp_path / "b.pdf").read_bytes()
    assert b"CreationDate" not in pdf and pdf.startswith(b"%PDF")
    assert b"Software" not in (tmp_path / "a.png").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


def test_one_of_the_files_may_be_left_out(tmp_path: Path) -> None:
    figure = Figure()
    save_figure(figure, tmp_path / "a.png", None)
    save_figure(figure, None, tmp_path / "b.pdf")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.pdf"]


def test_colours_need_no_matplotlib() -> None:
    code = "import sys, dac.report.style; print('matplotlib' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, check=True
    ).stdout
    assert printed.strip() == b"False"
