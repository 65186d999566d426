from __future__ import annotations

import json

import pytest

from dac.process.progress import with_progress


def test_a_log_gets_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(with_progress("abc", "toy")) == ["a", "b", "c"]
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"run": "toy", "view": 3, "views": 3, "eta_seconds": 0}
    ]


def test_views_that_were_done_before_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(with_progress("abc", "toy", 4)) == ["a", "b", "c"]
    told = json.loads(capsys.readouterr().err)
    assert (told["view"], told["views"]) == (7, 7)


def test_nothing_to_do_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(with_progress([], "toy")) == []
    assert capsys.readouterr().err == ""
