"""The tables of the page: what each model reaches, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dac.page.results import SceneResults
from dac.report import equal_path_findings
from dac.report.columns import RUN, SCENE_AND_NAME, Named, cost, difference_columns, with_gains
from dac.report.diagnosis import sentences
from dac.report.equal_path import arranged
from dac.report.methods import known_method
from dac.report.rows import SEVERAL_MODELS, Row
from dac.report.table import Column, Table, numbered, printed, values_of
from dac.report.text import number, one_line


@dataclass(frozen=True)
class Tables:
    """The tables.

    Attributes:
        scores: of baselines, DaC and experts; then, apart, of what DaC is held against, and its
            stages.
        costs: of the former.
        findings: what the controls say, by rule.
    """

    scores: Table
    costs: Table
    findings: tuple[str, ...]


def tables(results: SceneResults) -> Tables:
    """The tables of a scene.

    Raises:
        UserError: two models to compare were scored on different views.
    """
    main, controls = results.rows, results.control_rows
    every = with_gains([*main, *controls])
    where = f"{one_line(results.main.scene)}: "
    said = sentences([results.main])
    if results.specialists is not None and results.main.once is not None:
        # Its first words are the model's, where there are others: the page is about one.
        alone = replace(results.every, several_models=False)
        said += equal_path_findings.sentences([arranged(alone, results.specialists)])
    return Tables(
        scores=_table(
            _score_columns(every), every, ["main"] * len(main) + ["controls"] * len(controls)
        ),
        costs=_table(_cost_columns(main), every[: len(main)], ()),
        findings=tuple(text.removeprefix(where) for text in said),
    )


def _table(columns: list[Column[Named]], rows: Sequence[Named], parts: Sequence[str]) -> Table:
    methods = [each.row.label.method for each in rows]
    return Table(
        title="",
        columns=printed(columns)[1:],  # all are of one scene
        rows=values_of(columns, rows),
        contests=[None if method in SEVERAL_MODELS else "scene" for method in methods],
        parts=parts,
        colours=[known_method(method) for method in methods],
    )


def _score_columns(every: Sequence[Named]) -> list[Column[Named]]:
    names = {id(each.row): each.name for each in every}
    return [
        *SCENE_AND_NAME,
        *RUN,
        Column("over", lambda each: names[id(each.reference)] if each.over else ""),
        *difference_columns(
            *("gain", lambda each: each.gain, "Gain, dB"),
            more=lambda v: f"over {v['over']}" if v["over"] else "",
        ),
        Column(heading="Seeds", text=lambda v: number(v["seeds"])),
        Column(
            heading="Steps, seconds",
            text=lambda v: number(v["total_steps"]),
            more=lambda v: f"{number(v['training_seconds'])} s",
        ),
    ]


def _cost_columns(rows: Sequence[Row]) -> list[Column[Named]]:
    def bar(name: str, heading: str) -> Column[Named]:
        most = max([1e-9, *(row.cost[name] for row in rows)])
        return replace(cost(name, heading), bar=lambda v: round(100 * v[name] / most, 2))

    columns = [
        *SCENE_AND_NAME,
        bar("total_steps", "Steps in all"),
        bar("training_seconds", "Seconds in all"),
        bar("longest_path_seconds", "Seconds, experts side by side"),
        cost("memory_bytes", "Memory", lambda value: f"{value / 1e9:.2f} GB"),
        cost("parameters", "Parameters"),
        cost("rays_per_second", "Rays/s"),
    ]
    if any(row.model_bytes is not None for row in rows):  # which older records lack
        columns.insert(-1, numbered("megabytes", _megabytes, "File, MB", 2))
    return columns


def _megabytes(each: Named) -> float | None:
    size = each.row.model_bytes
    return None if size is None else size / 1e6
