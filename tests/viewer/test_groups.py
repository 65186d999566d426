from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import toy

from dac.catalogue import TrainedModel
from dac.divide.partition import Partition
from dac.scenes.points import Points
from dac.viewer.groups import colours, group_of_points, owners
from dac.viewer.models import labels


def points(*tracks: tuple[int, ...]) -> Points:
    count = len(tracks)
    return Points(
        xyz=np.zeros((count, 3), np.float32),
        rgb=np.zeros((count, 3), np.uint8),
        offsets=np.cumsum([0, *map(len, tracks)]),
        views=np.array([view for track in tracks for view in track], np.int32),
        error=np.zeros(count, np.float32),
    )


def test_cameras_go_by_their_owner_and_points_by_most_of_their_views() -> None:
    scene = toy.scene()
    owner = owners(scene, toy.halves(scene))
    assert owner.tolist() == [0] * 6 + [1] * 6
    # The training views are 0 2 3 4 6 7 of the first half turn and 8 10 11 12 14 15 of the second;
    # 1 and 5 are test views.
    seen = points((0, 2, 8), (3, 12, 14), (1, 5), (1, 15), ())
    assert group_of_points(scene, seen, owner, 2).tolist() == [0, 1, 2, 1, 2]
    assert group_of_points(scene, points((), ()), owner, 2).tolist() == [2, 2]


def test_views_that_a_partition_doesn_t_know_belong_to_no_group() -> None:
    scene = toy.scene()
    first = scene.names[scene.train[0]]
    assert owners(scene, Partition("azimuth", ((first,),), {first: 0})).tolist() == [0] + [1] * 11
    assert set(owners(scene, None).tolist()) == {0}


def test_colours_are_the_figures_and_grey_comes_last() -> None:
    assert colours(2) == [(0, 114, 178), (230, 159, 0), (154, 154, 154)]


def model(name: str, kind: str = "baseline", seed: int = 0) -> TrainedModel:
    steps = int(name.rsplit("-", 1)[1])
    values = (None, None, None, None, 0, steps)
    return TrainedModel(Path(name), "toy", "kplanes", seed, name, kind, *values)  # type: ignore[arg-type]


def test_labels_are_titles_and_say_more_only_where_they_must() -> None:
    one, two = model("baseline-5"), model("baseline-9")
    assert list(labels([one, two])) == ["baseline, 5 steps", "baseline, 9 steps"]
    assert list(labels([one, replace(one, seed=3)])) == [
        "seed 0: baseline, 5 steps",
        "seed 3: baseline, 5 steps",
    ]
    restarts = [model("baseline-3-restart-9", "restart"), model("baseline-4-restart-9", "restart")]
    assert list(labels(restarts)) == [
        "baseline, restarted, 9 steps [baseline-3-restart-9]",
        "baseline, restarted, 9 steps [baseline-4-restart-9]",
    ]
    assert list(labels(restarts).values()) == restarts
