"""The table of the controls: what DaC's gain comes from, scene by scene, and a diagnosis under it.

Rows are DaC's rivals, its stages and DaC itself (`controls.py`). Each has two differences of PSNR,
dB: its own from the 2x baseline, and DaC's from it. The best value of a scene is bold; the experts
are K models, not one, and the oracle is none: they stand out of that contest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from dac.report.controls import Controls, controls
from dac.report.diagnosis import sentences
from dac.report.rows import (
    DECIMALS,
    METRICS,
    NUMBERS,
    Row,
    difference_columns,
    difference_numbers,
    row_names,
)
from dac.report.statistics import Paired
from dac.report.table_writers import (
    ONE_SEED_NOTE,
    ONE_VIEW_NOTE,
    SCORES,
    UNSURE,
    PrintedTable,
    best,
    number,
    share,
    with_interval,
    write_csv,
    write_printed,
)
from dac.report.tables import Outputs, Settings
from dac.report.text import MISSING, one_line


def write(records: Sequence[Path], outputs: Outputs, settings: Settings, study: str) -> None:
    """Write all files of the table."""
    files = [outputs[kind] for kind in ("csv", "md", "tex", "html")]
    divisions = {scene: (division, K) for scene, (division, K) in settings["divisions"].items()}
    write_controls_table(records, files[0], files[1], files[2], files[3], divisions)


HEAD = [
    *("Scene", "Model", *SCORES.values(), "− 2x", "Won", "DaC −", "Won"),
    *("Steps", "Seconds", "Path"),
]
COLUMNS = [
    *("scene", "name", *NUMBERS),
    *(*difference_columns("over_2x"), *difference_columns("dac_over")),
]


def write_controls_table(
    records: Sequence[Path],
    csv: Path,
    markdown: Path,
    latex: Path,
    html: Path,
    divisions: Mapping[str, tuple[str, int]],
) -> None:
    """Write the controls as CSV (plain numbers), Markdown, LaTeX and an HTML page.

    The diagnosis is part of the Markdown and the page.

    Args:
        records: `evaluation.json` files, or the folders that hold them; what is no control of the
            configured division is left out.
        csv, markdown, latex, html: files to write.
        divisions: scene -> the configured division and its K.

    Raises:
        UserError: as `controls`; two models to compare were scored on different views; the disk is
            full.
    """
    every = controls(records, divisions)
    scenes = [found for place, found in enumerate(every) if not _same_scene(found, every[:place])]
    lines = [
        (row, *_differences(_of_mode(row.label.mode, scene, every), row))
        for scene in scenes
        for row in scene.rows
    ]
    names = row_names([row for row, _, _ in lines])
    numbers = [
        row.numbers()
        | {"name": name}
        | difference_numbers(over, "over_2x")
        | difference_numbers(ahead, "dac_over")
        for name, (row, over, ahead) in zip(names, lines, strict=True)
    ]
    write_csv(pd.DataFrame(numbers, columns=COLUMNS), csv)
    rows = [
        _texts(name, row, over, ahead)
        for name, (row, over, ahead) in zip(names, lines, strict=True)
    ]
    differences = [d for line in lines for d in line[1:] if d is not None]
    printed = PrintedTable(
        title="Controls",
        head=HEAD,
        rows=rows,
        bold=_best(scenes),
        rules=_starts(scenes),
        left=2,
        grouped=True,
        notes=_notes([row for row, _, _ in lines], differences, every),
        findings=sentences(every),
    )
    write_printed(printed, markdown, latex, html)


def _same_scene(found: Controls, others: Sequence[Controls]) -> list[Controls]:
    """Those of the same scene and model, in other modes."""
    return [o for o in others if (o.scene, o.model) == (found.scene, found.model)]


def _of_mode(mode: str | None, scene: Controls, every: Sequence[Controls]) -> Controls:
    """The scene's controls in a row's mode; for a row without one, the first mode's."""
    same = [found for found in _same_scene(scene, every) if found.mode == mode]
    return same[0] if same else scene


def _differences(scene: Controls, row: Row) -> tuple[Paired | None, Paired | None]:
    """Over the 2x baseline, and DaC's over the row."""
    over = None if scene.twice is None or scene.twice is row else row.minus(scene.twice)
    ahead = None if scene.dac is None or scene.dac is row else scene.dac.minus(row)
    return over, ahead


def _texts(name: str, row: Row, over: Paired | None, ahead: Paired | None) -> list[str]:
    scores = [number(row.mean(m), DECIMALS[m], row.spread(m)) for m in METRICS]
    texts = [one_line(row.scene), name, *scores]
    for difference in (over, ahead):
        if difference is None:
            texts += [MISSING, MISSING]
        else:
            texts.append(with_interval(difference.mean, difference.low, difference.high))
            texts.append(share(difference.won, difference.views))
    seconds = (row.cost["training_seconds"], row.cost["longest_path_seconds"])
    return [*texts, f"{row.cost['total_steps']:,}", *(f"{value:,.0f}" for value in seconds)]


def _starts(scenes: Sequence[Controls]) -> set[int]:
    """The first rows of all scenes but the first."""
    starts, place = set(), 0
    for scene in scenes[:-1]:
        place += len(scene.rows)
        starts.add(place)
    return starts


def _best(scenes: Sequence[Controls]) -> set[tuple[int, int]]:
    """(row, column) of each scene's best values, as printed."""
    found, start = set(), 0
    for scene in scenes:
        for column, metric in enumerate(METRICS, start=2):
            values = [
                None if row.label.method in ("experts", "oracle") else row.mean(metric)
                for row in scene.rows
            ]
            marks = best(values, DECIMALS[metric])
            found |= {(start + place, column) for place, mark in enumerate(marks) if mark}
        start += len(scene.rows)
    return found


def _notes(
    rows: Sequence[Row], differences: Sequence[Paired], every: Sequence[Controls]
) -> list[str]:
    modes = sorted({found.mode for found in every if found.mode is not None})
    which = f" (in the row's mode; else {one_line(modes[0])})" if len(modes) > 1 else ""
    notes = [
        f"− 2x: PSNR over the 2x baseline's; DaC −: DaC's PSNR{which} over the row's; dB, with "
        "95 % intervals over views and seeds; Won: on how many test views. Steps and Seconds count "
        "every run that the model builds on; Path: seconds with the experts side by side."
    ]
    unsure = any(not difference.sure for difference in differences)
    marks = [f"{UNSURE} the interval includes zero: no difference."] * unsure
    marks += [ONE_SEED_NOTE] * any(difference.seeds == 1 for difference in differences)
    marks += [ONE_VIEW_NOTE] * any(difference.views == 1 for difference in differences)
    if marks:
        notes.append(" ".join(marks))
    if any(row.label.method == "oracle" for row in rows):
        notes.append(
            "Oracle: each test view by its best expert, which only the test view itself can tell: "
            "a bound, not a method. Where experts are scored on a grid of pixels, the best "
            "expert's lead is that on the grid."
        )
    return notes
