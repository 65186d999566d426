"""Every command of the pages that lead a reader is run somewhere: here is where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from doc_pages import ROOT, commands

PAGES = ["index.md", "tutorial.md", "extend.md", "api/index.md"]

# Command -> the file that runs it, and the words by which it does. What differs are sizes, and that
# a test may ask for the table alone.
RUN_IN = {
    "make demo": (".ci/run", "make demo"),
    "make lint": (".ci/run", "make lint"),
    "make test": (".ci/run", "make test"),
    "make docs": ("tests/docs/test_site.py", '"mkdocs", "build", "--strict"'),
    ".venv/bin/python docs/make_settings.py": (
        "tests/docs/test_extend.py",
        "docs/make_settings.py",
    ),
    ".venv/bin/python examples/distil_two_fields.py --steps 300": (
        "tests/examples/test_examples.py",
        '"distil_two_fields.py", "--steps"',
    ),
    ".venv/bin/python examples/render_path.py results --scene pocket_lighthouse --frames 60 "
    "--out frames": ("tests/examples/test_examples.py", '"render_path.py", trained'),
    ".venv/bin/snakemake results/garden/louvain-3/partition.png --cores all "
    "--configfile config/garden.yaml": ("tests/docs/test_extend.py", "partition.png"),
    ".venv/bin/snakemake --cores all --configfile config/garden.yaml": (
        "tests/docs/test_extend.py",
        '"--cores", "1", "--configfile"',
    ),
}


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_run_somewhere(page: str):
    for command in commands(ROOT / "docs" / page):
        assert command in RUN_IN, f"{page}: where is `{command}` tried?"


def test_the_places_are_there():
    said = {command for page in PAGES for command in commands(ROOT / "docs" / page)}
    assert set(RUN_IN) == said
    for file, words in RUN_IN.values():
        assert words in (ROOT / file).read_text(encoding="utf-8"), (file, words)


def test_make_targets_are_there():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for command in commands(ROOT / "docs" / page):
            if command.startswith("make "):
                assert command.split()[1] in targets, command


def test_the_tutorials_table_is_the_published_one():
    """Its screen shows the numbers of the results' page."""
    row = re.compile(r"(KPlanes \(\dx\)|DaC-KPlanes)\W+(\d.*)")

    def numbers(page: str, first: str) -> list[tuple[str, list[str]]]:
        text = (ROOT / page).read_text(encoding="utf-8").split(first, 1)[1]
        found = row.findall(text)[:6]
        return [(name, re.findall(r"[+−]?[\d.,]*\d", rest)) for name, rest in found]

    published = numbers("docs/results/README.md", "### The embedded demo")
    assert len(published) == 6
    assert numbers("docs/tutorial.md", "## 2. Read the table") == published


def test_examples_that_pages_name_are_there():
    for page in PAGES:
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for name in re.findall(r"examples/\w+\.py", text):
            assert Path(ROOT, name).is_file(), name
