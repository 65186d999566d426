"""The settings page and the JSON schema follow dac/settings.py."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _generator():
    spec = importlib.util.spec_from_file_location("make_settings", ROOT / "docs/make_settings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_files_are_up_to_date():
    generator = _generator()
    for path, text in [
        ("docs/settings.md", generator.settings_page()),
        ("config/schema.json", generator.schema_text()),
    ]:
        stale = f"{path}: run `python docs/make_settings.py`"
        assert (ROOT / path).read_text(encoding="utf-8") == text, stale
