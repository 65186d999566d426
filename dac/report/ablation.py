"""An ablation, arranged from evaluation records: settings by scenes.

Notation: a line is a setting (K; the steps of distillation and of fine-tuning; a division and its
K) or a baseline, a column a scene and a model, since a scene's model may have its own name; a cell
is DaC's runs, one a seed. All lines are compared with one of them, the reference: K = 4; as many
steps of distillation as of fine-tuning; else the first.
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

Setting = tuple[str | int | None, ...]
Scene = tuple[str, str]  # and its model

# What a line is, by study: the heads of its columns.
SETTINGS = {
    "partitions": ("K",),
    "schedule": ("DST", "FT"),
    "division": ("Division", "K"),
    "overlap": ("Division", "K"),
}


@dataclass(frozen=True)
class Line:
    """One setting, or a baseline.

    Attributes:
        cells: scene -> the runs.
        setting: what `SETTINGS` names; empty for a baseline.
        mode: of the conquer phase.
        baseline: the method; empty for DaC.
    """

    cells: Mapping[Scene, Row]
    setting: Setting = ()
    mode: str | None = None
    baseline: str = ""


@dataclass(frozen=True)
class Ablation:
    """A study.

    Attributes:
        study: which.
        scenes: with their models, in the records' order.
        baselines: the lines of those baselines that there are.
        settings: DaC's lines, in order.
        reference: the setting that the others are compared with.
    """

    study: str
    scenes: list[Scene]
    baselines: list[Line]
    settings: list[Line]
    reference: Setting

    @property
    def lines(self) -> list[Line]:
        """All of them, the baselines first."""
        return [*self.baselines, *self.settings]

    def baseline(self, method: str) -> Mapping[Scene, Row]:
        """A baseline's cells; none where it isn't there."""
        return next((line.cells for line in self.baselines if line.baseline == method), {})

    def reference_of(self, line: Line) -> Line | None:
        """The line to compare with, of the same mode, or for a baseline of the first one's."""
        mode = self.settings[0].mode if line.baseline else line.mode
        for other in self.settings:
            if (other.mode, other.setting) == (mode, self.reference):
                return None if other is line else other
        return None

    def over_reference(self, line: Line) -> Paired | None:
        """The mean difference from the line to compare with, over the scenes that both have.

        Raises:
            UserError: two runs to compare were scored on different views.
        """
        other = self.reference_of(line)
        if other is None:
            return None
        both = [scene for scene in line.cells if scene in other.cells]
        differences = [line.cells[scene].differences(other.cells[scene]) for scene in both]
        known = [difference for difference in differences if difference is not None]
        return paired(known) if known else None


def ablation(study: str, records: Sequence[Path]) -> Ablation:
    """Arrange the records of DaC and of the two baselines; those of other methods are left out.

    Args:
        study: one of `SETTINGS`.
        records: `evaluation.json` files, or the folders that hold them.

    Raises:
        UserError: no record of DaC; a damaged one; two runs for one cell.
    """
    rows = load_rows(records)
    ours = [row for row in rows if row.label.method == "dac"]
    if not ours:
        raise UserError("tables", f"no record of DaC for the study '{study}'", "run it first")
    scenes = list(dict.fromkeys(_scene(row) for row in ours))
    baselines = []
    for method in ("baseline-1x", "baseline-2x"):
        cells = {_scene(row): row for row in rows if row.label.method == method}
        cells = {scene: row for scene, row in cells.items() if scene in scenes}
        baselines += [Line(cells, baseline=method)] if cells else []
    lines: dict[tuple[str | None, Setting], dict[Scene, Row]] = {}
    for row in ours:
        setting = _setting(study, row.label)
        cells = lines.setdefault((row.label.mode, setting), {})
        if _scene(row) in cells:
            what = f"two runs for one cell ({', '.join(setting_texts(study, setting))})"
            where = f"scene {one_line(row.scene)}"
            raise UserError(where, what, "give the records of one study")
        cells[_scene(row)] = row
    ordered = _ordered([Line(cells, setting, mode) for (mode, setting), cells in lines.items()])
    found = [line.setting for line in ordered]
    preferred = [s for s in found if s == (4,) or (study == "schedule" and s[0] == s[1])]
    return Ablation(study, scenes, baselines, ordered, (preferred or found)[0])


def _scene(row: Row) -> Scene:
    return row.scene, row.label.model


def _setting(study: str, label: Label) -> Setting:
    if study == "partitions":
        return (label.K,)
    if study == "schedule":
        return label.distill_steps, label.steps
    return label.division, label.K


def setting_texts(study: str, setting: Setting) -> list[str]:
    """The cells that say which line it is."""
    if study == "schedule":
        return [_thousands(steps) for steps in setting]
    return [MISSING if value is None else one_line(str(value)) for value in setting]


def setting_name(study: str, setting: Setting) -> str:
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

    def rank(value: str | int | None) -> float:
        if isinstance(value, str):
            return texts.index(value)
        return float("inf") if value is None else value

    return sorted(lines, key=lambda line: (modes.index(line.mode), *map(rank, line.setting)))
