"""Names and numbers as people read them.

Names that users gave are made fit for the report: one line, printable, of a bounded length. Views
are named by files, and scenes and models by records that anybody may have edited. A number that
doesn't exist, in memory or in a CSV that was read, is None or NaN.
"""

from __future__ import annotations

import math

from dac.errors import printable

MISSING = "--"
UNSURE = "†"
Value = float | None


def one_line(text: str, most: int = 60) -> str:
    """A name without line breaks; what can't be printed is escaped, a long name loses its middle.

    Among the former are the signs that turn the direction of writing.

    Args:
        text: the name.
        most: letters.
    """
    text = printable(" ".join(text.split()))
    half = most // 2
    return text if len(text) <= most else f"{text[: half - 1]}…{text[-(most - half) :]}"


def for_figure(text: str, most: int = 48) -> str:
    """A name for matplotlib, which would take what stands between two dollars for mathematics."""
    return one_line(text, most).replace("$", r"\$")


def missing(value: Value) -> bool:
    """Whether a number doesn't exist."""
    return value is None or math.isnan(value)


def number(value: Value, decimals: int = 0, unit: str = "") -> str:
    """A number, with thousands apart."""
    if value is None or missing(value):
        return MISSING
    return f"{value:,.{decimals}f}{unit}"


def spread(value: Value, decimals: int) -> str:
    """A standard deviation, to stand after its mean; nothing where there is none."""
    return "" if missing(value) else f"± {number(value, decimals)}"


def signed(value: float, decimals: int = 2) -> str:
    """A difference with its sign, a true minus; what rounds to zero is +0."""
    return f"{round(value, decimals) + 0.0:+.{decimals}f}".replace("-", "−")


def interval(low: float, high: float) -> str:
    """An interval of a difference; NaN: there is none."""
    return f"[{MISSING}]" if math.isnan(low) else f"[{signed(low)}, {signed(high)}]"


def with_interval(mean: Value, low: Value, high: Value) -> str:
    """A difference with its interval, marked where that contains zero, or there is none."""
    if mean is None or low is None or high is None or missing(mean):
        return MISSING
    mark = "" if low > 0 or high < 0 else UNSURE
    return f"{signed(mean)} {interval(low, high)}{mark}"


def share(won: Value, views: Value) -> str:
    """On how many of the views a method is ahead."""
    return MISSING if missing(won) else f"{won:.0f}/{views:.0f}"


def count(amount: int, noun: str) -> str:
    """E.g. `1 view`, `1,200 views`."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"
