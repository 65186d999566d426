"""As much of Blender's mathutils as the script needs."""

from __future__ import annotations

from typing import Any

import numpy as np


def Matrix(rows: Any) -> Any:  # noqa: N802 (Blender's name)
    return np.array(rows)
