"""A user's mistake is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from dac.errors import UserError


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("config.yaml: K", "too large", "lower it"), "config.yaml: K: too large; lower it"),
        ((Path("a/b.png"), "truncated"), "a/b.png: truncated"),
        (("x", "first\n  second\tthird", "try\nagain"), "x: first second third; try again"),
    ],
)
def test_text_is_one_line(arguments: tuple[str, ...], text: str) -> None:
    assert str(UserError(*arguments)) == text


def test_parts_are_kept() -> None:
    error = UserError(Path("a"), "b", "c")
    assert (error.where, error.what, error.fix) == ("a", "b", "c")
