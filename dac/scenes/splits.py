"""Which views train and which test.

Views are in the order of their names; every rule is deterministic. Views that are neither (only
`farthest-point` leaves any) are no part of the scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from dac.errors import UserError
from dac.scenes.photos.viewpoints import farthest_point_sampling
from dac.scenes.views import Array, Finder, read_names
from dac.settings import SceneSettings

HOLD = 8


def split_views(
    names: Sequence[str],
    settings: SceneSettings,
    given: Sequence[Literal["train", "test"]] | None,
    where: Path,
    *,
    centres: Array,
) -> tuple[list[int], list[int], str]:
    """Split N views.

    Args:
        names: N sorted names.
        settings: `split`, and what it needs.
        given: the data set's own split, if it has one.
        where: the data set, for messages.
        centres: (N, 3) of the cameras.

    Returns:
        Training and test indices, ascending, and a sentence about them.

    Raises:
        UserError: no training or no test view is left; the data set gives no split; a list names an
            unknown view; there are fewer views than `farthest-point` is to choose.
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
    elif kind == "list":
        test = _listed(names, Path(settings.test_list or ""))
        rule = f"test views are listed in {settings.test_list}"
    else:
        return _spread(centres, settings.train_views, settings.test_views, where)
    train = sorted(set(range(count)) - set(test))
    for part, indices in (("training", train), ("test", test)):
        if not indices:
            raise UserError(
                where, f"no {part} view is left of {count}", "add images or change scene.split"
            )
    sentence = f"Split: {rule}; {len(train)} training views, {len(test)} test views."
    return train, test, sentence


def _spread(
    centres: Array, training: int, testing: int, where: Path
) -> tuple[list[int], list[int], str]:
    """The paper's way to spread views (Sec. 4.1.1), here over the cameras that there are.

    Training views are spread over all cameras, test views over those that are left.
    """
    count = len(centres)
    if training + testing > count:
        raise UserError(
            where,
            f"has {count} views, but {training} training and {testing} test views are wanted",
            "lower scene.train_views or scene.test_views",
        )
    train = farthest_point_sampling(centres, training, seed=0)
    rest = np.setdiff1d(np.arange(count), train)
    test = rest[farthest_point_sampling(centres[rest], testing, seed=0)]
    sentence = (
        f"Split: {training} training and {testing} test views by farthest point sampling over the "
        f"data set's {count} cameras. This departs from the paper, which samples the hemisphere "
        "and renders views of its own: its numbers can't be compared with these."
    )
    return sorted(train.tolist()), sorted(test.tolist()), sentence


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
