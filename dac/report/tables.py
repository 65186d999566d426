"""The main table (the paper's Tables 1 and 2): scene x method, from evaluation records.

Runs that differ only in the seed are one row: means over seeds, with standard deviations where
there are several. A row's gain is its PSNR minus that of the row it is compared with (2x baseline
over 1x, DaC over the 2x baseline), averaged over the seeds that both have: what a difference means
can't be read without how much the baseline itself still gained from twice the steps. The best value
of a scene is bold; the routed experts are K models, not one, and stand out of that contest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from dac.artifacts import write_file
from dac.errors import UserError
from dac.evaluation.records import Evaluation
from dac.report.methods import REFERENCES, method_name, method_rank
from dac.report.text import one_line

KEY = ["scene", "model", "method", "division", "K", "mode", "steps"]
METRICS = ["psnr", "ssim", "ms_ssim"]
DECIMALS = {"psnr": 2, "ssim": 3, "ms_ssim": 3}
COLUMNS = [
    *("scene", "name", "psnr", "ssim", "ms_ssim", "gain_psnr", "gain_over"),
    *("psnr_std", "ssim_std", "ms_ssim_std", "gain_std", "seeds"),
    *("model", "method", "division", "K", "mode", "steps", "total_steps"),
    *("test_views", "test_views_available", "training_seconds", "longest_path_seconds"),
    *("rays_per_second", "mean_image_psnr"),
]
PRINTED = ["Scene", "Model", "PSNR ↑", "SSIM ↑", "MS-SSIM ↑", "Gain", "Steps", "Views", "Seconds"]
MISSING = "--"


def main_table(records: Sequence[Path]) -> pd.DataFrame:
    """The table as numbers, one row per scene and method, in the order of the paper.

    Args:
        records: `evaluation.json` files, or the folders that hold them.

    Raises:
        UserError: no record, a damaged one, or two of the same run.
    """
    if not records:
        raise UserError("tables", "no evaluation record is given", "run an evaluation first")
    runs = pd.DataFrame([_row(Evaluation.load(path), order) for order, path in enumerate(records)])
    runs["scene_rank"] = runs.groupby("scene")["order"].transform("min")
    doubled = runs.duplicated([*KEY, "seed"])
    if doubled.any():
        path = records[int(doubled.to_numpy().argmax())]
        raise UserError(path, "records a run that another record holds too", "list each run once")
    rows = []
    for _, group in runs.groupby(KEY, sort=False, dropna=False):
        rows.append(_mean_over_seeds(group) | _gain(group, runs))
    table = pd.DataFrame(rows)
    table["name"] = _names(table)
    table = table.sort_values(["scene_rank", "model", "rank", "steps"], kind="stable")
    return table[COLUMNS].reset_index(drop=True)


def write_main_table(
    records: Sequence[Path], csv: Path, markdown: Path, latex: Path, html: Path
) -> None:
    """Write the table as CSV (plain numbers), Markdown, LaTeX (booktabs) and an HTML page.

    Raises:
        UserError: as `main_table`; the disk is full.
    """
    table = main_table(records)
    write_csv(table, csv)
    cells = _cells(table)
    text = markdown_table(table, cells)
    write_file(markdown, lambda part: part.write_text(text, encoding="utf-8"))
    tex = latex_table(table, cells)
    write_file(latex, lambda part: part.write_text(tex, encoding="utf-8"))
    page = html_page(table, cells)
    write_file(html, lambda part: part.write_text(page, encoding="utf-8"))


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write plain numbers; a value that doesn't exist is empty."""
    text = table.to_csv(index=False, lineterminator="\n", float_format="%.6g")
    write_file(path, lambda part: part.write_text(text, encoding="utf-8"))


def read_main_table(csv: Path) -> pd.DataFrame:
    """Read what `write_csv` wrote.

    Raises:
        UserError: the file is missing or is no such table.
    """
    try:
        text = {"scene": str, "model": str}
        # A scene may be called NA or None: only what is empty doesn't exist.
        table = pd.read_csv(csv, dtype=text, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise UserError(csv, "no such file", "run the workflow first") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(csv, f"is no table ({error})", "run the report again") from None
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise UserError(csv, f"has no column '{missing[0]}'", "run the report again")
    return table


def format_main_table(csv: Path) -> str:
    """The table for a terminal, best of each scene marked with *, and what the gains mean."""
    table = read_main_table(csv)
    cells = _cells(table)
    best = _best(table)
    for column, name in zip(METRICS, PRINTED[2:5], strict=True):
        cells[name] = [
            text + ("*" if mark else " ")
            for text, mark in zip(cells[name], best[column], strict=True)
        ]
    rows = [PRINTED, *cells.to_numpy().tolist()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(PRINTED))]
    lines = []
    for index, row in enumerate(rows):
        if index > 0 and (index == 1 or row[0] != rows[index - 1][0]):
            lines.append("  ".join("-" * width for width in widths))
        first = row[0] if index == 0 or row[0] != rows[index - 1][0] else ""
        aligned = [text.rjust(width) for text, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), row[1].ljust(widths[1]), *aligned]))
    return "\n".join([*lines, "", _note(table)])


