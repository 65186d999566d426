"""The table of the controls: what DaC's gain comes from, scene by scene, and a diagnosis under it.

Rows are DaC's rivals, its stages and DaC itself (`controls.py`). Each has two differences of PSNR,
dB: its own from the 2x baseline, and DaC's from it. The best value of a scene is bold; the experts
are K models, not one, and the oracle is none: they stand out of that contest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dac.report.columns import (
    PATH_NOTE,
    RUN,
    SCENE_AND_NAME,
    TOOK,
    TOOK_NOTE,
    difference_columns,
)
from dac.report.controls import Controls, controls
from dac.report.diagnosis import sentences
from dac.report.notes import ORACLE, in_parentheses, of_few, unsure
from dac.report.rows import SEVERAL_MODELS, Row, minus, row_names
from dac.report.statistics import Paired
from dac.report.table import Column, Table, printed, values_of
from dac.report.table_files import write_csv, write_printed
from dac.report.tables import Outputs, Settings
from dac.report.text import one_line


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Attributes:
        row: the runs.
        name: as it is printed.
        over: its difference from the 2x baseline.
        ahead: DaC's from it.
    """

    row: Row
    name: str
    over: Paired | None
    ahead: Paired | None


def write(records: Sequence[Path], outputs: Outputs, settings: Settings, study: str) -> None:
    """Write the table's files; the diagnosis is part of the Markdown and the page.

    Args:
        records: `evaluation.json` files, or the folders that hold them; what is no control of the
            configured division is left out.
        outputs, study: see `dac.report.tables`.
        settings: `divisions`, scene -> the configured division and its K.

    Raises:
        UserError: as `controls`; two models to compare were scored on different views; the disk is
            full.
    """
    every = controls(records, settings["divisions"])
    lines = _lines(every)
    columns: list[Column[Line]] = [
        *SCENE_AND_NAME,
        *RUN,
        *difference_columns("over_2x", lambda line: line.over, "− 2x"),
        *difference_columns("dac_over", lambda line: line.ahead, "DaC −"),
        *TOOK,
    ]
    values = values_of(columns, lines)
    write_csv(columns, values, outputs["csv"])
    scenes = [(line.row.scene, line.row.label.model) for line in lines]
    several = [line.row.label.method in SEVERAL_MODELS for line in lines]
    table = Table(
        title="Controls",
        columns=printed(columns),
        rows=values,
        contests=[None if out else scene for out, scene in zip(several, scenes, strict=True)],
        parts=scenes,
        grouped=True,
        notes=_notes(lines, every),
        findings=sentences(every),
    )
    write_printed(table, outputs)


def _lines(every: Sequence[Controls]) -> list[Line]:
    """Each scene's rows, which all of its modes share, compared in the row's own mode."""
    scenes: dict[tuple[str, str], list[Controls]] = {}
    for found in every:
        scenes.setdefault((found.scene, found.model), []).append(found)
    pairs = [
        (row, next((found for found in modes if found.mode == row.label.mode), modes[0]))
        for modes in scenes.values()
        for row in modes[0].rows
    ]
    return [
        Line(row, name, minus(row, found.twice), minus(found.dac, row))
        for name, (row, found) in zip(row_names([row for row, _ in pairs]), pairs, strict=True)
    ]


def _notes(lines: Sequence[Line], every: Sequence[Controls]) -> list[str]:
    modes = sorted({found.mode for found in every if found.mode is not None})
    which = f" (in the row's mode; else {one_line(modes[0])})" if len(modes) > 1 else ""
    differences = [d for line in lines for d in (line.over, line.ahead) if d is not None]
    marks = [] if all(d.sure for d in differences) else [unsure("no difference.")]
    marks += in_parentheses(of_few((d.seeds for d in differences), (d.views for d in differences)))
    notes = [
        f"− 2x: PSNR over the 2x baseline's; DaC −: DaC's PSNR{which} over the row's; dB, with "
        f"95 % intervals over views and seeds; Won: on how many test views. {TOOK_NOTE}; "
        f"{PATH_NOTE}."
    ]
    notes += [" ".join(marks)] if marks else []
    if any(line.row.label.method == "oracle" for line in lines):
        grid = "Where experts are scored on a grid of pixels, the best expert's lead is that on the"
        notes.append(f"{ORACLE} {grid} grid.")
    return notes
