"""A table: columns and rows, as values for a CSV and as texts for people.

A column is told once: what its value is called and how it is taken from a row (the CSV), its
heading and the text made of the row's values (Markdown, LaTeX, HTML, terminals), and whether its
best value is marked. What is printed is made of values alone, so that it can be made of a CSV that
was read again. Columns stand in the order of the list; one without a heading is in the CSV alone,
one without a value is printed alone. A new column is one entry, a new table a list of them and a
list of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from dac.report.text import missing, number, one_line

R = TypeVar("R")
Values = Mapping[str, Any]


def nothing(values: Values) -> str:
    """No text."""
    return ""


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column.

    Attributes:
        name: of its value.
        value: of a row; None: it has none.
        heading: above its texts; empty: it isn't printed.
        text: made of all the row's values.
        more: what stands smaller beside the text; made likewise.
        best: decimals at which the best of its values is told, which is marked; None: none is.
        left: whether it is aligned to the left, as names are; the others are numbers.
        bar: how much of a bar below the text is filled, percent; None: no bar. For pages alone.
    """

    name: str = ""
    value: Callable[[R], Any] | None = None
    heading: str = ""
    text: Callable[[Values], str] = nothing
    more: Callable[[Values], str] = nothing
    best: int | None = None
    left: bool = False
    bar: Callable[[Values], float] | None = None


def named(name: str, value: Callable[[R], str] | None, heading: str) -> Column[R]:
    """A column of names, which users may have given."""
    return Column(name, value, heading, lambda values: one_line(values[name]), left=True)


def numbered(
    name: str, value: Callable[[R], float | None] | None, heading: str, decimals: int = 0
) -> Column[R]:
    """A column of numbers, printed with so many decimals."""
    return Column(name, value, heading, lambda values: number(values[name], decimals))


@dataclass(frozen=True)
class Cell:
    """What is printed in one place; see `Column`."""

    text: str
    more: str
    best: bool
    bar: float | None

    def __str__(self) -> str:
        """On one line."""
        return f"{self.text} {self.more}" if self.more else self.text


@dataclass(frozen=True)
class Table:
    """A table that is printed. Its texts are unescaped; every writer escapes all of them.

    Attributes:
        title: of the HTML page.
        columns: those that are printed.
        rows: their values.
        contests: a row's best values are told among the rows of the same contest; None: it stands
            out of them all.
        parts: a row has a rule above it where its part is another than that of the row before.
        grouped: whether the rows of a part share their first cell, shown once where the format lets
            it.
        colours: of each row, the method whose colour it has; for pages alone.
        notes: paragraphs under the table.
        findings: what the numbers say, a list under the notes; no part of the LaTeX.
    """

    title: str
    columns: Sequence[Column[Any]]
    rows: Sequence[Values]
    contests: Sequence[Hashable | None]
    parts: Sequence[Hashable] = ()
    grouped: bool = False
    colours: Sequence[str] = ()
    notes: Sequence[str] = ()
    findings: Sequence[str] = ()

    @property
    def head(self) -> list[str]:
        """The columns' headings."""
        return [column.heading for column in self.columns]

    @property
    def left(self) -> int:
        """How many columns are aligned to the left; they come first."""
        return sum(column.left for column in self.columns)

    @cached_property
    def cells(self) -> list[list[Cell]]:
        """Row by row."""
        marks = [self._best(column) for column in self.columns]
        return [
            [
                Cell(c.text(row), c.more(row), index in best, c.bar(row) if c.bar else None)
                for c, best in zip(self.columns, marks, strict=True)
            ]
            for index, row in enumerate(self.rows)
        ]

    @property
    def texts(self) -> list[list[str]]:
        """As `cells`, each on one line."""
        return [[str(cell) for cell in line] for line in self.cells]

    def ruled(self, index: int) -> bool:
        """Whether a row has a rule above it."""
        return bool(self.parts) and index > 0 and self.parts[index] != self.parts[index - 1]

    def repeats(self, index: int) -> bool:
        """Whether a row's first cell is that of the row above, and need not be shown again."""
        if not self.grouped or index == 0 or self.ruled(index):
            return False
        first = self.columns[0].text
        return first(self.rows[index]) == first(self.rows[index - 1])

    def _best(self, column: Column[Any]) -> set[int]:
        """Rows with the best value as printed: equal prints share it, unless all are equal."""
        if column.best is None:
            return set()
        contests: dict[Hashable, dict[int, float]] = {}
        for index, (row, contest) in enumerate(zip(self.rows, self.contests, strict=True)):
            value = row[column.name]
            if contest is not None and not missing(value):
                contests.setdefault(contest, {})[index] = round(value, column.best)
        return {
            index
            for values in contests.values()
            for index, value in values.items()
            if len(set(values.values())) > 1 and value == max(values.values())
        }


def values_of(columns: Sequence[Column[R]], rows: Sequence[R]) -> list[dict[str, Any]]:
    """The values of all columns that have one, row by row."""
    return [{c.name: c.value(row) for c in columns if c.value is not None} for row in rows]


def printed(columns: Sequence[Column[R]]) -> list[Column[R]]:
    """Those columns that have a heading."""
    return [column for column in columns if column.heading]
