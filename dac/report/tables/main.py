"""The main table (the paper's Tables 1 and 2): scene x method, from evaluation records.

Runs that differ only in the seed are one row (`rows.py`). A row's gain is its PSNR minus that of
the row it is compared with (2x baseline and experts over the 1x baseline, routed and merged models
over the baseline of the same path, all else over the 2x one), which is named beside it. It is over
the seeds and views that both have, with its 95 % interval: what a difference means can't be read
without how sure it is, and how much the baseline itself still gained from twice the steps. The best
value of a scene is bold; the paper's experts are K models, not one, and stand out of that contest;
a routed model is one. What the rows cost stands beside what they reach: all steps, those of the
path (the longest chain of trainings, with the experts side by side), and the weights' bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from dac.errors import UserError
from dac.report.columns import (
    RUN,
    SCENE_AND_NAME,
    TOOK_NOTE,
    Named,
    cost,
    difference_columns,
    with_gains,
)
from dac.report.notes import SATURATED, in_parentheses, of_few, still_learning, unsure
from dac.report.paper_values import SLIPS, main_scores
from dac.report.rows import METRICS, load_rows
from dac.report.table import Column, Table, Values, nothing, numbered, printed, values_of
from dac.report.table_files import terminal_text, write_csv, write_printed
from dac.report.tables import Outputs, Settings
from dac.report.text import missing, number, one_line

GAIN_NOTE = (
    "Gain: dB over the baseline that is named{beside}, with its 95 % interval over views and "
    "seeds; Won: on how many test views."
)
BESIDE = (
    " (for routed and merged models and their controls that of the same path, where there is one)"
)
PATH_NOTE = (
    "Path: steps of the longest chain of trainings, with the experts side by side; MB: of the file "
    "of weights"
)
MORE_COST_NOTE = (
    "; s/dB: further seconds for each dB of a sure gain; Memory: the most that one of the runs held"
)
PAPER_NOTE = (
    "Paper: the PSNR that the paper prints; its scenes' images, budget and hardware differ."
)


def write(records: Sequence[Path], outputs: Outputs, settings: Settings, study: str) -> None:
    """Write the table's files.

    Args:
        records: `evaluation.json` files, or the folders that hold them.
        outputs, study: see `dac.report.tables`.
        settings: `paper_values`, whether to put the paper's values beside ours.

    Raises:
        UserError: no record, a damaged one, two of the same run, or two methods to compare that
            were scored on different views; the disk is full.
    """
    rows = with_gains(load_rows(records))
    columns = _columns(settings["paper_values"])
    values = values_of(columns, rows)
    write_csv(columns, values, outputs["csv"])
    write_printed(_table(printed(columns), values), outputs)


def format_main_table(csv: Path) -> str:
    """The table for a terminal, best of each scene marked with *, and what the gains mean.

    Raises:
        UserError: the file is missing or is no such table.
    """
    every = printed(_columns())
    wide_enough = next(i for i, c in enumerate(every) if c.name == "model_bytes") + 1
    # For a screen: what it reached, and what it took.
    columns = [column for column in every[:wide_enough] if column.name != "ms_ssim"]
    columns = [replace(c, more=nothing) if c.name == "ssim" else c for c in columns]
    return terminal_text(_table(columns, read_main_table(csv)))


def read_main_table(csv: Path) -> list[dict[str, Any]]:
    """Read what `write` wrote.

    Raises:
        UserError: the file is missing or is no such table.
    """
    try:
        text = dict.fromkeys(("scene", "model", "name"), str)
        # A scene may be called NA or None: only what is empty doesn't exist.
        table = pd.read_csv(csv, dtype=text, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise UserError(csv, "no such file", "run the workflow first") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(csv, f"is no table ({error})", "run the report again") from None
    wanted = [column.name for column in _columns() if column.value is not None]
    absent = [name for name in wanted if name not in table]
    if absent:
        raise UserError(csv, f"has no column '{absent[0]}'", "run the report again")
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _columns(paper: bool = False) -> list[Column[Named]]:
    theirs = [Column[Named](heading="Paper", text=lambda v: number(v["paper_psnr"], 2))]
    return [
        *SCENE_AND_NAME,
        *RUN,
        *(theirs if paper else []),
        Column("gain_over", lambda each: each.over),
        *difference_columns("gain", lambda each: each.gain, "Gain", more=_over),
        numbered("total_steps", None, "Steps"),
        numbered("path_steps", lambda each: each.row.path_steps, "Path"),
        numbered("training_seconds", None, "Seconds"),
        Column("model_bytes", lambda each: each.row.model_bytes, "MB", _megabytes),
        numbered("seconds_per_db", _price, "s/dB"),
        Column("test_views", lambda each: max(len(run.images) for run in each.row.runs)),
        Column("test_views_available", lambda each: max(run.test_views for run in each.row.runs)),
        Column("mean_image_psnr", _mean_image_psnr),
        cost("parameters", "Params", lambda value: f"{_millions(value)} M"),
        cost("memory_bytes", "Memory", lambda value: f"{value / 1e9:.1f} GB"),
        cost("rays_per_second", "Mrays/s", _millions),
        *(map(_paper_column, METRICS) if paper else []),
    ]


def _over(values: Values) -> str:
    """The baseline that a gain is over, as its own row calls it."""
    over = values["gain_over"]
    return f"over {over.removeprefix('baseline-')}" if isinstance(over, str) else ""


def _megabytes(values: Values) -> str:
    size = values["model_bytes"]
    return number(None if missing(size) else size / 1e6, 1)


def _millions(value: float) -> str:
    value /= 1e6
    return f"{value:,.1f}" if value >= 1 else f"{value:.2g}"


def _price(each: Named) -> float | None:
    """Further seconds for each dB of a sure gain; None of one that took no longer."""
    if each.reference is None or each.gain is None or not each.gain.low > 0:
        return None
    more = each.row.cost["training_seconds"] - each.reference.cost["training_seconds"]
    return more / each.gain.mean if more > 0 else None


def _mean_image_psnr(each: Named) -> float:
    return sum(run.mean_image_psnr for run in each.row.runs) / len(each.row.runs)


def _paper_column(metric: str) -> Column[Named]:
    def value(each: Named) -> float | None:
        label = each.row.label
        scores = main_scores(each.row.scene, label.method, label.division)
        return None if scores is None else getattr(scores, metric)

    return Column(f"paper_{metric}", value)


def _table(columns: Sequence[Column[Named]], rows: Sequence[Values]) -> Table:
    scenes = [row["scene"] for row in rows]
    return Table(
        title="Main table",
        columns=columns,
        rows=rows,
        contests=[None if row["method"] == "experts" else row["scene"] for row in rows],
        parts=scenes,
        grouped=True,
        notes=_notes(rows, {column.heading for column in columns}),
    )


def _notes(rows: Sequence[Values], headings: set[str]) -> list[str]:
    cost = f"{TOOK_NOTE} (DaC: all experts, and what follows); {PATH_NOTE}"
    notes = [*_gain_notes(rows), f"{cost}{MORE_COST_NOTE if 'Memory' in headings else ''}."]
    scenes = {row["scene"]: row for row in reversed(rows)}
    firsts = [(one_line(scene), scenes[scene]) for scene in dict.fromkeys(r["scene"] for r in rows)]
    views = ", ".join(f"{name} {_views(row)}" for name, row in firsts)
    psnr = ", ".join(f"{name} {number(row['mean_image_psnr'], 2)} dB" for name, row in firsts)
    notes.append(
        f"Test views: {views}. PSNR of rendering every view with the training views' mean image: "
        f"{psnr}."
    )
    if "Paper" in headings:
        slips = [SLIPS.get(row["scene"].lower()) for _, row in firsts]
        notes += [PAPER_NOTE, *(slip for slip in slips if slip)]
    return notes


def _views(row: Values) -> str:
    scored, available = row["test_views"], row["test_views_available"]
    return f"{scored}" if scored == available else f"{scored} of {available}"


def _gain_notes(rows: Sequence[Values]) -> list[str]:
    gains = [row for row in rows if not missing(row["gain_psnr"])]
    if not gains:
        return []
    sure = [row["gain_low"] > 0 or row["gain_high"] < 0 for row in gains]
    marks = [] if all(sure) else [unsure("not a gain.")]
    few = of_few((row["gain_seeds"] for row in gains), (row["gain_views"] for row in gains))
    marks += in_parentheses(few)
    fast = [
        one_line(row["scene"])
        for row in gains
        if row["method"] == "baseline-2x" and row["gain_psnr"] > SATURATED
    ]
    held = any(row["method"] in ("routed", "merged", "big_batch", "wide") for row in rows)
    return [
        GAIN_NOTE.format(beside=BESIDE if held else ""),
        *([" ".join(marks)] if marks else []),
        *([still_learning(list(dict.fromkeys(fast)))] if fast else []),
    ]
