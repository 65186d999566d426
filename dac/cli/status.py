"""`dac status`: what is done, runs, or failed, from the results folder alone."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from dac.catalogue import models_of, scenes_of
from dac.cli import completion
from dac.cli.jobs import Job, duration, jobs_of, results_folders
from dac.errors import UserError
from dac.runs import Run

_SILENT = 600.0  # seconds: a running job's log is written to every 10 s in a training
_HINTS = {
    "cut off": "told to end, killed, or its machine went down",
    "unknown": "it may run, or was killed: this file system has no locks",
}
_PLANNED = (
    "What is planned and has not begun can't be seen in a results folder: snakemake -n with your "
    "--configfile lists it."
)
_CLEAR = "\x1b[H\x1b[2J"  # a terminal's
_KINDS = ("table", "figure", "training", "evaluation", "partition", "diagnosis", "rendering")


@dataclass(frozen=True)
class Score:
    """A scored model.

    Attributes:
        scene, field, seed: whose.
        name: its path below the seed's folder.
        title: what people call it.
        psnr: mean over the scored test views, dB; None where the record is damaged.
        views: how many were scored.
    """

    scene: str
    field: str
    seed: str
    name: str
    title: str
    psnr: float | None
    views: int


@dataclass(frozen=True)
class Status:
    """What a results folder holds; jobs and scores of all its scenes."""

    results: Path
    scenes: tuple[str, ...]
    jobs: tuple[Job, ...]
    scores: tuple[Score, ...]
    trainings: dict[str, int]


def status(
    results: Annotated[
        Path,
        typer.Argument(help="The results folder, or one that holds several, as `results` may."),
    ] = Path("results"),
    scene: Annotated[
        str | None, typer.Option(help="This scene alone.", autocompletion=completion.scenes)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: one JSON document, on one line.")
    ] = False,
    watch: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            metavar="SECONDS",
            help="Look again every so often, until Ctrl-C.",
            show_default="once",
        ),
    ] = None,
) -> None:
    """Say what is done, what runs, what failed.

    And how far it is, when it will be done, why it failed, and the PSNR of what was scored. Files
    alone are read (logs, their locks, records): it works beside a workflow that runs, here or on a
    cluster, and when that is long over. Nothing is changed.

      dac status results/garden

      dac status --watch 10
    """
    try:
        while True:
            found = _look(results, scene)
            _show(found, as_json, clear=watch is not None and sys.stdout.isatty())
            if watch is None:
                return
            time.sleep(watch)
    except KeyboardInterrupt:
        raise typer.Exit from None


def _look(root: Path, scene: str | None) -> list[Status]:
    """Every results folder at or below `root`.

    Raises:
        UserError: there is none; no such scene.
    """
    if not root.is_dir():
        raise UserError(root, "no such folder", "run the workflow, or name its results folder")
    found = [_status_of(folder, scene) for folder in results_folders(root)]
    if not found:
        raise UserError(root, "holds no logs of a workflow", "name its results folder")
    if scene is not None and not any(status.scenes for status in found):
        raise UserError(root, f"holds no scene {scene}", "without --scene, all are listed")
    return [status for status in found if status.scenes or scene is None]


def _status_of(results: Path, only: str | None) -> Status:
    jobs = tuple(job for job in jobs_of(results) if only in (None, job.scene))
    every = {job.scene for job in jobs if job.scene} | set(scenes_of(results))
    names = tuple(sorted(name for name in every if only in (None, name)))
    scores = tuple(score for name in names for score in scores_of(results, name))
    trainings = {name: len(models_of(results, name)) for name in names}
    return Status(results, names, jobs, scores, trainings)


def scores_of(results: Path, scene: str) -> Iterator[Score]:
    """The scored models of a scene, in the catalogue's order, then experts on their own views."""
    groups = sorted((results / scene).glob("*/seed*/*"))
    found = (Run.parse(folder.relative_to(results).as_posix()) for folder in groups)
    experts = [run for run in found if run is not None and run.kind == "experts"]
    for run in [*models_of(results, scene), *experts]:
        record = results / run.evaluation / "evaluation.json"
        if record.is_file():
            name = run.name if run.kind != "experts" else f"{run.name}/{record.parent.name}"
            about = (scene, run.model, f"seed{run.seed}", name, run.title)
            yield Score(*about, *_psnr_in(record))


