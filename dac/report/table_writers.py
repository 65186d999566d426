"""Tables as they are printed: one description, written as Markdown, LaTeX, HTML and for terminals.

A table's texts are unescaped; every writer escapes all of them for its own format, since scenes,
models and views are named by users. The LaTeX is ready to paste: booktabs rules, notes below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd

from dac.report.text import MISSING, interval, signed
from dac.storage.artifacts import write_file

UNSURE = "†"
ONE_VIEW_NOTE = "([--]: of one test view there is no interval, and no difference is sure.)"
ONE_SEED_NOTE = "(One seed: how much another training would differ is not in the interval.)"
SCORES = {"psnr": "PSNR ↑", "ssim": "SSIM ↑", "ms_ssim": "MS-SSIM ↑"}
Value = float | None


@dataclass(frozen=True)
class PrintedTable:
    """A table as text.

    Attributes:
        title: of the HTML page.
        head: the columns' names.
        rows: as many texts each.
        bold: (row, column) of the best values.
        rules: rows that have a rule above them.
        left: how many columns are aligned to the left; the others are numbers.
        grouped: whether rows without a rule between them share their first cell, shown once where
            the format lets it.
        notes: paragraphs under the table.
        findings: what the numbers say, a list under the notes; no part of the LaTeX.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    bold: Set[tuple[int, int]]
    rules: Set[int]
    left: int
    grouped: bool = False
    notes: Sequence[str] = ()
    findings: Sequence[str] = ()


def write_printed(table: PrintedTable, markdown: Path, latex: Path, html: Path) -> None:
    """Write all three.

    Raises:
        UserError: the files can't be written.
    """
    _write_text(markdown, markdown_text(table))
    _write_text(latex, latex_text(table))
    _write_text(html, html_text(table))


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write plain numbers; a value that doesn't exist is empty.

    Raises:
        UserError: the file can't be written.
    """
    _write_text(
        path, table.apply(_whole).to_csv(index=False, lineterminator="\n", float_format="%.6g")
    )


def _whole(column: pd.Series) -> pd.Series:
    """Whole numbers stay whole where some are missing: six digits don't hold a million steps."""
    if column.dtype != "float64" or (column.dropna() % 1 != 0).any():
        return column
    return column.astype("Int64")


def _write_text(path: Path, text: str) -> None:
    write_file(path, lambda part: part.write_text(text, encoding="utf-8"))


# --- Numbers as they are printed ------------------------------------------------------------------


def missing(value: Value) -> bool:
    """Whether a number doesn't exist, in memory or in a CSV that was read."""
    return value is None or pd.isna(value)


def number(value: Value, decimals: int, spread: Value = None) -> str:
    """A number, with its standard deviation where there is one."""
    if value is None or missing(value):
        return MISSING
    text = f"{value:,.{decimals}f}"
    return text if spread is None or missing(spread) else f"{text} ± {spread:.{decimals}f}"


def with_interval(mean: Value, low: Value, high: Value) -> str:
    """A difference with its interval, marked where that contains zero, or there is none."""
    if mean is None or low is None or high is None or missing(mean):
        return MISSING
    mark = "" if low > 0 or high < 0 else UNSURE
    return f"{signed(mean)} {interval(low, high)}{mark}"


def share(won: Value, views: Value) -> str:
    """On how many of the views a method is ahead."""
    return MISSING if won is None or missing(won) else f"{won:.0f}/{views:.0f}"


def best(values: Sequence[Value], decimals: int) -> list[bool]:
    """Which values are the best as printed.

    Equal prints share the honour, unless all are equal.
    """
    printed = [None if v is None or missing(v) else round(v, decimals) for v in values]
    known = [value for value in printed if value is not None]
    return [value is not None and value == max(known) > min(known) for value in printed]


# --- Formats --------------------------------------------------------------------------------------


def markdown_text(table: PrintedTable) -> str:
    """The table in Markdown."""
    head, *rows = _escaped(table, _escape_markdown, ("**", "**"))
    rule = ["---"] * table.left + ["---:"] * (len(table.head) - table.left)
    lines = ["| " + " | ".join(texts) + " |" for texts in (head, *rows)]
    lines.insert(1, "|" + "|".join(rule) + "|")
    for note in table.notes:
        lines += ["", _escape_markdown(note)]
    if table.findings:
        lines += ["", *(f"- {_escape_markdown(finding)}" for finding in table.findings)]
    return "\n".join(lines) + "\n"


