"""Links between the repository's files, on the site."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("mkdocs")

ROOT = Path(__file__).parents[2]


def _hooks():
    spec = importlib.util.spec_from_file_location("site_links", ROOT / "docs" / "site_links.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "source, page, link, moved",
    [
        ("docs/gpu.md", "gpu.md", "[a](kernels.md)", "[a](kernels.md)"),
        ("docs/gpu.md", "gpu.md", "[a](#here)", "[a](#here)"),
        ("docs/gpu.md", "gpu.md", "[a](https://b.org/c.md)", "[a](https://b.org/c.md)"),
        ("docs/gpu.md", "gpu.md", "[a](../CONTRIBUTING.md#b)", "[a](contributing.md#b)"),
        ("docs/gpu.md", "gpu.md", "[a](../scenes/README.md)", "[a](scenes.md)"),
        ("docs/gpu.md", "gpu.md", "[the licence](../LICENSE)", "the licence"),
        ("docs/gpu.md", "gpu.md", "[a](../gone.md)", "[a](../gone.md)"),
        ("docs/gpu.md", "gpu.md", "![a](images/place.jpg)", "![a](images/place.jpg)"),
        ("docs/results/README.md", "results/README.md", "[a](../gpu.md)", "[a](../gpu.md)"),
        ("docs/results/README.md", "results/README.md", "[a](../../README.md)", "[a](../index.md)"),
        ("CONTRIBUTING.md", "contributing.md", "[a](docs/gpu.md#b)", "[a](gpu.md#b)"),
        ("scenes/README.md", "scenes.md", "[a](../docs/gpu.md)", "[a](gpu.md)"),
    ],
)
def test_links_are_moved(source: str, page: str, link: str, moved: str):
    assert _hooks().relinked(f"see {link}.", source, page, ROOT) == f"see {moved}."