def _psnr_in(record: Path) -> tuple[float | None, int]:
    from dac.evaluation.records import Evaluation

    try:
        evaluation = Evaluation.load(record)
    except UserError:
        return None, 0
    return evaluation.mean.psnr, len(evaluation.images)


def _show(found: Sequence[Status], as_json: bool, *, clear: bool) -> None:
    if as_json:
        print(json.dumps([_plain(status) for status in found], sort_keys=True), flush=True)
        return
    if clear:
        print(_CLEAR, end="")
    lines = [line for status in found for line in _lines(status)]
    print("\n".join([*lines, "", _PLANNED]), flush=True)


def _plain(status: Status) -> dict[str, Any]:
    data = asdict(status)
    data["results"] = str(status.results)
    for job in data["jobs"]:
        job["log"] = str(job["log"])
    return data


def _lines(status: Status) -> Iterator[str]:
    yield str(status.results)
    for scene in (*status.scenes, ""):
        jobs = [job for job in status.jobs if job.scene == scene]
        if not scene and not jobs:
            continue
        yield f"  {scene or 'tables and figures'}"
        done = _done(jobs, status.trainings.get(scene, 0))
        if done:
            yield f"    {'done':<9}{done}"
        for job in jobs:
            if job.state != "done":
                yield f"    {job.state:<9}{job.name}{_words(job)}"
        for score in status.scores:
            if score.scene == scene:
                psnr = "damaged" if score.psnr is None else f"{score.psnr:6.2f} dB"
                yield f"    {'scored':<9}{psnr}  {score.field}/{score.seed}/{score.name}"


def _done(jobs: Sequence[Job], trainings: int) -> str:
    """What is done, in a line: many of a kind as a number, trainings as the catalogue has them."""
    counts = Counter(_kind(job) for job in jobs if job.state == "done")
    counts["training"] = trainings
    alone = [name for name in counts if name not in _KINDS]
    many = [_counted(counts[kind], kind) for kind in _KINDS if counts[kind]]
    return ", ".join([*alone, *many])


def _kind(job: Job) -> str:
    """What there is much of has a name of its own; the rest is called as its job."""
    path = f"{job.scene}/{job.name}"
    scored = Run.parse(path.rpartition("/")[0])
    if scored is not None and scored.evaluation == path:
        return "evaluation"
    if Run.parse(path) is not None:
        return "training"
    folders = {"tables": "table", "figures": "figure", "rendered": "rendering"}
    files = {"partition": "partition", "diagnostics": "diagnosis"}
    folder, _, file = job.name.partition("/")
    return folders.get(folder) or files.get(file) or job.name


def _counted(count: int, kind: str) -> str:
    plural = "diagnoses" if kind == "diagnosis" else f"{kind}s"
    return f"{count} {kind if count == 1 else plural}"


def _words(job: Job) -> str:
    """What there is to say of a job that isn't done."""
    if job.state == "failed":
        return f": {job.said} ({job.log})"
    if job.state != "running":
        again = "goes on from its last state" if job.resumes else "begins again"
        return f": {_HINTS[job.state]}; it {again} with the same snakemake command"
    return ": " + ", ".join(_how_far(job))


def _how_far(job: Job) -> Iterator[str]:
    silent, progress = job.silent_seconds or 0.0, job.progress
    if progress is None:
        yield job.said or "it has told nothing yet"
    else:
        share = 100 * progress.at / max(progress.of, 1)
        yield f"{progress.unit} {progress.at:,} of {progress.of:,} ({share:.0f} %)"
        if progress.psnr is not None:
            yield f"PSNR {progress.psnr:.2f} dB"
        yield f"{duration(max(0.0, progress.eta_seconds - silent))} left"
    if silent > _SILENT:
        yield f"silent for {duration(silent)}"
