"""The table of the study `equal_path`: what each method reaches on a path, with its compute, bytes
and speed of rendering; and what follows, by rule, under it.

The CSV begins with what most readers want, in columns whose names don't change: `scene, method, K,
path, compute, bytes, seeds, views, psnr, gain_over_baseline_same_path, low, high`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dac.report.columns import HEADINGS, LABEL
from dac.report.equal_path import Line, equal_path
from dac.report.equal_path_findings import sentences
from dac.report.notes import in_parentheses, of_few, unsure
from dac.report.rows import DECIMALS, METRICS, Row, trunk_share
from dac.report.statistics import Paired
from dac.report.table import Column, Table, Values, printed, values_of
from dac.report.table_files import write_csv, write_printed
from dac.report.tables import Outputs, Settings
from dac.report.text import MISSING, missing, number, one_line, share, spread, with_interval

NOTES = (
    "Path: the longest chain of training steps, with the experts side by side: the wall-clock of K "
    "workers. Compute: all steps; one with K times the rays counts K times. Both in units of an "
    "expert's steps (1x). A step of one model of K times the parameters counts once, though it "
    "takes longer.",
    "Gain: PSNR over the baseline of the same path, and of the same compute, dB, with its 95 % "
    "interval over views and seeds; where there is none of as many steps, over the next longer "
    "one, whose length stands in parentheses; Won: on how many test views the former is a gain. "
    "Rays/s: in rendering them, beside whatever else the machine did.",
)
DISTILLED = (
    "Called `distilled` in the CSV: the paper's student after its fine-tuning, which is the model "
    "that its recipe ends with."
)


def write(records: Sequence[Path], outputs: Outputs, settings: Settings, study: str) -> None:
    """Write the table's files; what follows from it is part of the Markdown and the page.

    Args:
        records: `evaluation.json` files, or the folders that hold them.
        outputs, study: see `dac.report.tables`.
        settings: `routed`, scene -> the configured division, its K and the trunk's share.

    Raises:
        UserError: as `equal_path`; two models to compare were scored on different views; the disk
            is full.
    """
    scenes = equal_path(records, settings["routed"])
    lines = [line for scene in scenes for line in scene.lines]
    columns = [*_numbers(), *_texts()]
    values = values_of(columns, lines)
    write_csv(columns, values, outputs["csv"])
    parts = [(line.row.scene, line.label.model) for line in lines]
    table = Table(
        title="Equal path",
        columns=printed(columns),
        rows=values,
        contests=[(part, line.path) for part, line in zip(parts, lines, strict=True)],
        parts=parts,
        grouped=True,
        notes=_notes(lines),
        findings=sentences(scenes),
    )
    write_printed(table, outputs)


def _numbers() -> list[Column[Line]]:
    """The CSV's columns."""
    return [
        Column("scene", lambda line: line.row.scene),
        Column("method", lambda line: line.method),
        Column("K", lambda line: line.label.K),
        Column("path", lambda line: line.path),
        Column("compute", lambda line: line.compute),
        Column("bytes", lambda line: line.row.model_bytes),
        Column("seeds", lambda line: len(line.row.runs)),
        Column("views", lambda line: min(len(run.images) for run in line.row.runs)),
        Column("psnr", lambda line: line.row.mean("psnr")),
        *_gain(("gain_over_baseline_same_path", "low", "high", "won"), lambda line: line.gain),
        Column("baseline_path", lambda line: _length(line, line.beside)),
        *_gain(
            tuple(f"{part}_same_compute" for part in ("gain_over_baseline", "low", "high", "won")),
            lambda line: line.gain_at_equal_compute,
        ),
        Column("baseline_compute", lambda line: _length(line, line.equal)),
        *_gain(
            tuple(f"{part}_more_rays" for part in ("gain_over", "low", "high", "won")),
            lambda line: line.gain_over_batch,
        ),
        Column("trunk_share", lambda line: trunk_share(line.label)),
        Column("name", lambda line: line.name),
        *(Column(name, _of_label(name)) for name in LABEL if name not in ("method", "K")),
        *(Column(name, _mean(name)) for name in METRICS if name != "psnr"),
        *(Column(f"{name}_std", _spread(name)) for name in METRICS),
        Column("path_steps", lambda line: line.row.path_steps),
        *map(_cost, ("total_steps", "training_seconds", "longest_path_seconds")),
        *map(_cost, ("parameters", "memory_bytes", "rays_per_second")),
    ]


