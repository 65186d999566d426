"""What makes the page traceable: the frozen settings, and where each number comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dac.evaluation.records import RECORD_FILE, Evaluation
from dac.page.results import SceneResults
from dac.report.text import MISSING, one_line
from dac.storage.artifacts import read_json, sha256

_MOST_SETTINGS = 300  # of one stage; ours have about thirty
_LONGEST_VALUE = 160


@dataclass(frozen=True)
class Stage:
    """One stage's settings: its name, and (key, value) as text."""

    name: str
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Source:
    """One record that the page shows.

    Attributes:
        run: its path below the scene's folder.
        seed, device, commit: of the run.
        digest: SHA-256 of the record.
        inputs: (file, SHA-256) of what the evaluation read.
    """

    run: str
    seed: int
    device: str
    commit: str
    digest: str
    inputs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Facts:
    """The traces of all numbers.

    Attributes:
        stages: of the scene, then of the model.
        log: what the import of the scene decided by itself.
        sources: the records.
        versions: of what computed them.
    """

    stages: tuple[Stage, ...]
    log: tuple[str, ...]
    sources: tuple[Source, ...]
    versions: tuple[str, ...]


def facts(results: SceneResults) -> Facts:
    """The settings and the sources.

    Raises:
        UserError: a settings file is damaged.
    """
    runs = [run for row in results.rows for run in row.runs]
    runs += [
        run
        for row in results.control_rows
        for run in row.runs
        if run.label in results.evaluations and run not in runs
    ]
    versions = {f"{name} {value}" for run in runs for name, value in run.versions.items()}
    return Facts(
        stages=tuple(_stages(results, runs[0] if runs else None)),
        log=tuple(one_line(text, 400) for text in results.scene.log),
        sources=tuple(_source(results, run) for run in runs),
        versions=tuple(one_line(text) for text in sorted(versions)),
    )


def _stages(results: SceneResults, run: Evaluation | None) -> Iterator[Stage]:
    """The frozen settings; without them, those that the records hold."""
    files = [
        *sorted(results.folder.glob("settings/*.json")),
        *sorted(results.folder.glob("*/settings/*.json")),
    ]
    for file in files:
        data = read_json(file)
        settings = data.get("settings") if isinstance(data, dict) else None
        if settings:
            yield Stage(one_line(file.stem.replace("_", " ")), _flat(settings))
    if not files and run is not None:
        yield from (Stage(one_line(name), _flat(value)) for name, value in run.settings.items())


def _flat(settings: Any) -> tuple[tuple[str, str], ...]:
    """Nested settings as lines."""
    lines = [
        (one_line(key, 80), one_line(value, _LONGEST_VALUE)) for key, value in _entries(settings)
    ]
    more = len(lines) - _MOST_SETTINGS
    return (*lines[:_MOST_SETTINGS], *([("…", f"{more:,} more")] if more > 0 else ()))


def _entries(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name in sorted(value):
            yield from _entries(value[name], f"{key}.{name}" if key else name)
    else:
        yield key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _source(results: SceneResults, run: Evaluation) -> Source:
    folder = results.evaluations[run.label]
    return Source(
        run=one_line(folder.relative_to(results.folder).as_posix(), 120),
        seed=run.label.seed,
        device=one_line(run.device),
        commit=one_line(run.git_commit or MISSING),
        digest=sha256(folder / RECORD_FILE),
        inputs=tuple((one_line(k, 80), one_line(v, 80)) for k, v in sorted(run.inputs.items())),
    )
