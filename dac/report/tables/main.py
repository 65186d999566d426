"""The main table (the paper's Tables 1 and 2): scene x method, from evaluation records.

Runs that differ only in the seed are one row (`rows.py`). A row's gain is its PSNR minus that of
the row it is compared with (2x baseline and experts over the 1x baseline, all else over the 2x
one), over the seeds and views that both have, with its 95 % interval: what a difference means can't
be read without how sure it is, and how much the baseline itself still gained from twice the steps.
The best value of a scene is bold; the routed experts are K models, not one, and stand out of that
contest. What the rows cost stands beside what they reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dac.errors import UserError
from dac.report.paper_values import SLIPS, Scores, main_scores
from dac.report.rows import (
    DECIMALS,
    METRICS,
    NUMBERS,
    SATURATED,
    Row,
    difference_columns,
    difference_numbers,
    load_rows,
    reference_of,
    row_names,
)
from dac.report.table_writers import (
    ONE_SEED_NOTE,
    ONE_VIEW_NOTE,
    SCORES,
    UNSURE,
    PrintedTable,
    best,
    number,
    share,
    terminal_text,
    with_interval,
    write_csv,
    write_printed,
)
from dac.report.tables import Outputs, Settings
from dac.report.text import one_line


def write(records: Sequence[Path], outputs: Outputs, settings: Settings, study: str) -> None:
    """Write all files of the table."""
    files = [outputs[kind] for kind in ("csv", "md", "tex", "html")]
    write_main_table(records, *files, paper=settings["paper_values"])


COLUMNS = [
    *("scene", "name", *NUMBERS, *difference_columns("gain"), "gain_over", "seconds_per_db"),
    *("test_views", "test_views_available", "mean_image_psnr"),
    *("parameters", "memory_bytes", "rays_per_second"),
]
PAPER_COLUMNS = [f"paper_{metric}" for metric in METRICS]
PRINTED = [
    *("Scene", "Model", *SCORES.values(), "Gain", "Won"),
    *("Steps", "Seconds", "Path", "s/dB", "Params", "Memory", "Mrays/s"),
]
TERMINAL = PRINTED[:10]  # what a screen is wide enough for


def main_table(records: Sequence[Path], *, paper: bool = False) -> pd.DataFrame:
    """The table as numbers, one row per scene and method, in the order of the paper.

    Args:
        records: `evaluation.json` files, or the folders that hold them.
        paper: add the paper's values.

    Raises:
        UserError: no record, a damaged one, two of the same run, or two methods to compare that
            were scored on different views.
    """
    rows = load_rows(records)
    lines = [_line(row, rows, paper) for row in rows]
    table = pd.DataFrame(lines)
    table["name"] = row_names(rows)
    return table[COLUMNS + (PAPER_COLUMNS if paper else [])]


def write_main_table(
    records: Sequence[Path],
    csv: Path,
    markdown: Path,
    latex: Path,
    html: Path,
    *,
    paper: bool = False,
) -> None:
    """Write the table as CSV (plain numbers), Markdown, LaTeX (booktabs) and an HTML page.

    Args:
        records: `evaluation.json` files, or the folders that hold them.
        csv, markdown, latex, html: files to write.
        paper: put the paper's values beside ours.

    Raises:
        UserError: as `main_table`; the disk is full.
    """
    table = main_table(records, paper=paper)
    write_csv(table, csv)
    write_printed(printed_main_table(table), markdown, latex, html)


def read_main_table(csv: Path) -> pd.DataFrame:
    """Read what `write_main_table` wrote.

    Raises:
        UserError: the file is missing or is no such table.
    """
    try:
        text = {"scene": str, "model": str, "name": str}
        # A scene may be called NA or None: only what is empty doesn't exist.
        table = pd.read_csv(csv, dtype=text, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise UserError(csv, "no such file", "run the workflow first") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(csv, f"is no table ({error})", "run the report again") from None
    absent = [column for column in COLUMNS if column not in table]
    if absent:
        raise UserError(csv, f"has no column '{absent[0]}'", "run the report again")
    return table


def format_main_table(csv: Path) -> str:
    """The table for a terminal, best of each scene marked with *, and what the gains mean.

    Raises:
        UserError: as `read_main_table`.
    """
    return terminal_text(printed_main_table(read_main_table(csv), TERMINAL))


def printed_main_table(table: pd.DataFrame, columns: Sequence[str] = PRINTED) -> PrintedTable:
    """The table as text.

    Args:
        table: what `main_table` gives.
        columns: which of `PRINTED`; where there are values of the paper, and all are printed, they
            come too.
    """
    cells = _cells(table)
    head = list(columns)
    if PAPER_COLUMNS[0] in table and columns == PRINTED:
        head.insert(head.index("Gain"), "Paper")
    if columns == TERMINAL:
        for metric in ("ssim", "ms_ssim"):
            cells[SCORES[metric]] = [number(value, DECIMALS[metric]) for value in table[metric]]
    scenes = table["scene"]
    return PrintedTable(
        title="Main table",
        head=head,
        rows=[list(row) for row in zip(*(cells[name] for name in head), strict=True)],
        bold={(row, head.index(SCORES[metric])) for row, metric in _best(table)},
        rules={row for row in range(1, len(table)) if scenes.iloc[row] != scenes.iloc[row - 1]},
        left=2,
        grouped=True,
        notes=_notes(table, head),
    )


def _line(row: Row, rows: Sequence[Row], paper: bool) -> dict[str, Any]:
    """One row's numbers."""
    reference = reference_of(row, rows)
    gain = None if reference is None else row.minus(reference)
    over = None if gain is None or reference is None else reference.label.method
    line = row.numbers() | difference_numbers(gain, "gain") | {"gain_over": over}
    line["seconds_per_db"] = None
    if reference is not None and gain is not None and gain.low > 0:
        more = row.cost["training_seconds"] - reference.cost["training_seconds"]
        line["seconds_per_db"] = more / gain.mean if more > 0 else None
    line["test_views"] = max(len(run.images) for run in row.runs)
    line["test_views_available"] = max(run.test_views for run in row.runs)
    line["mean_image_psnr"] = sum(run.mean_image_psnr for run in row.runs) / len(row.runs)
    if paper:
        label = row.label
        theirs = main_scores(row.scene, label.method, label.division)
        line |= dict(zip(PAPER_COLUMNS, theirs or (None,) * len(Scores._fields), strict=True))
    return line


