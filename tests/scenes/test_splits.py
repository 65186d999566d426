"""Splits: deterministic, disjoint, never empty."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dac.errors import UserError
from dac.scenes import splits
from dac.settings import SceneSettings

WHERE = Path("data")


def split(names: list[str], settings: SceneSettings, given: Any, where: Path) -> Any:
    """As the function, of cameras in a row."""
    centres = np.arange(3.0 * len(names)).reshape(-1, 3)
    return splits.split_views(names, settings, given, where, centres=centres)


def names(count: int) -> list[str]:
    return [f"images/{i:04d}.jpg" for i in range(count)]


@pytest.mark.parametrize("count", [2, 7, 8, 9, 16, 17, 100, 251])
def test_every_8th_is_llffs_rule(count: int) -> None:
    train, test, _ = split(names(count), SceneSettings(), None, WHERE)
    assert test == [i for i in range(count) if i % 8 == 0]
    assert train == [i for i in range(count) if i % 8]


@pytest.mark.parametrize("count", [2, 5, 30, 101])
@pytest.mark.parametrize("fraction", [0.01, 0.125, 0.5, 0.9])
def test_a_fraction_is_spread_evenly(count: int, fraction: float) -> None:
    settings = SceneSettings(split="fraction", test_fraction=fraction)
    wanted = max(1, round(fraction * count))
    if wanted == count:
        with pytest.raises(UserError, match="no training view"):
            split(names(count), settings, None, WHERE)
        return
    train, test, _ = split(names(count), settings, None, WHERE)
    assert len(test) == wanted and sorted(train + test) == list(range(count))
    gaps = [b - a for a, b in itertools.pairwise(test)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_given_is_the_default_where_there_is_one() -> None:
    given: Any = ["train", "test", "train"]
    assert split(names(3), SceneSettings(), given, WHERE)[:2] == ([0, 2], [1])
    every = SceneSettings(split="every-8th")
    assert split(names(3), every, given, WHERE)[:2] == ([1, 2], [0])
    with pytest.raises(UserError, match="gives no split"):
        split(names(3), SceneSettings(split="given"), None, WHERE)


def test_a_list_names_test_views_in_full_or_in_short(tmp_path: Path) -> None:
    file = tmp_path / "test.txt"
    settings = SceneSettings(split="list", test_list=str(file))
    file.write_text("# held out\n0003.jpg\n\nimages/0001.jpg\n")
    assert split(names(5), settings, None, WHERE)[:2] == ([0, 2, 4], [1, 3])
    file.write_text("0009.jpg\n")
    with pytest.raises(UserError, match=r"0009\.jpg is no view"):
        split(names(5), settings, None, WHERE)
    file.write_text("1.jpg\n")
    with pytest.raises(UserError, match="may mean 2 views"):
        split(["a/1.jpg", "b/1.jpg", "c.jpg"], settings, None, WHERE)
    file.unlink()
    with pytest.raises(UserError, match="no such file"):
        split(names(5), settings, None, WHERE)


def test_no_part_may_be_empty(tmp_path: Path) -> None:
    everything: Any = ["test"] * 3
    with pytest.raises(UserError, match="no training view is left of 3"):
        split(names(3), SceneSettings(), everything, WHERE)
    (tmp_path / "none.txt").write_text("# nothing\n")
    settings = SceneSettings(split="list", test_list=str(tmp_path / "none.txt"))
    with pytest.raises(UserError, match="no test view is left of 3"):
        split(names(3), settings, None, WHERE)


@given(st.integers(2, 60), st.integers(0, 99), st.data())
def test_farthest_points_are_spread_and_disjoint(
    count: int, seed: int, data: st.DataObject
) -> None:
    training = data.draw(st.integers(1, count - 1))
    testing = data.draw(st.integers(1, count - training))
    centres = np.random.default_rng(seed).normal(size=(count, 3))
    settings = SceneSettings(split="farthest-point", train_views=training, test_views=testing)
    train, test, sentence = splits.split_views(names(count), settings, None, WHERE, centres=centres)
    assert (len(set(train)), len(set(test))) == (training, testing)
    assert not set(train) & set(test) and train == sorted(train) and test == sorted(test)
    assert f"{training} training and {testing} test views" in sentence
    # No camera lies farther from its nearest training view than two training views do.
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    if training > 1:
        between = apart[np.ix_(train, train)] + np.diag(np.full(training, np.inf))
        assert apart[:, train].min(axis=1).max() <= between.min() + 1e-12


def test_farthest_points_need_enough_views() -> None:
    settings = SceneSettings(split="farthest-point", train_views=4, test_views=2)
    with pytest.raises(UserError, match="has 5 views, but 4 training and 2 test views are wanted"):
        split(names(5), settings, None, WHERE)