def latex_text(table: PrintedTable) -> str:
    """The table in LaTeX, with booktabs rules."""
    head, *rows = _escaped(table, _escape_latex, (r"\textbf{", "}"))
    columns = "l" * table.left + "r" * (len(table.head) - table.left)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _latex_row(head), r"\midrule"]
    for index, texts in enumerate(rows):
        if index in table.rules:
            lines.append(r"\midrule")
        lines.append(_latex_row(["", *texts[1:]] if _repeats(table, index) else texts))
    lines += [r"\bottomrule", r"\end{tabular}"]
    for note in table.notes:
        lines += ["", rf"{{\footnotesize {_escape_latex(note)}\par}}"]
    return "\n".join(lines) + "\n"


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #1b1f24; background: #fff; }
table { border-collapse: collapse; border-bottom: 2px solid #1b1f24; }
th { border-top: 2px solid #1b1f24; border-bottom: 1px solid #1b1f24; }
th, td { padding: 0.25rem 0.6rem; text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
th:nth-child(-n+LEFT), td:nth-child(-n+LEFT) { text-align: left; }
tr.ruled td { border-top: 1px solid #9aa3ad; }
p, li { max-width: 46rem; color: #454d57; }
"""


def html_text(table: PrintedTable) -> str:
    """The table as a page of its own for the report."""
    head, *rows = _escaped(table, escape, ("<b>", "</b>"))
    lines = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(table.title)}</title>",
        f"<style>{_STYLE.replace('LEFT', str(table.left))}</style></head><body>",
        f"<table><thead><tr>{''.join(f'<th>{text}</th>' for text in head)}</tr></thead><tbody>",
    ]
    for index, texts in enumerate(rows):
        opening = '<tr class="ruled">' if index in table.rules else "<tr>"
        lines.append(opening + "".join(f"<td>{text}</td>" for text in texts) + "</tr>")
    lines.append("</tbody></table>")
    lines += [f"<p>{escape(note)}</p>" for note in table.notes]
    if table.findings:
        lines += ["<ul>", *(f"<li>{escape(text)}</li>" for text in table.findings), "</ul>"]
    return "\n".join([*lines, "</body></html>"]) + "\n"


def terminal_text(table: PrintedTable) -> str:
    """The table for a terminal, the best values marked with *."""
    # A column with marks keeps a place for them, so that its digits stand under each other.
    marked = {column for _, column in table.bold}
    rows = [list(table.head)]
    for index, texts in enumerate(table.rows):
        row = ["", *texts[1:]] if _repeats(table, index) else list(texts)
        for column in marked:
            row[column] += "*" if (index, column) in table.bold else " "
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.head))]
    rule = "  ".join("-" * width for width in widths)
    lines = []
    for index, row in enumerate(rows):
        if index == 1 or index - 1 in table.rules:
            lines.append(rule)
        cells = [
            text.ljust(width) if column < table.left else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells))
    return "\n".join([*lines, "", *table.notes, *table.findings])


def _repeats(table: PrintedTable, index: int) -> bool:
    """Whether a row's first cell is that of the row above, and need not be shown again."""
    return (
        table.grouped
        and index > 0
        and index not in table.rules
        and table.rows[index][0] == table.rows[index - 1][0]
    )


def _escaped(
    table: PrintedTable, escaped: Callable[[str], str], bold: tuple[str, str]
) -> list[list[str]]:
    """Head and rows, escaped, the best values between the two signs of `bold`."""
    rows = [[escaped(text) for text in texts] for texts in (table.head, *table.rows)]
    for row, column in table.bold:
        rows[row + 1][column] = rows[row + 1][column].join(bold)
    return rows


def _escape_markdown(text: str) -> str:
    return "".join("\\" + letter if letter in r"\`*_{}[]<>#|~&$" else letter for letter in text)


_LATEX = {letter: "\\" + letter for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "−": "$-$",
    "↑": r"$\uparrow$",
    UNSURE: r"$\dagger$",
    "…": r"\ldots{}",
}


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _latex_row(texts: Sequence[str]) -> str:
    row = " & ".join(texts)
    # The row break above takes what stands in brackets after it, or a star, for its own.
    return ("{}" if row.startswith(("[", "*")) else "") + row + r" \\"