def _cells(table: pd.DataFrame) -> dict[str, list[str]]:
    """The text of every cell, by column."""

    def column(make: Any, *names: str) -> list[str]:
        return [make(*values) for values in zip(*(table[name] for name in names), strict=True)]

    cells = {"Scene": column(one_line, "scene"), "Model": column(one_line, "name")}
    for metric, name in SCORES.items():
        decimals = DECIMALS[metric]
        cells[name] = column(
            lambda mean, std, decimals=decimals: number(mean, decimals, std),
            metric,
            f"{metric}_std",
        )
    if PAPER_COLUMNS[0] in table:
        cells["Paper"] = column(lambda psnr: number(psnr, 2), "paper_psnr")
    return cells | {
        "Gain": column(with_interval, "gain_psnr", "gain_low", "gain_high"),
        "Won": column(share, "gain_won", "gain_views"),
        "Steps": column("{:,.0f}".format, "total_steps"),
        "Seconds": column("{:,.0f}".format, "training_seconds"),
        "Path": column("{:,.0f}".format, "longest_path_seconds"),
        "s/dB": column(lambda value: number(value, 0), "seconds_per_db"),
        "Params": column(lambda value: f"{_millions(value)} M", "parameters"),
        "Memory": column(lambda value: f"{value / 1e9:.1f} GB", "memory_bytes"),
        "Mrays/s": column(_millions, "rays_per_second"),
    }


def _millions(value: float) -> str:
    value /= 1e6
    return f"{value:,.1f}" if value >= 1 else f"{value:.2g}"


def _best(table: pd.DataFrame) -> set[tuple[int, str]]:
    """(row, metric) of each scene's best values, as printed."""
    found = set()
    for metric in METRICS:
        values = table[metric].where(table["method"] != "experts")
        for rows in table.groupby("scene", sort=False).indices.values():
            marks = best([values.iloc[row] for row in rows], DECIMALS[metric])
            found |= {(int(row), metric) for row, mark in zip(rows, marks, strict=True) if mark}
    return found


GAIN_NOTE = (
    "Gain: dB over the 1x baseline for the 2x baseline and the experts, over the 2x baseline for "
    "all else, with its 95 % interval over views and seeds; Won: on how many test views."
)
UNSURE_NOTE = f"{UNSURE} the interval includes zero: not a gain."
SATURATION_NOTE = (
    f"The 2x baseline still gains over {SATURATED} dB, so that rows compare training speed, on: "
)
COST_NOTE = (
    "Steps and Seconds count every run that the model builds on (DaC: all experts, distillation, "
    "fine-tuning); Path: seconds with the experts side by side"
)
MORE_COST_NOTE = (
    "; s/dB: further seconds for each dB of a sure gain; Memory: the most that one of the runs held"
)


def _notes(table: pd.DataFrame, head: Sequence[str]) -> list[str]:
    notes = _gain_notes(table)
    notes.append(COST_NOTE + (MORE_COST_NOTE if "Memory" in head else "") + ".")
    scenes = table.drop_duplicates("scene")
    names = [one_line(scene) for scene in scenes["scene"]]
    counts = zip(scenes["test_views"], scenes["test_views_available"], strict=True)
    views = [f"{a}" if a == b else f"{a} of {b}" for a, b in counts]
    notes.append(
        "Test views: "
        + ", ".join(f"{name} {count}" for name, count in zip(names, views, strict=True))
        + ". PSNR of rendering every view with the training views' mean image: "
        + ", ".join(
            f"{name} {number(value, 2)} dB"
            for name, value in zip(names, scenes["mean_image_psnr"], strict=True)
        )
        + "."
    )
    if "Paper" in head:
        notes.append(
            "Paper: the PSNR that the paper prints; its scenes' images, budget and hardware differ."
        )
        notes += [SLIPS[scene] for scene in scenes["scene"].str.lower() if scene in SLIPS]
    return notes


def _gain_notes(table: pd.DataFrame) -> list[str]:
    gains = table[table["gain_psnr"].notna()]
    if gains.empty:
        return []
    notes = [GAIN_NOTE]
    sure = (gains["gain_low"] > 0) | (gains["gain_high"] < 0)
    marks = [UNSURE_NOTE] * bool((~sure).any())
    marks += [ONE_SEED_NOTE] * bool((gains["gain_seeds"] == 1).any())
    marks += [ONE_VIEW_NOTE] * bool((gains["gain_views"] == 1).any())
    if marks:
        notes.append(" ".join(marks))
    doubled = gains[gains["method"] == "baseline-2x"]
    fast = doubled["scene"][doubled["gain_psnr"] > SATURATED].drop_duplicates()
    if len(fast):
        notes.append(SATURATION_NOTE + ", ".join(one_line(scene) for scene in fast) + ".")
    return notes
