"""Tables of the ablations (the paper's Tables 3 and 4, Fig. 6, and the study of divisions).

A line is a setting, a column a scene (`ablation.py`), a cell the mean PSNR of DaC over the seeds;
the best of a column is bold. The 1x and 2x baselines stand above a rule, out of that contest. Each
line's difference from the reference is taken view by view, over all scenes that both have, each
scene counting alike; the CSV has it in every row of the line (`pooled_`), beside the scene's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dac.report.ablation import (
    BASELINES,
    SETTINGS,
    Ablation,
    Cells,
    Line,
    Study,
    ablation,
    setting_name,
    setting_texts,
)
from dac.report.methods import method_name, model_name
from dac.report.paper_values import AVERAGE, SLIPS, SYNTHETIC, ablation_psnr, main_scores
from dac.report.rows import NUMBERS, SATURATED, Row, difference_columns, difference_numbers
from dac.report.table_writers import (
    ONE_SEED_NOTE,
    ONE_VIEW_NOTE,
    UNSURE,
    PrintedTable,
    best,
    number,
    with_interval,
    write_csv,
    write_printed,
)
from dac.report.tables import Outputs, Settings
from dac.report.text import MISSING, one_line


def write(records: Sequence[Path], outputs: Outputs, settings: Settings, study: str) -> None:
    """Write all files of the table."""
    files = [outputs[kind] for kind in ("csv", "md", "tex", "html")]
    write_ablation_table(study, records, *files, paper=settings["paper_values"])


TITLES: dict[Study, str] = {
    "partitions": "The number of partitions",
    "schedule": "Distillation against fine-tuning",
    "division": "Divisions",
    "overlap": "Overlapping sectors",
}
COLUMNS = [
    *("study", "scene", "setting", "reference", *NUMBERS),
    *(*difference_columns("over_2x"), *difference_columns("over_reference")),
    *difference_columns("pooled_over_reference"),
]


def write_ablation_table(
    study: Study,
    records: Sequence[Path],
    csv: Path,
    markdown: Path,
    latex: Path,
    html: Path,
    *,
    paper: bool = False,
) -> None:
    """Write a study as CSV (a line for each scene and setting), Markdown, LaTeX and an HTML page.

    Args:
        study: which.
        records: of DaC in every setting, and of the baselines; files or the folders that hold them.
        csv, markdown, latex, html: files to write.
        paper: put the paper's values beside ours.

    Raises:
        UserError: as `ablation`; the disk is full.
    """
    table = ablation(study, records)
    write_csv(ablation_numbers(table, paper=paper), csv)
    write_printed(printed_ablation(table, paper=paper), markdown, latex, html)


def ablation_numbers(table: Ablation, *, paper: bool = False) -> pd.DataFrame:
    """Long form: one line for each scene and setting, the baselines first."""
    lines = []
    twice = table.baselines.get("baseline-2x", {})
    named = [(method, None, cells) for method, cells in table.baselines.items()]
    settings = [(setting_name(table.study, line.setting), line, line.cells) for line in table.lines]
    for name, line, cells in [*named, *settings]:
        against = None if line is None else table.reference_line(line.mode)
        against = None if against is line else against
        pooled = table.over_reference(line, cells)
        for column in table.columns:
            if column not in cells:
                continue
            row = cells[column]
            over = None if column not in twice or row is twice[column] else row.minus(twice[column])
            other = None if against is None else against.cells.get(column)
            difference = None if other is None else row.minus(other)
            numbers: dict[str, Any] = {"study": table.study, "setting": name}
            numbers["reference"] = setting_name(table.study, table.reference)
            numbers |= row.numbers() | difference_numbers(over, "over_2x")
            numbers |= difference_numbers(difference, "over_reference")
            numbers |= difference_numbers(pooled, "pooled_over_reference")
            numbers["paper_psnr"] = _paper_psnr(table.study, line, row)
            lines.append(numbers)
    return pd.DataFrame(lines)[COLUMNS + (["paper_psnr"] if paper else [])]


def printed_ablation(table: Ablation, *, paper: bool = False) -> PrintedTable:
    """The study as text, in the paper's layout."""
    modes = len({line.mode for line in table.lines}) > 1
    left = modes + len(SETTINGS[table.study])
    scenes = [one_line(name) for name in _scene_names(table)]
    average = ["Avg"] if len(scenes) > 1 else []
    head = [*["Mode"] * modes, *SETTINGS[table.study], *scenes, *average]
    head += [f"− {setting_name(table.study, table.reference)}", "Steps"]
    rows = []
    for method, cells in table.baselines.items():
        texts = [_baseline_name(table, method), *[""] * (left - 1)]
        rows.append([*texts, *_cell_texts(table, None, cells, paper), *_ending(table, None, cells)])
    for line in table.lines:
        mode = [one_line(line.mode or MISSING)] * modes
        texts = [*mode, *setting_texts(table.study, line.setting)]
        ending = _ending(table, line, line.cells)
        rows.append([*texts, *_cell_texts(table, line, line.cells, paper), *ending])
    above = len(table.baselines)
    changes = [
        i for i in range(1, len(table.lines)) if table.lines[i].mode != table.lines[i - 1].mode
    ]
    bold = set()
    for place, values in enumerate(_columns_of_means(table)):
        marks = best(values, 2)
        bold |= {(above + row, left + place) for row, mark in enumerate(marks) if mark}
    return PrintedTable(
        title=TITLES[table.study],
        head=head,
        rows=rows,
        bold=bold,
        rules={above + row for row in (0, *changes)} - {0},
        left=left,
        notes=_notes(table, paper),
    )


