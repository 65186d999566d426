"""Whatever users name their scenes and images, the report shows it and runs nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import jinja2
import numpy as np
import pytest
import toy
from docutils.core import publish_parts
from matplotlib.text import Text

from dac.evaluation.pictures import picture_name
from dac.report.figures.convergence import convergence_figure
from dac.report.figures.experts import experts_figure
from dac.report.figures.losses import losses_figure
from dac.report.figures.partition import partition_figure
from dac.report.figures.points import points_figure
from dac.report.figures.qualitative import Comparison, qualitative_figure
from dac.report.runs import SceneRuns
from dac.report.tables.ablation import write_ablation_table
from dac.report.tables.controls import write_controls_table
from dac.report.tables.main import format_main_table, read_main_table, write_main_table
from dac.report.text import for_figure, one_line
from dac.scenes.points import Points
from dac.scenes.scene import Scene

ROOT = Path(__file__).resolve().parents[2]
NAMES = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>&lt;&amp;",
    "$x^{2$",
    "$\\frac{1}{0}$ and $y_",
    "100% of a_b #1 ~ {x}",
    "\\input{/etc/passwd}\\\\",
    "\\",
    "[1cm]*|`|",
    "first\nsecond\r\n\tthird\u2028fourth\x0bfifth",
    "\x1b[31mred\x00\x07",
    "\u202egnp.txt\u2066",
    "שלום עולם",
    "مرحبا_$x$",
    "名前🙂",
    "x" * 3000,
    "{{ 7 * 7 }}{% for x in y %}",
    "| --- |\n|**b**|![](http://x)",
]
LATEX_COMMANDS = {
    *(r"\begin", r"\end", r"\toprule", r"\midrule", r"\bottomrule", r"\footnotesize", r"\par"),
    *(r"\textbf", r"\uparrow", r"\dagger", r"\pm", r"\ldots", r"\textbackslash"),
    *(r"\textasciitilde", r"\textasciicircum", r"\textless", r"\textgreater", r"\textbar"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_becomes_one_short_printable_line(name: str) -> None:
    line = one_line(name)
    assert line.isprintable() and 0 < len(line) <= 60 * 10 and len(line.splitlines()) == 1
    assert one_line(one_line(name)) == line


@pytest.mark.parametrize("name", [*NAMES, "a$", "$", "$$", "\\$", "a\\$b$", "plain"])
def test_matplotlib_takes_no_name_for_mathematics(name: str) -> None:
    text = Text(0, 0, for_figure(name))
    assert text._preprocess_math(text.get_text()) == (one_line(name, 48), False)


def _everywhere(study: Path, name: str) -> None:
    """Give the scene, all of its views and the models a hostile name."""

    def view(old: str) -> str:
        return f"{name}{old}"

    file = study / "scene" / "scene.json"
    scene = json.loads(file.read_text())
    scene |= {"name": name, "names": [view(old) for old in scene["names"]]}
    file.write_text(json.dumps(scene))
    for run in ("reference", "ours", "experts"):
        file = study / run / "evaluation.json"
        record = json.loads(file.read_text())
        record["scene"] = record["label"]["model"] = name
        for image in record["images"]:
            image["name"] = view(image["name"])
        file.write_text(json.dumps(record))


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize(
    "name",
    [
        "$x^{2$ \x1b\u202eשלום\n\\",
        *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:4] + NAMES[8:15]),
    ],
)
def test_figures(study: Path, runs: SceneRuns, name: str) -> None:
    _everywhere(study, name)
    scene = Scene.load(study / "scene")
    count, seen = 50, np.tile(np.arange(4, dtype=np.int32), 50)
    xyz = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32) / 2
    offsets = np.arange(0, 201, 4)
    grey, no_error = np.zeros((count, 3), np.uint8), np.zeros(count, np.float32)
    points = Points(xyz, grey, offsets, seen, no_error)
    points.save(study / "points.npz")
    files = [(study / f"{i}.png", study / f"{i}.pdf") for i in range(6)]
    comparison = Comparison(study / "scene", study / "reference", study / "ours")
    qualitative_figure([comparison], 1, *files[0], dpi=50)
    points_figure(
        study / "scene", study / "points.npz", study / "reference", study / "ours", *files[1]
    )
    experts_figure(study / "experts", study / "reference", *files[2])
    convergence_figure(replace(runs, scene=name), *files[3])
    losses_figure(replace(runs, scene=name), *files[4])
    partition_figure(scene, toy.halves(scene), None, *files[5])
    assert all(file.stat().st_size > 1000 for pair in files for file in pair)


class _Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.heads: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "td":
            self.cells.append("")
        if tag == "th":
            self.heads.append("")

    def handle_data(self, data: str) -> None:
        if self.cells and self.tags[-1] in ("td", "b"):
            self.cells[-1] += data
        if self.heads and self.tags[-1] == "th":
            self.heads[-1] += data


def _main(records: list[Path], files: list[Path], name: str) -> None:
    write_main_table(records, *files, paper=True)
    assert list(read_main_table(files[0])["scene"]) == [name] * 4 + ["zoo"]
    format_main_table(files[0])


def _ablation(records: list[Path], files: list[Path], name: str) -> None:
    write_ablation_table("division", records, *files, paper=True)


def _controls(records: list[Path], files: list[Path], name: str) -> None:
    write_controls_table(records, *files, {name: (name, 3), "zoo": (name, 3)})


Writer = Callable[[list[Path], list[Path], str], None]
WRITERS = [_main, _ablation, _controls]


def _tables(
    write: Writer, record: Callable[..., Path], folder: Path, name: str, mode: str
) -> dict[str, str]:
    """A table's files where scene, model, division and mode are called `name`, as text."""
    divided = {"division": name, "K": 3, "mode": name, "distill_steps": 50}
    records = [record(name, f"baseline-{i}x", 20.0 + i, model=name) for i in (1, 2)]
    records += [record(name, "dac", 20.0, model=name, **divided)]
    records += [record(name, "dac", 20.0, model=name, **(divided | {"mode": mode}))]
    records += [record("zoo", "dac", 20.0, **divided)]
    files = [folder / f"table.{kind}" for kind in ("csv", "md", "tex", "html")]
    write(records, files, name)
    return {file.suffix: file.read_text(encoding="utf-8") for file in files}


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("name", NAMES)
def test_tables(write: Writer, record: Callable[..., Path], tmp_path: Path, name: str) -> None:
    texts = _tables(write, record, tmp_path, name, "other")
    plain = _tables(write, record, tmp_path, "plain", "other")
    page, usual = _Tags(texts[".html"]), _Tags(plain[".html"])
    assert page.tags == usual.tags
    assert one_line(name) in (*page.cells, *page.heads)
    for suffix, cell in ((".md", r"(?<!\\)(?:\\\\)*\|"), (".tex", r"(?<!\\)(?:\\\\)*&")):
        lines, expected = texts[suffix].splitlines(), plain[suffix].splitlines()
        assert len(lines) == len(expected)
        for line, other in zip(lines, expected, strict=True):
            assert len(re.findall(cell, line)) == len(re.findall(cell, other))
    rows = [line for line in texts[".tex"].splitlines() if "&" in line]
    assert not any(row.lstrip().startswith(("[", "*")) for row in rows)
    for line in texts[".tex"].splitlines():
        assert set(re.findall(r"\\[a-zA-Z]+", line)) <= LATEX_COMMANDS
    for sign in ("$", "&", "<", "`"):
        unescaped = rf"(?<!\\){re.escape(sign)}"
        assert not re.search(unescaped, texts[".md"].replace("| ", ""))


