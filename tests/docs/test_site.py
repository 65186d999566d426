"""The documentation as a site: whole, without a broken link, and by itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]

# What a browser fetches without being asked: tag -> attributes that name it.
FETCHED = {
    "audio": ["src"],
    "embed": ["src"],
    "iframe": ["src"],
    "img": ["src", "srcset"],
    "input": ["src"],
    "link": ["href"],
    "object": ["data"],
    "script": ["src"],
    "source": ["src", "srcset"],
    "video": ["src", "poster"],
}


@dataclass
class Html(HTMLParser):
    """A page's ids, links, and what it makes a browser fetch."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self.ids |= {said[name] for name in ("id", "name") if name in said}
        if tag == "a" and "href" in said:
            self.links.append(said["href"])
        self.fetched += [said[name] for name in FETCHED.get(tag, []) if name in said]


def read(page: Path) -> Html:
    html = Html()
    html.feed(page.read_text(encoding="utf-8"))
    return html


def faults(site: Path) -> list[str]:
    """What is broken in a site, or fetched from elsewhere, one line each."""
    pages = {page: read(page) for page in site.rglob("*.html")}
    found = []
    for page, html in pages.items():
        name = page.relative_to(site)
        for target in html.fetched:
            parts = urlsplit(target)
            if parts.netloc or parts.scheme not in ("", "data"):
                found.append(f"{name} fetches {target}")
        for target in [*html.links, *html.fetched]:
            parts = urlsplit(target)
            if parts.scheme in ("http", "https"):
                if "." not in parts.netloc:
                    found.append(f"{name}: {target} is no address")
            elif parts.scheme not in ("", "data", "mailto"):
                found.append(f"{name}: {target} has an odd scheme")
            elif parts.scheme == "" and (fault := _missing(site, page, pages, target)):
                found.append(f"{name}: {fault}")
    return found


def _missing(site: Path, page: Path, pages: dict[Path, Html], target: str) -> str | None:
    parts = urlsplit(target)
    path = unquote(parts.path)
    # Only the page for addresses that don't exist begins at the site's root.
    base = site / path.lstrip("/") if path.startswith("/") else page.parent / path
    there = Path(os.path.normpath(base)) if path else page
    if there.is_dir():
        there /= "index.html"
    if not there.is_file() or not there.is_relative_to(site):
        return f"{target} leads nowhere"
    anchor = unquote(parts.fragment)
    if anchor and there in pages and anchor not in pages[there].ids:
        return f"{target}: no such anchor"
    return None


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "built"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return folder


@pytest.mark.slow
def test_links_lead_somewhere_and_nothing_is_fetched_from_elsewhere(site: Path):
    assert faults(site) == []


@pytest.mark.slow
def test_every_page_is_there(site: Path):
    sources = {page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")}
    for source in sources:
        name = "index.html" if source.name == "README.md" else f"{source.stem}.html"
        assert (site / source.with_name(name)).is_file(), source
    for name in ("contributing.html", "changelog.html", "scenes.html"):
        assert (site / name).is_file()
    assert not list(site.rglob("*.py"))


@pytest.mark.slow
def test_the_reference_holds_docstrings(site: Path):
    page = read(site / "api" / "cameras.html")
    assert {"dac.cameras.Cameras", "dac.cameras.Cameras.rays"} <= page.ids
    training = read(site / "api" / "training.html")
    assert "dac.training.batches.RayBatches.__call__" in training.ids
    names = [name for name in page.ids | training.ids if name.startswith("dac.")]
    assert not [name for name in names if re.search(r"\._[^_]", name)], "private"
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    assert "owners_of_views" in index, "search reaches docstrings"


BROKEN = """<link href="https://fonts.example.org/a.css">
<script src="//cdn.example.org/b.js"></script>
<img src="c.png"><a href="other.html#there">1</a><a href="other.html#gone">2</a>
<a href="gone.html">3</a><a href="https://nowhere">4</a><a href="javascript:x()">5</a>
<a href="../outside.html">6</a><a href="https://example.org/fine">7</a>"""


def test_the_checker_sees_what_is_broken(tmp_path: Path):
    site = tmp_path / "site"
    site.mkdir()
    (tmp_path / "outside.html").write_text("")
    (site / "page.html").write_text(BROKEN)
    (site / "other.html").write_text('<h1 id="there">x</h1><a href="#there">y</a>')
    assert faults(site) == [
        "page.html fetches https://fonts.example.org/a.css",
        "page.html fetches //cdn.example.org/b.js",
        "page.html: other.html#gone: no such anchor",
        "page.html: gone.html leads nowhere",
        "page.html: https://nowhere is no address",
        "page.html: javascript:x() has an odd scheme",
        "page.html: ../outside.html leads nowhere",
        "page.html: //cdn.example.org/b.js leads nowhere",
        "page.html: c.png leads nowhere",
    ]
