"""The schema of tables and its writers, against one table written by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dac.report.table import Column, Table, named, printed, values_of
from dac.report.table_files import (
    html_text,
    latex_text,
    markdown_text,
    terminal_text,
    write_csv,
    write_printed,
)
from dac.report.text import number

Row = tuple[str, str, float | None, float | None]
ROWS: list[Row] = [
    ("a_b", "small", 1.004, None),
    ("a_b", "large", 1.001, 0.5),
    ("a_b", "outside", 9.0, None),
    ("50%|&", "small", 2.0, None),
    ("50%|&", "large", 3.0, None),
    ("50%|&", "none", None, None),
]
COLUMNS: list[Column[Row]] = [
    named("scene", lambda row: row[0], "Scene"),
    named("model", lambda row: row[1], "Model"),
    Column("std", lambda row: row[3]),
    Column(
        *("psnr", lambda row: row[2], "PSNR ↑", lambda v: number(v["psnr"], 2)),
        more=lambda v: f"± {v['std']:.1f}" if v["std"] else "",
        best=2,
    ),
    Column(heading="Half", text=lambda v: number(v["psnr"] and v["psnr"] / 2, 1)),
]
VALUES = values_of(COLUMNS, ROWS)
TABLE = Table(
    title="<One>",
    columns=printed(COLUMNS),
    rows=VALUES,
    contests=[None if row[1] == "outside" else row[0] for row in ROWS],
    parts=[row[0] for row in ROWS],
    grouped=True,
    notes=["100 % of <b>"],
    findings=["a_b: 1"],
)


def test_csv(tmp_path: Path) -> None:
    write_csv(COLUMNS, VALUES, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == (
        "scene,model,std,psnr\n"
        "a_b,small,,1.004\n"
        "a_b,large,0.5,1.001\n"
        "a_b,outside,,9\n"
        "50%|&,small,,2\n"
        "50%|&,large,,3\n"
        "50%|&,none,,\n"
    )
    # Six digits don't hold a million steps; what is whole stays so where some are missing.
    steps: list[Column[int | None]] = [Column("n", lambda n: n)]
    steps.append(Column("x", lambda n: (n or 0) / 7))
    write_csv(steps, values_of(steps, [1_234_567, None]), tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text() == "n,x\n1234567,176367\n,0\n"


def test_markdown() -> None:
    assert markdown_text(TABLE) == (
        "| Scene | Model | PSNR ↑ | Half |\n"
        "|---|---|---:|---:|\n"
        r"| a\_b | small | 1.00 | 0.5 |" "\n"
        r"| a\_b | large | 1.00 ± 0.5 | 0.5 |" "\n"
        r"| a\_b | outside | 9.00 | 4.5 |" "\n"
        r"| 50%\|\& | small | 2.00 | 1.0 |" "\n"
        r"| 50%\|\& | large | **3.00** | 1.5 |" "\n"
        r"| 50%\|\& | none | -- | -- |" "\n"
        "\n"
        r"100 % of \<b\>" "\n"
        "\n"
        r"- a\_b: 1" "\n"
    )  # fmt: skip


def test_latex() -> None:
    assert latex_text(TABLE) == (
        r"\begin{tabular}{llrr}" "\n"
        r"\toprule" "\n"
        r"Scene & Model & PSNR $\uparrow$ & Half \\" "\n"
        r"\midrule" "\n"
        r"a\_b & small & 1.00 & 0.5 \\" "\n"
        r" & large & 1.00 $\pm$ 0.5 & 0.5 \\" "\n"
        r" & outside & 9.00 & 4.5 \\" "\n"
        r"\midrule" "\n"
        r"50\%\textbar{}\& & small & 2.00 & 1.0 \\" "\n"
        r" & large & \textbf{3.00} & 1.5 \\" "\n"
        r" & none & -- & -- \\" "\n"
        r"\bottomrule" "\n"
        r"\end{tabular}" "\n"
        "\n"
        r"{\footnotesize 100 \% of \textless{}b\textgreater{}\par}" "\n"
    )  # fmt: skip


def test_html() -> None:
    page = html_text(TABLE)
    assert "<title>&lt;One&gt;</title>" in page and "<p>100 % of &lt;b&gt;</p>" in page
    assert "<ul>\n<li>a_b: 1</li>\n</ul>" in page
    body = page.split("<tbody>\n")[1].split("</tbody>")[0].splitlines()
    small, large = '<tr><th scope="row">a_b</th>', '<span class="more">± 0.5</span>'
    assert body[0] == f'{small}<th scope="row">small</th><td>1.00</td><td>0.5</td></tr>'
    assert body[1] == f'{small}<th scope="row">large</th><td>1.00 {large}</td><td>0.5</td></tr>'
    assert [line.startswith('<tr class="ruled">') for line in body] == [i == 3 for i in range(6)]
    assert "<td><strong>3.00</strong></td>" in body[4]


def test_html_of_pages() -> None:
    columns = [replace(column, bar=lambda v: 12.5) for column in printed(COLUMNS)]
    page = html_text(replace(TABLE, columns=columns, colours=["dac"] * 6, findings=[]))
    assert page.count('<tr class="m-dac">') == 6 and page.count('<span class="dot">') == 12
    assert page.count('<rect class="fill" width="12.5%"') == 12 and "<ul>" not in page


def test_terminal() -> None:
    assert terminal_text(TABLE) == (
        "Scene  Model         PSNR ↑  Half\n"
        "-----  -------  -----------  ----\n"
        "a_b    small          1.00    0.5\n"
        "       large    1.00 ± 0.5    0.5\n"
        "       outside        9.00    4.5\n"
        "-----  -------  -----------  ----\n"
        "50%|&  small          2.00    1.0\n"
        "       large          3.00*   1.5\n"
        "       none             --     --\n"
        "\n"
        "100 % of <b>\n"
        "a_b: 1"
    )


def test_equal_prints_share_the_honour_unless_all_are_equal() -> None:
    def best(*psnr: float | None) -> list[bool]:
        rows = values_of(COLUMNS, [("a", "b", value, None) for value in psnr])
        table = Table("", printed(COLUMNS), rows, contests=["a"] * len(rows))
        return [line[2].best for line in table.cells]

    assert best(1.0, 2.001, 2.004) == [False, True, True]
    assert best(2.001, 2.004) == [False, False]
    assert best(1.0, None, float("nan")) == [False] * 3


def test_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_printed(TABLE, {kind: tmp_path / f"{name}.{kind}" for kind in ("md", "tex", "html")})
    for kind, text in (("md", markdown_text), ("tex", latex_text), ("html", html_text)):
        one, two = (tmp_path / f"{name}.{kind}" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes() == text(TABLE).encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\~^", r"\textbackslash{}\textasciitilde{}\textasciicircum{}"),
        ("<>|", r"\textless{}\textgreater{}\textbar{}"),
        ("&%$#_{}", r"\&\%\$\#\_\{\}"),
        ("± − † …", r"$\pm$ $-$ $\dagger$ \ldots{}"),
        ("[1cm]", "{}[1cm]"),
        ("*x", "{}*x"),
    ],
)  # fmt: skip
def test_letters_that_latex_takes_for_its_own(text: str, expected: str) -> None:
    table = Table("", [Column(heading="", text=lambda v: text, left=True)], [{}], [None])
    assert latex_text(table).splitlines()[4] == expected + r" \\"