# --- Texts ----------------------------------------------------------------------------------------


def _scene_names(table: Ablation) -> list[str]:
    """Scenes, with the model's name where a scene has several."""
    scenes = [scene for scene, _ in table.columns]
    return [
        f"{scene} ({model_name(model)})" if scenes.count(scene) > 1 else scene
        for scene, model in table.columns
    ]


def _baseline_name(table: Ablation, method: str) -> str:
    models = {model for _, model in table.columns}
    return one_line(method_name(method, models.pop() if len(models) == 1 else "Baseline"))


def _cell_texts(table: Ablation, line: Line | None, cells: Cells, paper: bool) -> list[str]:
    """The scenes' cells and their average; `line` is None for a baseline."""
    texts = []
    for column in table.columns:
        row = cells.get(column)
        text = MISSING if row is None else number(row.mean("psnr"), 2, row.spread("psnr"))
        theirs = None if row is None else _paper_psnr(table.study, line, row)
        texts.append(f"{text} ({theirs:.2f})" if paper and theirs is not None else text)
    if len(table.columns) == 1:
        return texts
    mean, spread = _average(table, cells)
    text = number(mean, 2, spread)
    synthetic = sorted(scene.lower() for scene, _ in table.columns) == sorted(SYNTHETIC)
    if paper and synthetic and line is not None and table.study in ("partitions", "schedule"):
        theirs = ablation_psnr(table.study, line.setting, AVERAGE)
        text = text if theirs is None else f"{text} ({theirs:.2f})"
    return [*texts, text]


def _average(table: Ablation, cells: Cells) -> tuple[float | None, float | None]:
    """Mean over all scenes, and its standard deviation over the seeds that all of them have."""
    rows = [cells.get(column) for column in table.columns]
    known = [row for row in rows if row is not None]
    if len(known) < len(rows):
        return None, None
    seeds = set.intersection(*(set(row.scores) for row in known))
    of_seeds = [
        np.mean([run.mean.psnr for row in known for run in row.runs if run.label.seed == seed])
        for seed in sorted(seeds)
    ]
    mean = float(np.mean([row.mean("psnr") for row in known]))
    return mean, float(np.std(of_seeds, ddof=1)) if len(of_seeds) > 1 else None


def _columns_of_means(table: Ablation) -> list[list[float | None]]:
    """By column, what the lines contest: the scenes' means and their average."""
    columns = [
        [line.cells[column].mean("psnr") if column in line.cells else None for line in table.lines]
        for column in table.columns
    ]
    if len(columns) > 1:
        columns.append([_average(table, line.cells)[0] for line in table.lines])
    return columns


def _paper_psnr(study: Study, line: Line | None, row: Row) -> float | None:
    if line is None:
        scores = main_scores(row.scene, row.label.method)
        return None if scores is None else scores.psnr
    if study in ("partitions", "schedule"):
        return ablation_psnr(study, line.setting, row.scene)
    return None


def _ending(table: Ablation, line: Line | None, cells: Cells) -> list[str]:
    """The difference from the reference, and the steps of all runs that a cell builds on."""
    difference = table.over_reference(line, cells)
    steps = sorted({row.cost["total_steps"] for row in cells.values()})
    text = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,}–{steps[-1]:,}"
    if difference is None:
        return [MISSING, text]
    return [with_interval(difference.mean, difference.low, difference.high), text]


def _notes(table: Ablation, paper: bool) -> list[str]:
    name = setting_name(table.study, table.reference)
    several = len(table.columns) > 1
    notes = [
        "PSNR in dB, mean over the seeds"
        + (" ± standard deviation" if _seeds(table) > 1 else "")
        + f". − {name}: the mean difference from that line"
        + (", every scene counting alike" if several else "")
        + ", with its 95 % interval over views and seeds"
        + (" (of these scenes, not of others)" if several else "")
        + f"; {UNSURE} the interval includes zero: no difference. Steps: of all runs that a cell "
        "builds on."
    ]
    if _seeds(table) == 1:
        notes.append(ONE_SEED_NOTE)
    if _views(table) == 1:
        notes.append(ONE_VIEW_NOTE)
    notes.append(_saturation(table))
    if paper and table.study in ("partitions", "schedule"):
        which = "Table 3" if table.study == "partitions" else "Table 4, by the same shares"
        notes.append(f"In parentheses: the paper's values ({which}; baselines: Tables 1 and 2).")
        if table.study in SLIPS:
            notes.append(SLIPS[table.study])
    return notes


def _seeds(table: Ablation) -> int:
    """The fewest of any cell."""
    return min(len(row.runs) for line in table.lines for row in line.cells.values())


def _views(table: Ablation) -> int:
    """The fewest of any run."""
    rows = [row for line in table.lines for row in line.cells.values()]
    return min(len(run.images) for row in rows for run in row.runs)


def _saturation(table: Ablation) -> str:
    """What twice the steps give the baseline."""
    once, twice = (table.baselines.get(method, {}) for method in BASELINES)
    texts, fast = [], []
    for column, name in zip(table.columns, _scene_names(table), strict=True):
        both = column in once and column in twice
        gain = twice[column].minus(once[column]) if both else None
        if gain is not None:
            texts.append(f"{one_line(name)} {with_interval(gain.mean, gain.low, gain.high)}")
            fast += [one_line(name)] * (gain.mean > SATURATED)
    if not texts:
        return "Without both baselines, nothing says whether they have stopped learning."
    text = f"Twice the steps give the baseline, dB: {', '.join(texts)}."
    if fast:
        text += f" Over {SATURATED} dB a comparison is about training speed: {', '.join(fast)}."
    return text
