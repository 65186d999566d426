"""Tables of the ablations (the paper's Tables 3 and 4, Fig. 6, and the study of divisions).

A line is a setting, a column a scene (`ablation.py`), a cell the mean PSNR of DaC over the seeds;
the best of a column is bold. The 1x and 2x baselines stand above a rule, out of that contest. Each
line's difference from the reference is taken view by view, over all scenes that both have, each
scene counting alike; the CSV has it in every row of the line (`pooled_`), beside the scene's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dac.report.ablation import (
    SETTINGS,
    Ablation,
    Line,
    Scene,
    ablation,
    setting_name,
    setting_texts,
)
from dac.report.columns import RUN, difference_columns
from dac.report.methods import method_name, model_name
from dac.report.notes import doubled, in_parentheses, of_few, unsure
from dac.report.paper_values import AVERAGE, SLIPS, SYNTHETIC, ablation_psnr, main_scores
from dac.report.rows import Row, minus
from dac.report.statistics import Paired
from dac.report.table import Column, Table, values_of
from dac.report.table_files import write_csv, write_printed
from dac.report.tables import Outputs, Settings
from dac.report.text import MISSING, number, one_line, spread, with_interval

TITLES = {
    "partitions": "The number of partitions",
    "schedule": "Distillation against fine-tuning",
    "division": "Divisions",
    "overlap": "Overlapping sectors",
}
# What the paper prints -> where.
IN_PAPER = {"partitions": "Table 3", "schedule": "Table 4, by the same shares"}


def write(records: Sequence[Path], outputs: Outputs, settings: Settings, study: str) -> None:
    """Write a study: as CSV, a row for each scene and setting; else in the paper's layout.

    Args:
        records: of DaC in every setting, and of the baselines; files or the folders that hold them.
        outputs: the files to write.
        settings: `paper_values`, whether to put the paper's values beside ours.
        study: which.

    Raises:
        UserError: as `ablation`; the disk is full.
    """
    table, paper = ablation(study, records), settings["paper_values"]
    columns = _long_columns(table, paper)
    write_csv(columns, values_of(columns, _long_rows(table)), outputs["csv"])
    write_printed(printed_ablation(table, paper=paper), outputs)


# --- The CSV: a row for each scene and line -------------------------------------------------------


@dataclass(frozen=True)
class LongRow:
    """A scene's runs in one line.

    Attributes:
        line: where they stand.
        row: the runs.
        over: their difference from the 2x baseline.
        over_reference: from the line that all are compared with.
        pooled: the line's, over all scenes.
    """

    line: Line
    row: Row
    over: Paired | None
    over_reference: Paired | None
    pooled: Paired | None


def _long_columns(table: Ablation, paper: bool) -> list[Column[LongRow]]:
    study = table.study

    def name(each: LongRow) -> str:
        return each.line.baseline or setting_name(study, each.line.setting)

    return [
        Column("study", lambda each: study),
        Column("scene", lambda each: each.row.scene),
        Column("setting", name),
        Column("reference", lambda each: setting_name(study, table.reference)),
        *RUN,
        *difference_columns("over_2x", lambda each: each.over),
        *difference_columns("over_reference", lambda each: each.over_reference),
        *difference_columns("pooled_over_reference", lambda each: each.pooled),
        *([Column("paper_psnr", lambda e: _paper(table, e.line, e.row))] if paper else []),
    ]


def _long_rows(table: Ablation) -> list[LongRow]:
    found, twice = [], table.baseline("baseline-2x")
    for line in table.lines:
        reference = None if line.baseline else table.reference_of(line)
        pooled = table.over_reference(line)
        for scene in table.scenes:
            if scene in line.cells:
                row = line.cells[scene]
                other = None if reference is None else reference.cells.get(scene)
                over = minus(row, twice.get(scene))
                found.append(LongRow(line, row, over, minus(row, other), pooled))
    return found


# --- The print: a row for each line, a column for each scene --------------------------------------


def printed_ablation(table: Ablation, *, paper: bool = False) -> Table:
    """The study as text, in the paper's layout."""
    several_modes = len({line.mode for line in table.settings}) > 1
    heads = [*["Mode"] * several_modes, *SETTINGS[table.study]]

    def texts(line: Line) -> list[str]:
        if line.baseline:
            return [_baseline_name(table, line.baseline), *[""] * (len(heads) - 1)]
        mode = [one_line(line.mode or MISSING)] * several_modes
        return [*mode, *setting_texts(table.study, line.setting)]

    def left(index: int) -> Column[Line]:
        return Column(heading=heads[index], text=lambda v: texts(v["line"])[index], left=True)

    columns: list[Column[Line]] = [
        *map(left, range(len(heads))),
        *(
            _scene_column(table, scene, name, paper)
            for scene, name in zip(table.scenes, _scene_names(table), strict=True)
        ),
        *([_average_column(table, paper)] if len(table.scenes) > 1 else []),
        Column(
            heading=f"− {setting_name(table.study, table.reference)}",
            text=lambda v: _difference(table.over_reference(v["line"])),
        ),
        Column(heading="Steps", text=lambda v: _steps(v["line"])),
    ]
    return Table(
        title=TITLES[table.study],
        columns=columns,
        rows=values_of([Column("line", lambda line: line), *columns], table.lines),
        contests=[None if line.baseline else "all" for line in table.lines],
        parts=[(bool(line.baseline), line.mode) for line in table.lines],
        notes=_notes(table, paper),
    )


