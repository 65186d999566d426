"""The tables, a module each: `write` makes all files of one.

`write(records, outputs, settings, study)` has one face for all of them: `evaluation.json` files (or
the folders that hold them), the files `csv`, `md`, `tex` and `html` to write, the frozen settings,
and the study's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

Outputs = Mapping[str, Path]
Settings = Mapping[str, Any]
