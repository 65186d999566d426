"""The study of equal paths: its units, what each row is held against, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dac.errors import UserError
from dac.report.equal_path import METHODS, EqualPath, Setup, equal_path
from dac.report.equal_path_findings import sentences

Recorder = Callable[..., Path]
Study = Callable[..., list[Path]]
ROUTED: dict[str, list[Any]] = {"zoo": ["azimuth", 4, 0.25]}


def _lines(found: EqualPath, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(line, name) for name in names) for line in found.lines]


def test_units_are_an_experts_steps(equal_path_study: Study) -> None:
    (found,) = equal_path(equal_path_study()[::-1], ROUTED)
    assert _lines(found, "method", "path", "compute") == [
        ("baseline", 1, 1),
        ("big_batch", 1, 4),
        ("wide", 1, 1),
        ("routed", 1, 4),
        ("routed_trunk", 1, 1.75),
        ("routed_trunk", 1, 3.25),
        ("routed_trunk", 1, 2.5),
        ("routed_trunk", 1, 6.25),
        ("routed_random", 1, 3.25),
        ("baseline", 2, 2),
        ("routed_trunk", 2, 6.5),
        ("merged", 2, 4.25),
        ("distilled", 2.1, 5.1),
        ("baseline", 3.25, 3.25),
        ("baseline", 4, 4),
        ("baseline", 6.5, 6.5),
    ]
    assert {line.method for line in found.lines} == set(METHODS)
    assert [(line.path, line.label.K) for line in found.ours] == [(1, 4), (2, 4)]


def test_what_is_held_against_what(equal_path_study: Study) -> None:
    """The baseline of as many steps; where there is none, the next longer one; else none."""
    (found,) = equal_path(equal_path_study(), ROUTED)

    def steps(method: str, of: str) -> list[int | None]:
        rows = [getattr(line, of) for line in found.of(method)]
        return [None if row is None else row.label.steps for row in rows]

    assert steps("baseline", "beside") == steps("baseline", "equal") == [None] * 5
    assert steps("big_batch", "beside") == [100] and steps("big_batch", "equal") == [400]
    assert steps("routed_trunk", "beside") == [100, 100, 100, 100, 200]
    assert steps("routed_trunk", "equal") == [200, 325, 325, 650, 650]
    assert steps("merged", "beside") == [200] and steps("distilled", "beside") == [325]
    ours = found.ours[0]
    assert ours.gain is not None and ours.gain.mean == pytest.approx(2.0)
    assert ours.gain_at_equal_compute is not None
    assert ours.gain_at_equal_compute.mean == pytest.approx(0.2)
    assert ours.gain_over_batch is not None and ours.gain_over_batch.mean == pytest.approx(0.5)
    assert [line.batch is not None for line in found.of("routed_trunk")] == [
        *(False, True, True, False, False)  # K = 2, 4, 4, 8, and path 2x
    ]
    (shorter,) = equal_path([*equal_path_study()[:2], *equal_path_study()[-2:]], ROUTED)
    assert shorter.of("distilled")[0].gain is None


def test_a_setup_knows_its_routed_models(record: Recorder, equal_path_study: Study) -> None:
    (found,) = equal_path(equal_path_study(), {"zoo": ["azimuth", 4, 0]})
    assert [line.method for line in found.ours] == ["routed"]
    third = {"division": "azimuth", "K": 4, "trunk": 33, "horizon": 100, "steps": 100}
    more = record("zoo", "routed", 31.0, path_steps=100, model_bytes=1, **third)
    (found,) = equal_path([*equal_path_study(), more], {"zoo": ["azimuth", 4, 1 / 3]})
    assert [line.label.trunk for line in found.ours] == [33]  # as near as whole steps come
    assert not Setup("azimuth", 4, 0.25).holds(found.ours[0].label)


def test_what_follows_from_a_gain(equal_path_study: Study) -> None:
    text = sentences(equal_path(equal_path_study(), ROUTED))
    assert [line.split(": ")[1] for line in text] == [
        "4 routed experts (trunk 0.25) over the baseline of the same path, 1x",
        "4 routed experts (trunk 0.25) over the baseline of the same path, 2x",
        "2 routed experts (trunk 0.25) over the baseline of the same path, 1x",
        "8 routed experts (trunk 0.25) over the baseline of the same path, 1x",
        "4 routed experts (trunk 0.25) over the baseline with 4 times the rays a step",
        "4 routed experts (trunk 0.25) over one model of 4 times the parameters",
        "8 routed experts (trunk 0.25) over K = 4",
        "4 routed experts (trunk 0.25) of path 1x over the baseline of the same compute, 3.25x",
        "4 routed experts (trunk 0.25) of path 2x over the baseline of the same compute, 6.5x",
        "the last doubling of that baseline's steps, from 3.25x",
        "4 routed experts (trunk 0.25) over no trunk",
        "4 routed experts (trunk 0.25) over trunk 0.5",
        "4 routed experts (trunk 0.25) over a random division",
        "the merged model over the distilled and fine-tuned one (corrected mode)",
        "the merged model over the baseline of the same path, 2x",
    ]
    assert text[0] == (
        "zoo: 4 routed experts (trunk 0.25) over the baseline of the same path, 1x: ahead, +2.00 "
        "dB [+2.00, +2.00], ahead on 4/4 views, 2 seeds. With as many workers as experts, dividing "
        "pays."
    )
    assert text[8].endswith("Dividing pays with one worker, too.")
    assert "+0.80 dB" in text[9] and "still learning" in text[9]
    assert text[13].endswith("merging keeps more than distilling.")


def test_what_follows_where_there_is_no_gain(equal_path_study: Study) -> None:
    lost = {"routed": 29.0, "none": 29.5, "random": 29.5, "eight": 28.0, "merged": 30.0}
    text = sentences(equal_path(equal_path_study(**lost), ROUTED))
    assert "behind, −1.00 dB [−1.00, −1.00], ahead on 0/4 views" in text[0]
    ends = {
        0: "one model on one of them does better.",
        4: "Workers that share every step give more.",
        5: "One model of as many parameters does better.",
        6: "More experts give less.",
        7: "With one worker, one model does better.",
        10: "The shared trunk costs quality.",
        12: "Random groups do better.",
        13: "Distilling keeps more than merging.",
        14: "they lose to one model of the same path.",
    }
    for index, end in ends.items():
        assert text[index].endswith(end)
    level = sentences(equal_path(equal_path_study("ant", none=32.0), {"ant": ROUTED["zoo"]}))
    assert "no difference, +0.00 dB" in level[10] and level[10].endswith("it saves compute.")


def test_of_what_isnt_there_nothing_is_said(equal_path_study: Study, record: Recorder) -> None:
    alone = {"steps": 100, "total_steps": 100, "path_steps": 100, "model_bytes": 1}
    assert sentences(equal_path([record("zoo", "baseline-1x", 30.0, **alone)], ROUTED)) == []
    (found,) = equal_path(equal_path_study(), {"zoo": ["louvain", 3, 0.5]})
    assert found.ours == []
    assert [text.split(": ")[1] for text in sentences([found])] == [
        "the merged model over the distilled and fine-tuned one (corrected mode)",
        "the merged model over the baseline of the same path, 2x",
    ]


@pytest.mark.parametrize("field", ["model_bytes", "longest_path_steps"])
def test_older_records_are_one_line(equal_path_study: Study, field: str) -> None:
    files = equal_path_study()
    data = json.loads(files[3].read_text())
    del (data if field == "model_bytes" else data["cost"])[field]
    files[3].write_text(json.dumps(data))
    with pytest.raises(UserError) as error:
        equal_path(files, ROUTED)
    line = "scene zoo: baseline-2x has a record without its path or bytes; score it again"
    assert str(error.value).startswith(line)


def test_mistakes(equal_path_study: Study) -> None:
    files = equal_path_study()
    with pytest.raises(UserError, match="has records, but no configured division"):
        equal_path(files, {"ant": ROUTED["zoo"]})
    with pytest.raises(UserError, match=r"has no 1x baseline.*list 1 in study.paths"):
        equal_path(files[2:], ROUTED)
    with pytest.raises(UserError, match="no evaluation record is given"):
        equal_path([], ROUTED)
