"""Whatever users name their scenes and images, the report shows it and runs nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
import toy
from docutils.core import publish_parts
from matplotlib.figure import Figure
from matplotlib.text import Text

from dac.evaluation.pictures import picture_name
from dac.report.figures import (
    controls as controls_figure,
)
from dac.report.figures import (
    convergence,
    convergence_study,
    experts,
    losses,
    overlap,
    points,
    qualitative,
)
from dac.report.figures import (
    equal_path as equal_path_figure,
)
from dac.report.figures.partition import partition_figure
from dac.report.tables import ablation, controls, equal_path, main
from dac.report.tables.main import format_main_table, read_main_table
from dac.report.text import for_figure, one_line
from dac.scenes.scene import Scene

Record = Callable[..., Path]
Drawn = Callable[..., dict[str, Path]]

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


def _study_of(record: Record, name: str) -> list[Path]:
    """Runs for every figure of records, where scene, model and mode are called so."""
    routed = {"groups": (0, 0, 1), "expert_psnr": [(30.0, 29.0)] * 3, "division": "azimuth", "K": 2}
    kept = {"model": name, "mode": name, "distill_steps": 50}
    records = [record(name, f"baseline-{i}x", 20.0 + i, model=name, steps=100 * i) for i in (1, 2)]
    records += [record(name, "experts", 21.0, model=name, **routed)]
    for division, K in (("azimuth", 2), ("azimuth-overlap", 3)):
        for mode in (name, "paper"):
            more = kept | {"mode": mode, "division": division, "K": K}
            records.append(record(name, "dac", 21.0, **more))
    return records


HOSTILE = [
    "$x^{2$ \x1b\u202eשלום\n\\",
    *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:4] + NAMES[8:15]),
]


def _shows(figures: list[Figure], name: str) -> bool:
    """Whether the newest figure shows the beginning of a name, and never takes it for mathematics.

    What is set as mathematics on purpose are bold numbers.
    """
    texts = [text.get_text() for text in figures[-1].findobj(Text)]
    shown = [text for text in texts if for_figure(name)[:5] in text]
    for text in shown:
        ours = re.sub(r"\$\\bf\{[\d.]+\}\$", "", text)
        assert not Text(0, 0, ours)._preprocess_math(ours)[1], text
    return bool(shown)


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", HOSTILE)
def test_figures(
    study: Path, curves: dict[str, list[Path]], drawn: Drawn, figures: list[Figure], name: str
) -> None:
    _everywhere(study, name)
    scene, sparse = [study / "scene" / "scene.json"], [study / "points.npz"]
    reference, ours, routed = (
        [study / run / "evaluation.json"] for run in ("reference", "ours", "experts")
    )
    report = {"report": {"crops": 1, "dpi": 50}}
    drawn(qualitative, settings=report, scenes=scene, baselines=reference, ours=ours)
    assert _shows(figures, name)
    drawn(points, scene=scene, points=sparse, baseline=reference, ours=ours)
    assert _shows(figures, name)
    drawn(experts, experts=routed, baseline=reference)
    assert _shows(figures, name)
    for module in (convergence, losses):
        drawn(module, called=name, **curves)
        assert _shows(figures, name)
    loaded = Scene.load(study / "scene")
    partition_figure(loaded, toy.halves(loaded), None, study / "p.png", study / "p.pdf")
    assert _shows(figures, name)


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", [*HOSTILE, "x" * 3000])
@pytest.mark.parametrize("module", [controls_figure, convergence_study, overlap])
def test_figures_of_records(
    record: Record, drawn: Drawn, figures: list[Figure], module: Any, name: str
) -> None:
    records = _study_of(record, name)
    if module is controls_figure:  # which takes one division
        records = [file for file in records if "azimuth-overlap" not in file.read_text()]
    drawn(module, records=records)
    assert _shows(figures, name)


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
        if self.cells and self.tags[-1] in ("td", "strong"):
            self.cells[-1] += data
        if self.heads and self.tags[-1] == "th":
            self.heads[-1] += data


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", HOSTILE)
def test_equal_paths(
    equal_path_study: Callable[..., list[Path]],
    written: Callable[..., Any],
    drawn: Drawn,
    figures: list[Figure],
    name: str,
) -> None:
    pages = []
    for each in ("plain", name):
        files = equal_path_study(each, seeds=[0], model=each, mode=each)
        routed = {"routed": {each: ["azimuth", 4, 0.25]}}
        drawn(equal_path_figure, records=files, settings=routed)
        table = written(equal_path, files, **routed)
        pages.append(_Tags(table.html))
    assert _shows(figures, name) and pages[0].tags == pages[1].tags
    shown = (*pages[1].cells, *pages[1].heads)
    assert one_line(name) in shown and list(table.csv["scene"].unique()) == [name]


TABLES = [main, ablation, controls]


def _table(
    module: Any, record: Record, written: Callable[..., Any], name: str, mode: str = "other"
) -> Any:
    """A table's files where scene, model, division and mode are called `name`."""
    divided = {"division": name, "K": 3, "mode": name, "distill_steps": 50}
    records = [record(name, f"baseline-{i}x", 20.0 + i, model=name) for i in (1, 2)]
    records += [record(name, "dac", 20.0, model=name, **divided)]
    records += [record(name, "dac", 20.0, model=name, **(divided | {"mode": mode}))]
    records += [record("zoo", "dac", 20.0, **divided)]
    divisions = {name: [name, 3], "zoo": [name, 3]}
    return written(module, records, "division", paper_values=True, divisions=divisions)


@pytest.mark.parametrize("module", TABLES)
@pytest.mark.parametrize("name", NAMES)
def test_tables(module: Any, record: Record, written: Callable[..., Any], name: str) -> None:
    plain = _table(module, record, written, "plain")
    table = _table(module, record, written, name)
    page, usual = _Tags(table.html), _Tags(plain.html)
    assert page.tags == usual.tags
    assert one_line(name) in (*page.cells, *page.heads)
    for kind, cell in (("md", r"(?<!\\)(?:\\\\)*\|"), ("tex", r"(?<!\\)(?:\\\\)*&")):
        lines, expected = getattr(table, kind).splitlines(), getattr(plain, kind).splitlines()
        assert len(lines) == len(expected)
        for line, other in zip(lines, expected, strict=True):
            assert len(re.findall(cell, line)) == len(re.findall(cell, other))
    rows = [line for line in table.tex.splitlines() if "&" in line]
    assert not any(row.lstrip().startswith(("[", "*")) for row in rows)
    for line in table.tex.splitlines():
        assert set(re.findall(r"\\[a-zA-Z]+", line)) <= LATEX_COMMANDS
    for sign in ("$", "&", "<", "`"):
        unescaped = rf"(?<!\\){re.escape(sign)}"
        assert not re.search(unescaped, table.md.replace("| ", ""))
    assert list(table.csv["scene"]).count(name) == 4
    if module is main:
        assert [row["scene"] for row in read_main_table(table.files["csv"])] == [name] * 4 + ["zoo"]
        assert one_line(name) in format_main_table(table.files["csv"])


@pytest.mark.parametrize("name", ["NA", "None", "nan", "null", "007"])
@pytest.mark.parametrize("module", TABLES)
def test_scenes_called_like_missing_values(
    module: Any, record: Record, written: Callable[..., Any], name: str
) -> None:
    table = _table(module, record, written, name)
    assert list(table.csv["scene"]).count(name) == 4 and f"{name} " in table.md
    if module is main:
        assert f"{name}  " in format_main_table(table.files["csv"])


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