NOTE = (
    "Gain: dB over the row it is compared with, 2x over 1x and DaC over 2x. "
    "Steps and seconds count every run that the model builds on "
    "(DaC: all experts, distillation, fine-tuning). "
    "PSNR of rendering every view with the training views' mean image: "
)


def _note(table: pd.DataFrame) -> str:
    scenes = table.drop_duplicates("scene")
    pairs = zip(scenes["scene"], scenes["mean_image_psnr"], strict=True)
    return NOTE + ", ".join(f"{one_line(scene)} {value:.2f} dB" for scene, value in pairs) + "."


def _row(record: Evaluation, order: int) -> dict[str, Any]:
    label, cost = record.label, record.cost
    return {
        "scene": record.scene,
        "model": label.model,
        "method": label.method,
        "division": label.division,
        "K": label.K,
        "mode": label.mode,
        "steps": label.steps,
        "seed": label.seed,
        "order": order,
        "psnr": record.mean.psnr,
        "ssim": record.mean.ssim,
        "ms_ssim": record.mean.ms_ssim,
        "total_steps": cost.training_steps,
        "test_views": len(record.images),
        "test_views_available": record.test_views,
        "training_seconds": cost.training_seconds,
        "longest_path_seconds": cost.longest_path_seconds,
        "rays_per_second": cost.rays_per_second,
        "mean_image_psnr": record.mean_image_psnr,
    }


def _mean_over_seeds(group: pd.DataFrame) -> dict[str, Any]:
    """One row of the table: keys, means and (over several seeds) standard deviations."""
    row: dict[str, Any] = {key: group[key].iloc[0] for key in KEY}
    row |= {"seeds": len(group), "scene_rank": group["scene_rank"].iloc[0]}
    row["rank"] = method_rank(row["method"])
    for metric in METRICS:
        values = pd.to_numeric(group[metric])
        complete = bool(values.notna().all())
        row[metric] = values.mean() if complete else None
        row[f"{metric}_std"] = values.std(ddof=1) if complete and len(group) > 1 else None
    for column in ("total_steps", "test_views", "test_views_available"):
        row[column] = int(group[column].max())
    for column in ("training_seconds", "longest_path_seconds", "rays_per_second"):
        row[column] = group[column].mean()
    row["mean_image_psnr"] = group["mean_image_psnr"].mean()
    return row


def _gain(group: pd.DataFrame, runs: pd.DataFrame) -> dict[str, Any]:
    """PSNR over the reference method, paired by seed; nothing where there is no one reference."""
    first = group.iloc[0]
    reference = REFERENCES.get(first["method"])
    same = (runs["scene"] == first["scene"]) & (runs["model"] == first["model"])
    against = runs[same & (runs["method"] == reference)]
    nothing = {"gain_psnr": None, "gain_std": None, "gain_over": None}
    if against["steps"].nunique() != 1:
        return nothing
    pairs = group.merge(against, on="seed", suffixes=("", "_reference"))
    if pairs.empty:
        return nothing
    gain = pairs["psnr"] - pairs["psnr_reference"]
    spread = gain.std(ddof=1) if len(gain) > 1 else None
    return {"gain_psnr": gain.mean(), "gain_std": spread, "gain_over": reference}


def _names(table: pd.DataFrame) -> list[str]:
    """Printed names; rows of one scene, model and method say in brackets how they differ."""
    names = []
    for _, row in table.iterrows():
        same = table[["scene", "model", "method"]] == row[["scene", "model", "method"]]
        rivals = table[same.all(axis=1)]
        marks = []
        if len(rivals[["division", "K"]].drop_duplicates()) > 1:
            marks.append(f"{row['division']}-{row['K']:.0f}")
        if rivals["mode"].nunique() > 1:
            marks.append(str(row["mode"]))
        if rivals["steps"].nunique() > 1:
            marks.append(f"{row['steps']:,} steps")
        name = method_name(row["method"], row["model"])
        names.append(f"{name} ({', '.join(marks)})" if marks else name)
    return names


def _cells(table: pd.DataFrame) -> pd.DataFrame:
    """The printed text of every cell, unescaped."""
    columns = {"Scene": [*map(one_line, table["scene"])], "Model": [*map(one_line, table["name"])]}
    for name, metric in zip(PRINTED[2:5], METRICS, strict=True):
        columns[name] = [
            _number(value, spread, DECIMALS[metric])
            for value, spread in zip(table[metric], table[f"{metric}_std"], strict=True)
        ]
    columns["Gain"] = [
        _number(value, spread, 2, "+")
        for value, spread in zip(table["gain_psnr"], table["gain_std"], strict=True)
    ]
    columns["Steps"] = [f"{steps:,}" for steps in table["total_steps"]]
    views = zip(table["test_views"], table["test_views_available"], strict=True)
    columns["Views"] = [f"{a}" if a == b else f"{a} of {b}" for a, b in views]
    columns["Seconds"] = [f"{seconds:,.0f}" for seconds in table["training_seconds"]]
    return pd.DataFrame(columns, columns=PRINTED)


