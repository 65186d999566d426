"""What `dac doctor` is made of: a check's result, and checks that never raise.

A check is a function without arguments that returns results. What goes wrong inside it is a result,
too: somebody whose machine is broken needs the other lines all the more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dac.errors import printable

Mark = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Result:
    """One line of the report.

    Attributes:
        mark: `fail` for what no training can do without, `warn` for what will be missed.
        name: of what was looked at.
        what: was found.
        fix: what to do about it, a command where possible; empty where all is well.
    """

    mark: Mark
    name: str
    what: str
    fix: str = ""


Check = Callable[[], list[Result]]


def results_of(name: str, check: Check) -> list[Result]:
    """A check's results, whatever happens in it; `name` is said where it breaks."""
    try:
        return check()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a broken library may even leave the program
        what = f"can't be checked ({type(error).__name__}: {error_text(error)})"
        return [Result("warn", name, what, "mend the red lines first, then look again")]


def error_text(error: object, most: int = 200) -> str:
    """An error's text, fit for a line."""
    return printable(" ".join(str(error).split()))[:most]
