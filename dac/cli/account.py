"""What `dac train` says while the workflow runs: a line a stage, and on a terminal how far it is.

It looks at the results folder alone, as `dac status` does; a *stage* is all jobs of a kind.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from dac.cli.jobs import Job, duration, jobs_of
from dac.configuration import Configuration
from dac.runs import Kind, Run
from dac.workflow.inputs import continued
from dac.workflow.plan import steps_of
from dac.workflow.reports import figures_wanted, tables_wanted
from dac.workflow.studies import all_scored, all_trainings

_TRAININGS: dict[Kind, str] = {
    "baseline": "one model",
    "restart": "restarted model",
    "big_batch": "larger batches",
    "wide": "wider model",
    "trunk": "trunk",
    "expert": "experts",
    "specialist": "experts",
    "mean": "mean of experts",
    "distilled": "distillation",
    "merged_distilled": "distillation",
    "dac": "fine-tuning",
    "merged": "fine-tuning",
    "merged_dac": "fine-tuning",
    "routed": "routed model",
}
_OTHERS = {
    "rendered": "rendering",
    "views": "rendered views",
    "frames": "frames",
    "sfm": "cameras",
    "scene": "images",
    "points": "points",
    "covisibility": "covisibility",
    "partition": "groups",
    "diagnostics": "groups' picture",
}
_SCORES, _SHOWN = "scores", "tables, figures"
_SURE = 5.0  # seconds of trainings that say how long the others take


class Account:
    """Says what is done, and how long the rest may take.

    Args:
        configuration: what was asked for.
        out: where to.
    """

    def __init__(self, configuration: Configuration, out: TextIO = sys.stdout) -> None:
        self._results = Path(configuration.settings.results)
        self._out = out
        self._live = out.isatty()
        self._started = time.monotonic()
        self._wanted = _wanted(configuration)
        self._steps = dict(_steps(configuration))
        self._first: tuple[float, int] | None = None  # a time of trainings, and the steps by then
        self._psnr: dict[str, float] = {}  # of trainings, the last that they told
        self._said: set[str] = set()

    def look(self) -> None:
        """Say what was finished since the last look."""
        jobs = jobs_of(self._results)
        for job in jobs:
            if job.progress is not None and job.progress.psnr is not None:
                self._psnr[_path(job)] = job.progress.psnr
        left = self._left(jobs)
        for stage in self._finished(jobs):
            if stage not in self._said and self._ran(jobs, stage):
                self._said.add(stage)
                self._line(
                    "; ".join(filter(None, [f"{stage:<16}{self._level(jobs, stage)}", left]))
                )
        if self._live:
            running = [job for job in jobs if job.state == "running"]
            self._show("; ".join(filter(None, [*map(_now, running), left])))

    def end(self) -> None:
        """Say what was there already, and take the last words off the terminal."""
        kept = [
            stage for stage in self._finished(jobs_of(self._results)) if stage not in self._said
        ]
        if kept:
            self._line(f"there already: {', '.join(kept)}")
        self._clear()

    def _clear(self) -> None:
        if self._live:
            self._show("")

    def _finished(self, jobs: Sequence[Job]) -> list[str]:
        """Stages of which all jobs are done, in the order of their names."""
        done = {_path(job) for job in jobs if job.state == "done"}
        stages = dict.fromkeys(stage_of(path) for path in done)
        open_ = {stage_of(_path(job)) for job in jobs if job.state != "done"}
        return [s for s in stages if s not in open_ and self._wanted.get(s, set()) <= done]

    def _ran(self, jobs: Sequence[Job], stage: str) -> bool:
        """Whether any of a stage's jobs wrote to its log since the start."""
        elapsed = time.monotonic() - self._started
        silent = (job.silent_seconds for job in jobs if stage_of(_path(job)) == stage)
        return any(seconds is not None and seconds < elapsed for seconds in silent)

    def _level(self, jobs: Sequence[Job], stage: str) -> str:
        """How good a stage's trainings are, in the mean, as far as they told; what it found."""
        if stage == _OTHERS["sfm"]:
            return next(filter(None, map(_registered, jobs)), "")
        wanted = self._wanted.get(stage, set())
        paths = [path for path in map(_path, jobs) if stage_of(path) == stage and path in wanted]
        told = [self._psnr[path] for path in paths if path in self._psnr]
        many = f" ({len(paths)})" if len(paths) > 1 and stage in _TRAININGS.values() else ""
        return f"{sum(told) / len(told):.2f} dB in training{many}" if told else many.strip()

    def _left(self, jobs: Sequence[Job]) -> str:
        """How long all trainings may take that are not done; empty as long as that is a guess."""
        done = 0
        for job in jobs:
            total = self._steps.get(_path(job), 0)
            if job.state == "done":
                done += total
            elif job.progress is not None and job.progress.unit == "step":
                done += max(0, total - (job.progress.of - job.progress.at))
        now, all_ = time.monotonic(), sum(self._steps.values())
        if self._first is None:
            if any(job.progress is not None for job in jobs):
                self._first = now, done
            return ""
        since, before = self._first
        if now - since < _SURE or done <= before or done >= all_:
            return ""
        seconds = (all_ - done) * (now - since) / (done - before)
        return f"trainings: about {duration(seconds)} left"

    def _line(self, text: str) -> None:
        self._clear()
        clock = duration(time.monotonic() - self._started)
        print(f"{clock:>11}  {text}".rstrip(), file=self._out, flush=True)

    def _show(self, text: str) -> None:
        """The terminal's last line, for now."""
        columns = shutil.get_terminal_size().columns - 1
        print(f"\r\x1b[K{text[:columns]}\r", end="", file=self._out, flush=True)


