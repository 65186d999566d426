"""Publish the tables and figures of a finished configuration as a page under docs/results/.

    python docs/make_results.py results/lego_small --title "Lego, small" \\
        --command "snakemake --cores all --configfile config/paper/small/lego.yaml"

Copies the Markdown tables and PNG figures of the studies and writes docs/results/{folder}/README.md
around them: the command, the commits and devices that the evaluation records name, how many jobs
ran and how long they took together. What each model costs is told in time of one core, from the
step times that `bench.step_times` measured, since the records' seconds are wall time, beside all
else that the machine did. Nothing on the page is typed by hand.

The numbers of the study `equal_path` are copied too, and put together with those of the other
pages beside this one as `equal_path.csv` in the folder of them all.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any, get_args

from dac.errors import UserError
from dac.evaluation.records import RECORD_FILE, Evaluation
from dac.report.methods import method_name, method_rank
from dac.report.table import Column, Table, named, numbered
from dac.report.table_files import markdown_text
from dac.settings import Conquer
from dac.storage.artifacts import write_file
from dac.workflow.plan import Steps, StepTimes, read_step_times

ROOT = Path(__file__).resolve().parent.parent
STEP_TIMES = ROOT / "docs" / "results" / "step_times.json"
# Table or figure -> its heading, in the page's order.
TABLES = {
    "equal_path": "What K workers reach in one worker's wall-clock",
    "main": "The main table",
    "controls": "Controls",
    "partitions": "Number of groups (the paper's Table 3)",
    "schedule": "Distillation against fine-tuning (the paper's Table 4)",
    "division": "How the views are divided",
    "overlap": "Overlapping sectors (the paper's Figure 6)",
}
MODES = get_args(Conquer)
FIGURES = {
    "equal-path": "Test PSNR over the path: what K workers reach in one worker's wall-clock",
    "convergence-study": "Test PSNR over steps (the paper's Figure 2)",
    "overlap-study": "Overlapping sectors (the paper's Figure 6)",
    "controls-study": "Controls, view by view, and where the gain arises",
    **{f"qualitative-{m}": f"Renders (the paper's Figure 5), `{m}` mode" for m in MODES},
}
SCENE_FIGURES = {
    "experts-points": "PSNR of the experts on the points (the paper's Figure 1)",
    "experts": "Experts against the baseline",
    **{f"convergence-{mode}": f"Held-out PSNR in training, `{mode}` mode" for mode in MODES},
}
NUMBERS = "equal_path.csv"
# Methods whose steps are of the measured batch and model.
PRICED = ("baseline", "restart", "experts", "dac", "merged", "routed")

COST_COLUMNS: list[Column[Any]] = [
    named("name", None, "Model"),
    named("groups", None, "Groups"),
    numbered("images", None, "Steps on images"),
    numbered("distilled", None, "of distillation"),
    numbered("seconds", None, "Core s"),
    numbered("path", None, "Path, core s"),
]
COST_NOTE = (
    "\nSteps times the measured CPU time of a step on one core "
    "([step_times.json](../step_times.json)); Path: with the experts side by side.\n"
)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="the configuration's results folder")
    parser.add_argument("--title", required=True)
    parser.add_argument("--command", required=True, action="append", help="as it was run")
    parser.add_argument("--out", type=Path, help="default: docs/results/{folder's name}")
    options = parser.parse_args(arguments)
    out = options.out or ROOT / "docs" / "results" / options.results.name
    try:
        publish(options.results, options.title, options.command, out)
    except UserError as error:
        sys.exit(f"error: {error}")


def publish(results: Path, title: str, commands: list[str], out: Path) -> None:
    """Write the page and copy its figures.

    Raises:
        UserError: there is no evaluation record or no table; a record is damaged.
    """
    kept = results / "state"  # what the workflow has not yet forgotten
    files = sorted(file for file in results.rglob(RECORD_FILE) if kept not in file.parents)
    tables = {name: results / "tables" / f"{name}.md" for name in TABLES}
    tables = {name: path for name, path in tables.items() if path.exists()}
    if not files or not tables:
        raise UserError(results, "holds no records or no tables", "run the workflow first")
    records = [Evaluation.load(file) for file in files]
    scenes = list(dict.fromkeys(record.scene for record in records))
    out.mkdir(parents=True, exist_ok=True)
    parts = [f"# {title}\n", *_provenance(results, records, commands)]
    for name, path in tables.items():
        parts += [f"## {TABLES[name]}\n", path.read_text(encoding="utf-8")]
    parts += _costs(records, read_step_times(STEP_TIMES))
    wanted = dict(FIGURES)
    for scene in scenes:
        wanted |= {f"{scene}-{kind}": f"{what}: {scene}" for kind, what in SCENE_FIGURES.items()}
    for name, heading in wanted.items():
        figure = results / "figures" / f"{name}.png"
        if figure.exists():
            shutil.copyfile(figure, out / figure.name)
            parts += [f"## {heading}\n", f"![{heading}]({figure.name})\n"]
    for scene in scenes:
        for figure in sorted((results / scene).glob("*/partition.png")):
            name = f"{scene}-{figure.parent.name}.png"
            shutil.copyfile(figure, out / name)
            heading = f"Groups (the paper's Figure 3): {scene}, {figure.parent.name}"
            parts += [f"## {heading}\n", f"![{heading}]({name})\n"]
    numbers = results / "tables" / NUMBERS
    if numbers.exists():
        shutil.copyfile(numbers, out / NUMBERS)
        _gather(out.parent)
    text = "\n".join(parts)
    write_file(out / "README.md", lambda part: part.write_text(text, encoding="utf-8"))
    print(f"Written: {out / 'README.md'}")


def _gather(pages: Path) -> None:
    """All pages' numbers of the study in one file, page by page."""
    files = [file.read_text(encoding="utf-8") for file in sorted(pages.glob(f"*/{NUMBERS}"))]
    heads = {text.partition("\n")[0] for text in files}
    if len(heads) != 1:
        raise UserError(pages, f"holds {NUMBERS} of several forms", "publish all pages again")
    text = heads.pop() + "\n" + "".join(text.partition("\n")[2] for text in files)
    write_file(pages / NUMBERS, lambda part: part.write_text(text, encoding="utf-8"))


