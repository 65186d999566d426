"""An ablation, arranged from evaluation records: settings by scenes.

Notation: a line is a setting (K; the steps of distillation and of fine-tuning; a division and its
K), a column a scene and a model, since a scene's model may have its own name; a cell is DaC's runs,
one a seed. All lines are compared with one of them, the reference: K = 4; as many steps of
distillation as of fine-tuning; else the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dac.errors import UserError
from dac.evaluation.records import Label
from dac.report.rows import Row, load_rows
from dac.report.statistics import Paired, paired
from dac.report.text import MISSING, one_line

Study = str  # one of `SETTINGS`
Setting = tuple[str | int | None, ...]
Column = tuple[str, str]
Cells = Mapping[Column, Row]

BASELINES = ("baseline-1x", "baseline-2x")
# What a line is, by study: the heads of its columns.
SETTINGS: dict[Study, tuple[str, ...]] = {
    "partitions": ("K",),
    "schedule": ("DST", "FT"),
    "division": ("Division", "K"),
    "overlap": ("Division", "K"),
}


@dataclass(frozen=True)
class Line:
    """One setting.

    Attributes:
        mode: of the conquer phase.
        setting: what `SETTINGS` names.
        cells: column -> DaC's runs.
    """

    mode: str | None
    setting: Setting
    cells: Cells


@dataclass(frozen=True)
class Ablation:
    """A study.

    Attributes:
        study: which.
        columns: scenes with their models, in the records' order.
        baselines: method -> its runs, of those baselines that there are.
        lines: in order.
        reference: the setting that the others are compared with.
    """

    study: Study
    columns: list[Column]
    baselines: dict[str, Cells]
    lines: list[Line]
    reference: Setting

    def reference_line(self, mode: str | None) -> Line | None:
        """The line to compare with, of the same mode."""
        for line in self.lines:
            if (line.mode, line.setting) == (mode, self.reference):
                return line
        return None

    def over_reference(self, line: Line | None, cells: Cells) -> Paired | None:
        """The difference from the line to compare with, over all scenes; None of that line's own.

        Args:
            line: where the cells stand; None: they are a baseline's, and the first mode's line is
                what they are compared with.
            cells: what to compare.
        """
        against = self.reference_line((line or self.lines[0]).mode)
        return None if against is None or against is line else pooled_minus(cells, against.cells)


def ablation(study: Study, records: Sequence[Path]) -> Ablation:
    """Arrange the records of DaC and of the two baselines; those of other methods are left out.

    Raises:
        UserError: no record of DaC; a damaged one; two runs for one cell.
    """
    rows = load_rows(records)
    ours = [row for row in rows if row.label.method == "dac"]
    if not ours:
        raise UserError("tables", f"no record of DaC for the study '{study}'", "run it first")
    columns = list(dict.fromkeys(_column(row) for row in ours))
    baselines: dict[str, Cells] = {}
    for method in BASELINES:
        found = [row for row in rows if row.label.method == method and _column(row) in columns]
        if found:
            baselines[method] = {_column(row): row for row in found}
    lines: dict[tuple[str | None, Setting], dict[Column, Row]] = {}
    for row in ours:
        setting = _setting(study, row.label)
        cells_of_line = lines.setdefault((row.label.mode, setting), {})
        if _column(row) in cells_of_line:
            what = f"two runs for one cell ({', '.join(setting_texts(study, setting))})"
            where = f"scene {one_line(row.scene)}"
            raise UserError(where, what, "give the records of one study")
        cells_of_line[_column(row)] = row
    ordered = _ordered([Line(mode, setting, cells) for (mode, setting), cells in lines.items()])
    settings = [line.setting for line in ordered]
    preferred = [s for s in settings if s == (4,) or (study == "schedule" and s[0] == s[1])]
    return Ablation(study, columns, baselines, ordered, (preferred or settings)[0])


def pooled_minus(ours: Cells, reference: Cells) -> Paired | None:
    """The mean difference over the scenes that both have; None where there is none.

    Raises:
        UserError: two runs to compare were scored on different views.
    """
    both = [column for column in ours if column in reference]
    differences = [ours[column].differences(reference[column]) for column in both]
    known = [difference for difference in differences if difference is not None]
    return paired(known) if known else None


def _column(row: Row) -> Column:
    return row.scene, row.label.model


def _setting(study: Study, label: Label) -> Setting:
    if study == "partitions":
        return (label.K,)
    if study == "schedule":
        return label.distill_steps, label.steps
    return label.division, label.K


def setting_texts(study: Study, setting: Setting) -> list[str]:
    """The cells that say which line it is."""
    if study == "schedule":
        return [_thousands(steps) for steps in setting]
    return [MISSING if value is None else one_line(str(value)) for value in setting]


def setting_name(study: Study, setting: Setting) -> str:
    """A line's name where it stands alone."""
    texts = setting_texts(study, setting)
    if study == "partitions":
        return f"K = {texts[0]}"
    return (" + " if study == "schedule" else "-").join(texts)


def _thousands(steps: str | int | None) -> str:
    if not isinstance(steps, int):
        return MISSING
    return f"{steps // 1000}k" if steps % 1000 == 0 else f"{steps:,}"


def _ordered(lines: Sequence[Line]) -> list[Line]:
    """Numbers ascend; modes and divisions come as in the records."""
    modes = [line.mode for line in lines]
    texts = [value for line in lines for value in line.setting if isinstance(value, str)]

    def place(line: Line) -> tuple[float, ...]:
        ranks = [
            texts.index(value)
            if isinstance(value, str)
            else float("inf" if value is None else value)
            for value in line.setting
        ]
        return modes.index(line.mode), *ranks

    return sorted(lines, key=place)
