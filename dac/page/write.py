"""The page as one file: sections filled into the template, behind a policy that lets nothing out.

The template escapes whatever it is given. The page may run its own scripts and use its own styles,
which the policy names by their SHA-256, and show pictures that it holds; it may load nothing.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import jinja2

from dac.page.chart import chart
from dac.page.facts import facts
from dac.page.found import Found, find
from dac.page.table import tables
from dac.page.turning import lighter, turning
from dac.page.views import cover, views
from dac.page.words import words
from dac.report.figures.convergence import SHOWN_DECIBELS
from dac.report.methods import METHOD_COLOURS, model_name
from dac.report.style import group_colours
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
    page = page_text(find(results, scene)).encode("utf-8")
    write_file(out, lambda part: part.write_bytes(page))
    return len(page)


def page_text(found: Found) -> str:
    """The page; equal results give equal text."""
    partition = found.partition
    turn = None if partition is None else turning(found.scene, partition, found.points)
    style = _asset("page.css") + _colours(0 if partition is None else partition.count)
    script = "\n".join(_asset(name) for name in _SCRIPTS)
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_ASSETS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("page.html")
    return template.render(
        name=one_line(found.main.scene),
        model=one_line(model_name(found.model)),
        division="" if partition is None else one_line(partition.division),
        notes=() if partition is None else [one_line(note, 300) for note in partition.notes],
        cover=cover(found.scene, found.points),
        words=words(found),
        tables=tables(found),
        turn=turn,
        chart=chart(found),
        views=views(found),
        facts=facts(found),
        cut_off=f"{SHOWN_DECIBELS:g}",
        seeds=max(len(row.runs) for row in found.main.rows),
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
