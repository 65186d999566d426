from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dac.catalogue import TrainedModel
from dac.runs import Run
from dac.viewer.groups import colours
from dac.viewer.models import labels


def test_colours_are_the_figures_and_grey_comes_last() -> None:
    assert colours(2) == [(0, 114, 178), (230, 159, 0), (154, 154, 154)]


def model(name: str, seed: int = 0) -> TrainedModel:
    run = Run.parse(f"toy/kplanes/seed{seed}/{name}")
    assert run is not None
    return TrainedModel(**vars(run), folder=Path(name))


def test_labels_are_titles_and_say_more_only_where_they_must() -> None:
    one, two = model("baseline-5"), model("baseline-9")
    assert list(labels([one, two])) == ["baseline, 5 steps", "baseline, 9 steps"]
    assert list(labels([one, replace(one, seed=3)])) == [
        "seed 0: baseline, 5 steps",
        "seed 3: baseline, 5 steps",
    ]
    restarts = [model("baseline-3-restart-9"), model("baseline-4-restart-9")]
    assert list(labels(restarts)) == [
        "baseline, restarted, 9 steps [baseline-3-restart-9]",
        "baseline, restarted, 9 steps [baseline-4-restart-9]",
    ]
    assert list(labels(restarts).values()) == restarts
