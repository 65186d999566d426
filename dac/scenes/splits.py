"""Which views train and which test.

Views are in the order of their names; every rule is deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from dac.errors import UserError
from dac.scenes.views import Finder, read_names
from dac.settings import SceneSettings

HOLD = 8


def split(
    names: Sequence[str],
    settings: SceneSettings,
    given: Sequence[Literal["train", "test"]] | None,
    where: Path,
) -> tuple[list[int], list[int], str]:
    """Split N views.

    Args:
        names: N sorted names.
        settings: `split`, and what it needs.
        given: the data set's own split, if it has one.
        where: the data set, for messages.

    Returns:
        Training and test indices, ascending, and a sentence about them.

    Raises:
        UserError: no training or no test view is left; the data set gives no split; a list names an
            unknown view.
    """
    kind = settings.split or ("every-8th" if given is None else "given")
    count = len(names)
    if kind == "given":
        if given is None:
            raise UserError(where, "the data set gives no split", "choose scene.split: every-8th")
        test = [i for i, part in enumerate(given) if part == "test"]
        rule = "as the data set gives it"
    elif kind == "every-8th":
        test = list(range(0, count, HOLD))
        rule = "every 8th by name is a test view"
    elif kind == "fraction":
        wanted = max(1, round(settings.test_fraction * count))
        test = sorted({int(i) for i in (np.arange(wanted) + 0.5) * count / wanted})
        rule = f"{settings.test_fraction:g} of the views, evenly spread by name, are test views"
    else:
        test = _listed(names, Path(settings.test_list or ""))
        rule = f"test views are listed in {settings.test_list}"
    train = sorted(set(range(count)) - set(test))
    for part, indices in (("training", train), ("test", test)):
        if not indices:
            raise UserError(
                where, f"no {part} view is left of {count}", "add images or change scene.split"
            )
    sentence = f"Split: {rule}; {len(train)} training views, {len(test)} test views."
    return train, test, sentence


def _listed(names: Sequence[str], file: Path) -> list[int]:
    chosen: set[int] = set()
    find = Finder(names)
    for entry in read_names(file):
        found = find(entry)
        if len(found) != 1:
            what = "is no view" if not found else f"may mean {len(found)} views"
            raise UserError(file, f"{entry} {what}", "name one view a line")
        chosen.update(found)
    return sorted(chosen)
