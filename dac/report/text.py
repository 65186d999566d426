"""Names that users gave, made fit for the report: one line, printable, of a bounded length.

Views are named by files, and scenes and models by records that anybody may have edited.
"""

from __future__ import annotations

import math

from dac.errors import printable

MISSING = "--"


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


def signed(value: float, decimals: int = 2) -> str:
    """A difference with its sign, a true minus; what rounds to zero is +0."""
    return f"{round(value, decimals) + 0.0:+.{decimals}f}".replace("-", "−")


def interval(low: float, high: float) -> str:
    """An interval of a difference; NaN: there is none."""
    return f"[{MISSING}]" if math.isnan(low) else f"[{signed(low)}, {signed(high)}]"
