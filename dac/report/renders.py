"""Evaluations of one scene with the arrays that they keep of their scored views."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dac.errors import UserError
from dac.evaluation.records import Evaluation, ImageScore


class Renders:
    """An evaluation and its pictures.

    Attributes:
        folder: the evaluation's.
        record: its record.
        index: view -> its place in the arrays.
    """

    def __init__(self, folder: Path) -> None:
        """Load the record.

        Raises:
            UserError: it is missing or damaged.
        """
        self.folder = folder
        self.record = Evaluation.load(folder)
        self.index = {image.name: i for i, image in enumerate(self.record.images)}

    @cached_property
    def images(self) -> NDArray[np.uint8]:
        """(V, H, W, 3) of the scored views, memory-mapped.

        Raises:
            UserError: the file is missing or damaged.
        """
        return self._array("renders.npy")

    @cached_property
    def depth(self) -> NDArray[np.float16]:
        """(V, H, W), likewise."""
        return self._array("depth.npy")

    def image(self, view: str) -> NDArray[np.uint8]:
        """(H, W, 3) of one view."""
        return np.asarray(self.images[self.index[view]])

    def score(self, view: str) -> ImageScore:
        """Of one view."""
        return self.record.images[self.index[view]]

    def _array(self, name: Literal["renders.npy", "depth.npy"]) -> NDArray[Any]:
        path, again = self.folder / name, "run the evaluation again"
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise UserError(path, "no such file", again) from None
        except (OSError, ValueError) as error:
            raise UserError(path, f"is damaged ({error})", again) from None
        return array


def common_views(methods: Sequence[Renders]) -> list[str]:
    """The views that all of them score, in the first one's order."""
    return [view for view in methods[0].index if all(view in other.index for other in methods)]