def test_scenes_called_like_missing_values(record: Callable[..., Path], tmp_path: Path) -> None:
    for name in ("NA", "None", "nan", "null", "007"):
        for write in WRITERS:
            _tables(write, record, tmp_path, name, "other")


def test_names_of_pictures_are_plain_and_short() -> None:
    for name in [*NAMES, "../" * 50 + "x.png", "a/" * 2000 + "b.png", ".png", ""]:
        assert re.fullmatch(r"007_[A-Za-z0-9_-]{0,80}\.png", picture_name(7, name))


@pytest.mark.filterwarnings("ignore:Argument .writer_name")
@pytest.mark.parametrize("name", ["a_", "a__", "x_y_", "A__b", "a" * 64])
@pytest.mark.parametrize("caption", sorted((ROOT / "rules" / "captions").glob("*.rst")), ids=str)
def test_captions_show_every_name_that_a_scene_may_have(caption: Path, name: str) -> None:
    wildcards = {"scene": name, "mode": "corrected", "K": "2", "division": "azimuth-overlap"}
    scene = {"name": name, "format": "photos", "division": "louvain", "K": 2}
    config = {"scenes": [scene, scene], "seeds": [0]}
    snakemake = SimpleNamespace(wildcards=SimpleNamespace(**wildcards), config=config)
    text = jinja2.Template(caption.read_text()).render(snakemake=snakemake)
    body = publish_parts(text, writer_name="html")["body"]
    assert "problematic" not in body and "system-message" not in body
    uses_it = "scene }}" in caption.read_text() or 'scene["name"]' in caption.read_text()
    assert (name in body) == uses_it