def stage_of(path: str) -> str:
    """The stage of the job that makes this, below the results folder."""
    if (run := Run.parse(path)) is not None:
        return _TRAININGS[run.kind]
    folder, _, name = path.rpartition("/")
    scored = Run.parse(folder)
    if scored is not None and scored.evaluation == path:
        return _SCORES
    if path.startswith(("tables/", "figures/")):
        return _SHOWN
    kind = folder.partition("/")[2]
    return _OTHERS.get(name) or _OTHERS.get(kind) or name


def _path(job: Job) -> str:
    return f"{job.scene}/{job.name}" if job.scene else job.name


def _registered(job: Job) -> str:
    """Of how many photos structure from motion found the cameras."""
    if stage_of(_path(job)) != _OTHERS["sfm"] or not job.log.is_file():
        return ""
    said = job.log.read_text(encoding="utf-8", errors="replace")
    found = re.findall(r"Structure from motion made .*?, of (\d[^.:]* photos)", said)
    return f"of {found[-1]}" if found else ""


def _now(job: Job) -> str:
    """What a job is at."""
    stage, progress = stage_of(_path(job)), job.progress
    if progress is None:
        return stage
    psnr = "" if progress.psnr is None else f", {progress.psnr:.2f} dB"
    return f"{stage}: {progress.unit} {progress.at:,} of {progress.of:,}{psnr}"


def _wanted(configuration: Configuration) -> dict[str, set[str]]:
    """Stage -> what its jobs make that are known before, below the results folder."""
    settings, root = configuration.settings, Path(configuration.settings.results)
    files = [*tables_wanted(configuration), *figures_wanted(configuration)]
    shown = {Path(file).relative_to(root).with_suffix("").as_posix() for file in files}
    wanted = {_SHOWN: {path for path in shown if stage_of(path) == _SHOWN}, _SCORES: set[str]()}
    for scene in configuration.scenes.values():
        wanted[_SCORES] |= {run.evaluation for run in all_scored(settings, scene)}
        for run in all_trainings(settings, scene):
            wanted.setdefault(stage_of(run.path), set()).add(run.path)
    return wanted


def _steps(configuration: Configuration) -> Iterator[tuple[str, int]]:
    """Every training's path and its own steps."""
    for scene in configuration.scenes.values():
        for run in all_trainings(configuration.settings, scene):
            steps = steps_of(run, scene, continued(configuration, run, scene))
            yield run.path, steps.images + steps.distillation
