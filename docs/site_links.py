"""Hooks of the documentation site: pages that lie outside of docs/, and links that lead there.

Markdown files link to each other by paths, as they are read in the repository. On the site some
lie elsewhere, and most files of the repository have no page: links to pages are moved, of links to
other files the words stay. What leads nowhere is left as it is, and the build says so.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# A file of the repository -> its page.
PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "README.md": "index.md",
    "scenes/README.md": "scenes.md",
}
_SOURCES = {page: source for source, page in PAGES.items() if page != "index.md"}
_LINK = re.compile(r"(?<!!)\[(?P<words>[^\[\]]+)\]\((?P<path>[^()\s#:]+)(?P<anchor>#[^()\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/."""
    root = Path(config.config_file_path).parent
    for page, source in _SOURCES.items():
        files.append(File.generated(config, page, abs_src_path=str(root / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Move the links of a page."""
    root = Path(config.config_file_path).parent
    uri = page.file.src_uri
    return relinked(markdown, _SOURCES.get(uri, f"docs/{uri}"), uri, root)


def relinked(markdown: str, source: str, page: str, root: Path) -> str:
    """Links between the repository's files as links between pages.

    Args:
        markdown: of a file.
        source: the file, relative to the repository.
        page: its page, relative to docs/.
        root: of the repository.
    """

    def moved(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link["path"]))
        target = path.removeprefix("docs/") if path.startswith("docs/") else PAGES.get(path)
        if target is not None:
            there = posixpath.relpath(target, posixpath.dirname(page) or ".")
            return f"[{link['words']}]({there}{link['anchor'] or ''})"
        return link["words"] if (root / path).exists() else link[0]

    return _LINK.sub(moved, markdown)
