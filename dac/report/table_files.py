"""A table's files: CSV, Markdown, LaTeX, HTML, and its text for terminals.

Every format escapes all texts for itself, since scenes, models and views are named by users. The
LaTeX is ready to paste: booktabs rules, notes below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from dac.report.table import Column, Table, Values
from dac.report.text import UNSURE
from dac.storage.artifacts import write_file

TEMPLATES = Path(__file__).parent / "assets"


def write_printed(table: Table, outputs: Mapping[str, Path]) -> None:
    """Write the table as `md`, `tex` and `html`.

    Raises:
        UserError: the files can't be written.
    """
    for kind, text in (("md", markdown_text), ("tex", latex_text), ("html", html_text)):
        _write_text(outputs[kind], text(table))


def write_csv(columns: Sequence[Column[Any]], rows: Sequence[Values], path: Path) -> None:
    """Write the values of the named columns; one that doesn't exist is empty.

    Raises:
        UserError: the file can't be written.
    """
    names = [column.name for column in columns if column.value is not None]
    table = pd.DataFrame(rows, columns=names).apply(_whole)
    _write_text(path, table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))


def _whole(column: pd.Series) -> pd.Series:
    """Whole numbers stay whole where some are missing: six digits don't hold a million steps."""
    if column.dtype != "float64" or (column.dropna() % 1 != 0).any():
        return column
    return column.astype("Int64")


def _write_text(path: Path, text: str) -> None:
    write_file(path, lambda part: part.write_text(text, encoding="utf-8"))


def markdown_text(table: Table) -> str:
    """The table in Markdown."""
    head, *rows = _escaped(table, _escape_markdown, ("**", "**"))
    rule = ["---"] * table.left + ["---:"] * (len(head) - table.left)
    lines = ["| " + " | ".join(texts) + " |" for texts in (head, *rows)]
    lines.insert(1, "|" + "|".join(rule) + "|")
    for note in table.notes:
        lines += ["", _escape_markdown(note)]
    if table.findings:
        lines += ["", *(f"- {_escape_markdown(finding)}" for finding in table.findings)]
    return "\n".join(lines) + "\n"


def latex_text(table: Table) -> str:
    """The table in LaTeX, with booktabs rules."""
    head, *rows = _escaped(table, _escape_latex, (r"\textbf{", "}"))
    columns = "l" * table.left + "r" * (len(head) - table.left)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _latex_row(head), r"\midrule"]
    for index, texts in enumerate(rows):
        if table.ruled(index):
            lines.append(r"\midrule")
        lines.append(_latex_row(["", *texts[1:]] if table.repeats(index) else texts))
    lines += [r"\bottomrule", r"\end{tabular}"]
    for note in table.notes:
        lines += ["", rf"{{\footnotesize {_escape_latex(note)}\par}}"]
    return "\n".join(lines) + "\n"


def html_text(table: Table) -> str:
    """The table as a page of its own for the report."""
    return template("table_page.html").render(table=table)


def template(name: str, *folders: Path) -> jinja2.Template:
    """A template of ours, of these folders too; it escapes whatever it is given."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([TEMPLATES, *folders]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(name)


def terminal_text(table: Table) -> str:
    """The table for a terminal, the best values marked with *."""
    cells = table.cells
    # A column with marks keeps a place for them, so that its digits stand under each other.
    marked = [any(line[i].best for line in cells) for i in range(len(table.head))]
    rows = [list(table.head)]
    for index, line in enumerate(cells):
        row = [f"{c}{'*' if c.best else ' ' * m}" for c, m in zip(line, marked, strict=True)]
        rows.append(["", *row[1:]] if table.repeats(index) else row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.head))]
    rule = "  ".join("-" * width for width in widths)
    lines = []
    for index, row in enumerate(rows):
        if index == 1 or table.ruled(index - 1):
            lines.append(rule)
        texts = [
            text.ljust(width) if column < table.left else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(texts))
    return "\n".join([*lines, "", *table.notes, *table.findings])


def _escaped(table: Table, escaped: Callable[[str], str], bold: tuple[str, str]) -> list[list[str]]:
    """Head and rows, escaped, the best values between the two signs of `bold`."""
    rows = [
        [escaped(str(cell)).join(bold) if cell.best else escaped(str(cell)) for cell in line]
        for line in table.cells
    ]
    return [[escaped(text) for text in table.head], *rows]


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
