"""The arrays that an evaluation keeps of its scored views."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dac.errors import UserError


def load_array(folder: Path, name: Literal["renders.npy", "depth.npy"]) -> NDArray[Any]:
    """Renders (V, H, W, 3) uint8 or depth (V, H, W) float16 of an evaluation, memory-mapped.

    Raises:
        UserError: the file is missing or damaged.
    """
    path, again = folder / name, "run the evaluation again"
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(path, "no such file", again) from None
    except (OSError, ValueError) as error:
        raise UserError(path, f"is damaged ({error})", again) from None
    return array
