"""The page as one file: sections filled into the template, behind a policy that lets nothing out.

The template escapes whatever it is given. The page may run its own scripts and use its own styles,
which the policy names by their SHA-256, and show pictures that it holds; it may load nothing.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from dac.page.chart import chart
from dac.page.comparison import comparison, cover
from dac.page.facts import facts
from dac.page.results import SceneResults, load_results
from dac.page.table import tables
from dac.page.turning import turning
from dac.page.words import words
from dac.report.curves import SHOWN_DECIBELS
from dac.report.methods import METHOD_COLOURS, model_name
from dac.report.notes import ORACLE, unsure
from dac.report.style import group_colours, lighter
from dac.report.table_files import template
from dac.report.text import one_line
from dac.storage.artifacts import write_file

_ASSETS = Path(__file__).parent / "assets"
_SCRIPTS = ("turn.js", "compare.js", "chart.js")


def write_page(results: Path, scene: str, out: Path) -> int:
    """Write the page of one scene.

    Args:
        results: the workflow's results folder.
        scene: one of its scenes.
        out: the HTML file, whole or not at all.

    Returns:
        Its size in bytes.

    Raises:
        UserError: nothing was scored yet; a file is damaged; the file can't be written.
    """
    page = page_text(load_results(results, scene)).encode("utf-8")
    write_file(out, lambda part: part.write_bytes(page))
    return len(page)


def page_text(results: SceneResults) -> str:
    """The page; equal results give equal text."""
    partition = results.partition
    turn = None if partition is None else turning(results.scene, partition, results.points)
    style = _asset("page.css") + _colours(0 if partition is None else partition.count)
    script = "\n".join(_asset(name) for name in _SCRIPTS)
    return template("page.html", _ASSETS).render(
        name=one_line(results.main.scene),
        model=one_line(model_name(results.model)),
        division="" if partition is None else one_line(partition.division),
        group="" if partition is None else partition.word,
        notes=() if partition is None else [one_line(note, 300) for note in partition.notes],
        cover=cover(results.scene, results.points),
        words=words(results),
        tables=tables(results),
        turn=turn,
        chart=chart(results),
        comparison=comparison(results),
        facts=facts(results),
        oracle=ORACLE,
        unsure=unsure("not a gain."),
        cut_off=f"{SHOWN_DECIBELS:g}",
        seeds=max(len(row.runs) for row in (*results.rows, *results.control_rows)),
        style=style,
        script=script,
        policy=_policy(style, script),
    )


def _policy(style: str, script: str) -> str:
    """What the page may do."""
    allowed = {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": f"'sha256-{_digest(style)}'",
        "script-src": f"'sha256-{_digest(script)}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{what} {where}" for what, where in allowed.items())


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _colours(groups: int) -> str:
    """Style rules for the colours of methods and groups, on light and on dark pages."""
    named = {f".m-{method}": colour for method, colour in METHOD_COLOURS.items()}
    named |= {f".g-{i}": colour for i, colour in enumerate(group_colours(groups))}
    light = "".join(f"{name}{{--own:{colour}}}" for name, colour in named.items())
    dark = "".join(f"{name}{{--own:{lighter(colour)}}}" for name, colour in named.items())
    return f"{light}\n@media (prefers-color-scheme:dark){{{dark}}}\n"