def _number(value: float | None, spread: float | None, decimals: int, sign: str = "") -> str:
    if value is None or pd.isna(value):
        return MISSING
    text = f"{value:{sign}.{decimals}f}"
    return text if spread is None or pd.isna(spread) else f"{text} ± {spread:.{decimals}f}"


def _best(table: pd.DataFrame) -> pd.DataFrame:
    """Whether a cell holds its scene's best value, as printed.

    Equal prints share the honour, unless all of the scene's are equal.
    """
    marks = pd.DataFrame(index=table.index)
    for metric in METRICS:
        printed = pd.to_numeric(table[metric]).round(DECIMALS[metric])
        printed = printed.where(table["method"] != "experts")
        scenes = printed.groupby(table["scene"])
        best, worst = scenes.transform("max"), scenes.transform("min")
        marks[metric] = (printed == best) & (best > worst)
    return marks


def _marked(
    table: pd.DataFrame, cells: pd.DataFrame, escaped: Callable[[str], str], bold: tuple[str, str]
) -> list[list[str]]:
    """The printed rows, escaped, each scene's best values between the two signs of `bold`."""
    best, rows = _best(table), []
    for index, row in enumerate(cells.to_dict("records")):
        texts = [escaped(str(row[name])) for name in PRINTED]
        for metric, name in zip(METRICS, PRINTED[2:5], strict=True):
            if best[metric].iloc[index]:
                place = PRINTED.index(name)
                texts[place] = texts[place].join(bold)
        rows.append(texts)
    return rows


def markdown_table(table: pd.DataFrame, cells: pd.DataFrame) -> str:
    """The table in Markdown, best of each scene in bold."""
    marked = _marked(table, cells, _escape_markdown, ("**", "**"))
    rows = ["| " + " | ".join(texts) + " |" for texts in marked]
    head = "| " + " | ".join(PRINTED) + " |"
    rule = "|" + "|".join(["---", "---", *["---:"] * (len(PRINTED) - 2)]) + "|"
    return "\n".join([head, rule, *rows, "", _escape_markdown(_note(table))]) + "\n"


def _escape_markdown(text: str) -> str:
    return "".join("\\" + letter if letter in r"\`*_{}[]<>#|~&$" else letter for letter in text)


def latex_table(table: pd.DataFrame, cells: pd.DataFrame) -> str:
    """The table in LaTeX with booktabs rules, best of each scene in bold, a rule between scenes."""
    best = _best(table)
    styles = pd.DataFrame("", index=cells.index, columns=cells.columns)
    for metric, name in zip(METRICS, PRINTED[2:5], strict=True):
        styles.loc[best[metric], name] = "textbf:--rwrap"
    shown = cells.copy()
    shown["Scene"] = cells["Scene"].where(cells["Scene"] != cells["Scene"].shift(), "")
    styled = (
        shown.style.format(escape="latex").apply(lambda _: styles, axis=None).hide(axis="index")
    )
    text = styled.to_latex(hrules=True, column_format="ll" + "r" * (len(PRINTED) - 2))
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line == r"\midrule") + 1
    starts = [i for i in range(1, len(shown)) if shown["Scene"].iloc[i]]
    for index in reversed(starts):
        lines.insert(first + index, r"\midrule")
    # A row break takes what stands in brackets after it, or a star, for its own.
    lines = [re.sub(r"^(?=[\[*])", "{}", line) for line in lines]
    text = "\n".join(lines) + "\n"
    return text.replace("±", r"$\pm$").replace("↑", r"$\uparrow$")


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #1b1f24; background: #fff; }
table { border-collapse: collapse; border-bottom: 2px solid #1b1f24; }
th { border-top: 2px solid #1b1f24; border-bottom: 1px solid #1b1f24; }
th, td { padding: 0.25rem 0.8rem; text-align: right; font-variant-numeric: tabular-nums; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
tr.first td { border-top: 1px solid #9aa3ad; }
p { max-width: 46rem; color: #454d57; }
"""


def html_page(table: pd.DataFrame, cells: pd.DataFrame) -> str:
    """The table as a page of its own for the report, best of each scene in bold."""
    rows = []
    for index, texts in enumerate(_marked(table, cells, escape, ("<b>", "</b>"))):
        first = index > 0 and cells["Scene"].iloc[index] != cells["Scene"].iloc[index - 1]
        opening = '<tr class="first">' if first else "<tr>"
        rows.append(opening + "".join(f"<td>{text}</td>" for text in texts) + "</tr>")
    head = "".join(f"<th>{escape(name)}</th>" for name in PRINTED)
    lines = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Main table</title>',
        f"<style>{_STYLE}</style></head><body>",
        f"<table><thead><tr>{head}</tr></thead><tbody>",
        *rows,
        f"</tbody></table><p>{escape(_note(table))}</p></body></html>",
    ]
    return "\n".join(lines) + "\n"
