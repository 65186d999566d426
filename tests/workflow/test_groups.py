"""`K: auto`: by the views that will train, and only where the data can be asked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from project import ROOT, TINY

from dac.configuration import Configuration, ResolvedScene
from dac.divide.groups import MOST_GROUPS, VIEWS_A_GROUP, groups_for
from dac.errors import UserError
from dac.workflow.groups import choose_groups, training_views


def entry(**changes: Any) -> dict[str, Any]:
    given = {"name": "ball", "path": "data/ball", "format": "colmap", "division": "azimuth"}
    return {**given, "K": "auto", **changes}


def scene(**changes: Any) -> ResolvedScene:
    one = Configuration.checked({**TINY, "scenes": [entry(**changes)]}, "c", lambda _: 5)
    assert one.scenes["ball"].K == 5 and one.settings.scenes[0].K == "auto"
    return one.scenes["ball"]


@given(st.integers(0, 10_000))
def test_a_group_has_its_views_and_there_are_not_too_many(views: int) -> None:
    K = groups_for(views)
    assert 2 <= K <= MOST_GROUPS and groups_for(views + 1) >= K
    assert K == 2 or views // K >= VIEWS_A_GROUP
    assert K == MOST_GROUPS or views < (K + 1) * VIEWS_A_GROUP


@pytest.mark.parametrize(
    ("changes", "views"),
    [
        ({"format": "blender", "path": str(ROOT / "scenes/pocket-lighthouse")}, 180),
        ({"format": "photos", "path": str(ROOT / "scenes/village-square/images")}, 63),
        ({"settings": {"scene": {"split": "farthest-point", "train_views": 33}}}, 33),
        ({"format": "blend", "settings": {"render": {"train_views": 50}}}, 50),
        ({"format": "video", "settings": {"video": {"frames": 17}}}, 14),
    ],
)
def test_the_views_that_will_train_are_counted(changes: dict[str, Any], views: int) -> None:
    assert training_views(scene(**changes)) == views
    assert choose_groups(scene(**changes)) == groups_for(views)


def test_data_that_are_not_there_are_one_line() -> None:
    with pytest.raises(UserError, match="data/ball: no such file or folder"):
        choose_groups(scene())


def test_a_number_is_never_asked_about() -> None:
    def refuse(_: ResolvedScene) -> int:
        raise AssertionError

    assert Configuration.checked(TINY, "c", refuse).scenes["ball"].K == 2
    with pytest.raises(UserError, match=r"c: scenes.ball.K: 'auto' needs the data set"):
        Configuration.checked({**TINY, "scenes": [entry()]}, "c")
    with pytest.raises(UserError, match=r"scenes\.0\.K"):
        Configuration.checked({**TINY, "scenes": [entry(K="some")]}, "c")
