"""The figures, a module each: `draw` makes all files of one.

`draw(inputs, outputs, settings, wildcards)` has one face for all of them: named lists of files to
read, named files to write (`png`, `pdf`), the frozen settings, and what the result's path says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Inputs = Mapping[str, Sequence[Path]]
Outputs = Mapping[str, Path]
Settings = Mapping[str, Any]
Wildcards = Mapping[str, str]