def _scene_column(table: Ablation, scene: Scene, name: str, paper: bool) -> Column[Line]:
    def mean(line: Line) -> float | None:
        return line.cells[scene].mean("psnr") if scene in line.cells else None

    def more(line: Line) -> str:
        row = line.cells.get(scene)
        if row is None:
            return ""
        return _more(row.spread("psnr"), _paper(table, line, row) if paper else None)

    key = str(scene)
    return Column(
        key, mean, name, lambda v: number(v[key], 2), more=lambda v: more(v["line"]), best=2
    )


def _average_column(table: Ablation, paper: bool) -> Column[Line]:
    synthetic = sorted(scene.lower() for scene, _ in table.scenes) == sorted(SYNTHETIC)

    def more(line: Line) -> str:
        theirs = None
        if paper and synthetic and table.study in IN_PAPER and not line.baseline:
            theirs = ablation_psnr(table.study, line.setting, AVERAGE)
        return _more(_average(table, line)[1], theirs)

    return Column(
        "average",
        lambda line: _average(table, line)[0],
        "Avg",
        lambda v: number(v["average"], 2),
        more=lambda v: more(v["line"]),
        best=2,
    )


def _more(deviation: float | None, theirs: float | None) -> str:
    """What stands beside a mean: its standard deviation, and the paper's value."""
    parts = [spread(deviation, 2), "" if theirs is None else f"({theirs:.2f})"]
    return " ".join(part for part in parts if part)


def _average(table: Ablation, line: Line) -> tuple[float | None, float | None]:
    """Mean over all scenes, and its standard deviation over the seeds that all of them have."""
    rows = [line.cells[scene] for scene in table.scenes if scene in line.cells]
    if len(rows) < len(table.scenes):
        return None, None
    seeds = set.intersection(*(set(row.scores) for row in rows))
    of_seeds = [
        np.mean([run.mean.psnr for row in rows for run in row.runs if run.label.seed == seed])
        for seed in sorted(seeds)
    ]
    mean = float(np.mean([row.mean("psnr") for row in rows]))
    return mean, float(np.std(of_seeds, ddof=1)) if len(of_seeds) > 1 else None


def _paper(table: Ablation, line: Line, row: Row) -> float | None:
    """The paper's PSNR, dB."""
    if line.baseline:
        scores = main_scores(row.scene, row.label.method)
        return None if scores is None else scores.psnr
    return ablation_psnr(table.study, line.setting, row.scene) if table.study in IN_PAPER else None


def _difference(found: Paired | None) -> str:
    return MISSING if found is None else with_interval(found.mean, found.low, found.high)


def _steps(line: Line) -> str:
    """Of all runs that a cell builds on."""
    steps = sorted({row.cost["total_steps"] for row in line.cells.values()})
    return f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,}–{steps[-1]:,}"


def _scene_names(table: Ablation) -> list[str]:
    """Scenes, with the model's name where a scene has several."""
    scenes = [scene for scene, _ in table.scenes]
    return [
        one_line(f"{scene} ({model_name(model)})" if scenes.count(scene) > 1 else scene)
        for scene, model in table.scenes
    ]


def _baseline_name(table: Ablation, method: str) -> str:
    models = {model for _, model in table.scenes}
    return one_line(method_name(method, models.pop() if len(models) == 1 else "Baseline"))


def _notes(table: Ablation, paper: bool) -> list[str]:
    name = setting_name(table.study, table.reference)
    rows = [row for line in table.settings for row in line.cells.values()]
    seeds = min(len(row.runs) for row in rows)
    views = min(len(run.images) for row in rows for run in row.runs)
    several = len(table.scenes) > 1
    notes = [
        "PSNR in dB, mean over the seeds"
        + (" ± standard deviation" if seeds > 1 else "")
        + f". − {name}: the mean difference from that line"
        + (", every scene counting alike" if several else "")
        + ", with its 95 % interval over views and seeds"
        + (" (of these scenes, not of others)" if several else "")
        + f"; {unsure('no difference.')} Steps: of all runs that a cell builds on.",
        *in_parentheses(of_few([seeds], [views])),
        _doubled(table),
    ]
    if paper and table.study in IN_PAPER:
        where = IN_PAPER[table.study]
        notes.append(f"In parentheses: the paper's values ({where}; baselines: Tables 1 and 2).")
        notes += [SLIPS[table.study]] if table.study in SLIPS else []
    return notes


def _doubled(table: Ablation) -> str:
    """What twice the steps give the baseline."""
    once, twice = (table.baseline(f"baseline-{times}x") for times in (1, 2))
    gains = []
    for scene, name in zip(table.scenes, _scene_names(table), strict=True):
        gain = twice[scene].minus(once[scene]) if scene in once and scene in twice else None
        if gain is not None:
            gains.append((name, gain.mean, gain.low, gain.high))
    return doubled(gains)