def _texts() -> list[Column[Line]]:
    """What is printed, made of the numbers."""
    return [
        Column(heading="Scene", text=lambda v: one_line(v["scene"]), left=True),
        Column(heading="Model", text=lambda v: v["name"], left=True),
        Column(heading="Groups", text=_groups),
        Column(heading="Trunk", text=lambda v: number(v["trunk_share"], 2)),
        Column(heading="Path", text=lambda v: _times(v["path"])),
        Column(heading="Compute", text=lambda v: _times(v["compute"])),
        Column(
            "psnr",
            heading=HEADINGS["psnr"],
            text=lambda v: number(v["psnr"], DECIMALS["psnr"]),
            more=lambda v: spread(v["psnr_std"], DECIMALS["psnr"]),
            best=DECIMALS["psnr"],
        ),
        Column(
            heading="Gain, same path",
            text=lambda v: with_interval(v["gain_over_baseline_same_path"], v["low"], v["high"]),
            more=lambda v: _longer(v["baseline_path"], v["path"]),
        ),
        Column(heading="Won", text=lambda v: share(v["won"], v["views"])),
        Column(
            heading="Gain, same compute",
            text=lambda v: with_interval(
                v["gain_over_baseline_same_compute"],
                v["low_same_compute"],
                v["high_same_compute"],
            ),
            more=lambda v: _longer(v["baseline_compute"], v["compute"]),
        ),
        Column(heading="MB", text=lambda v: number(v["bytes"] / 1e6, 1)),
        Column(heading="Params", text=lambda v: f"{v['parameters'] / 1e6:.2f} M"),
        Column(heading="Rays/s", text=lambda v: number(v["rays_per_second"])),
    ]


def _gain(
    names: tuple[str, ...], difference: Callable[[Line], Paired | None]
) -> list[Column[Line]]:
    """A difference, its interval and the views that were won."""

    def part(name: str, of: str) -> Column[Line]:
        def value(line: Line) -> float | None:
            found = difference(line)
            return None if found is None else getattr(found, of)

        return Column(name, value)

    return [part(*each) for each in zip(names, ("mean", "low", "high", "won"), strict=True)]


def _length(line: Line, baseline: Row | None) -> float | None:
    """A baseline's, in units of 1x."""
    return None if baseline is None else baseline.label.steps / line.once


def _of_label(name: str) -> Callable[[Line], Any]:
    return lambda line: getattr(line.label, name)


def _mean(metric: str) -> Callable[[Line], float | None]:
    return lambda line: line.row.mean(metric)


def _spread(metric: str) -> Callable[[Line], float | None]:
    return lambda line: line.row.spread(metric)


def _cost(name: str) -> Column[Line]:
    return Column(name, lambda line: line.row.cost[name])


def _groups(values: Values) -> str:
    if missing(values["K"]):
        return MISSING
    division = values["division"]
    return f"{values['K']} x" if division is None else one_line(f"{division}-{values['K']}")


def _times(value: float) -> str:
    return f"{value:.3g}x"


def _longer(baseline: float | None, own: float) -> str:
    """Says over which baseline a gain is, where that is longer."""
    if baseline is None or missing(baseline) or abs(baseline - own) <= 0.01 * own:
        return ""
    return f"({_times(baseline)})"


def _notes(lines: Sequence[Line]) -> list[str]:
    gains = [d for line in lines for d in (line.gain, line.gain_at_equal_compute) if d is not None]
    marks = [] if all(gain.sure for gain in gains) else [unsure("no difference.")]
    marks += in_parentheses(of_few((g.seeds for g in gains), (g.views for g in gains)))
    notes = [*NOTES, *([" ".join(marks)] if marks else [])]
    return notes + [DISTILLED] * any(line.method == "distilled" for line in lines)