def _provenance(results: Path, records: list[Evaluation], commands: list[str]) -> list[str]:
    commits = Counter(record.git_commit or "no checkout" for record in records)
    devices = Counter(record.device for record in records)
    jobs, seconds = _jobs(results)
    return [
        "```sh\n" + "\n".join(commands) + "\n```\n",
        f"- {len(records)} evaluation records; commit {', '.join(sorted(commits))}",
        f"- device: {', '.join(sorted(devices))}; torch {records[0].versions.get('torch', '?')}",
        f"- {jobs:,} jobs took {seconds / 3600:.2f} hours together, one thread each but for "
        "structure from motion and triangulation; on a shared machine, so an upper bound",
        "",
    ]


def _costs(records: list[Evaluation], times: list[StepTimes]) -> list[str]:
    """What the main methods cost at the measured time of a step; empty where none was measured."""
    rows: dict[tuple[int, str, int, int], dict[str, Any]] = {}
    for record in records:
        label = record.label
        model = {k: v for k, v in record.settings.get("model", {}).items() if k != "name"}
        # One batch size a model is measured.
        fitting = [time for time in times if time.model == model]
        if not fitting or not label.method.startswith(PRICED):
            continue
        distilled = label.distill_steps or 0
        whole = Steps(record.cost.training_steps - distilled, distilled)
        after = distilled + label.steps if label.method == "dac" else 0
        K = label.K or 1
        beside = (record.cost.training_steps - after) * (K - 1) // K
        if label.horizon is not None:  # such records say their path
            beside = record.cost.training_steps - (record.cost.longest_path_steps or 0)
        groups = "" if label.K is None else f"{label.division}-{label.K}"
        rows[method_rank(label.method), groups, whole.images, distilled] = {
            "name": method_name(label.method, label.model),
            "groups": groups,
            "images": whole.images,
            "distilled": distilled,
            "seconds": 3600 * fitting[0].hours(whole),
            "path": 3600 * fitting[0].hours(Steps(whole.images - beside, distilled)),
        }
    if not rows:
        return []
    ordered = [rows[key] for key in sorted(rows)]
    table = Table("What it costs", COST_COLUMNS, ordered, contests=[None] * len(ordered))
    return [f"## {table.title}\n", markdown_text(table).rstrip(), COST_NOTE]


def _jobs(results: Path) -> tuple[int, float]:
    """How many jobs have a benchmark, and the sum of their seconds."""
    seconds = []
    for file in sorted((results / "benchmarks").rglob("*.tsv")):
        with file.open(encoding="utf-8", newline="") as lines:
            seconds += [float(row["s"]) for row in csv.DictReader(lines, delimiter="\t")]
    return len(seconds), sum(seconds)


if __name__ == "__main__":
    main()
