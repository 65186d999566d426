"""A copy of the project with a tiny scene, and what a run of Snakemake in it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("Snakefile", "rules", "workflow_scripts", "dac", "envs", "profiles", "slurm", "README.md")

TINY: dict[str, Any] = {
    "results": "results",
    "seeds": [0],
    "modes": ["corrected"],
    "scenes": [
        {"name": "ball", "path": "data/ball", "format": "colmap", "division": "azimuth", "K": 2}
    ],
    "model": {
        "resolution": 8,
        "scales": [1, 2],
        "channels": 4,
        "proposal_resolutions": [8, 8],
        "proposal_samples": [8, 8],
        "samples": 8,
        "hidden": 8,
    },
    "train": {
        "steps": 6,
        "rays": 32,
        "warmup_steps": 2,
        "anneal_steps": 2,
        "proposal_update_ramp": 2,
        "curve_points": 2,
        "curve_rays": 64,
    },
    "distill": {"steps": 5, "rays": 32, "warmup_steps": 1},
    "finetune": {"steps": 4, "warmup_steps": 1},
    "evaluate": {"test_views": 2},
}
# All studies of the tiny scene.
STUDIED: dict[str, Any] = {
    **TINY,
    "studies": [
        *("main", "controls", "partitions", "overlap", "schedule", "division", "convergence")
    ],
    "study": {
        "partitions": [2, 3],
        "overlap_groups": 3,
        "schedule": [[4, 5], [5, 4]],
        "convergence": [5, 7, 9],
        "divisions": ["louvain", "random", "single", "azimuth"],
    },
    "divide": {"overlap_degrees": 240.0, "minimum_views": 2},
}

# Half of a plan's time is the import of Snakemake: a process that has imported it forks for each.
_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["snakemake.cli", "snakemake_executor_plugin_slurm", "pydantic"])


class Project:
    """A copy of the project in a folder of its own.

    Attributes:
        base: the configuration that changes are made to.
    """

    def __init__(self, folder: Path, base: Mapping[str, Any] = TINY) -> None:
        self.folder = folder
        self.base = dict(base)
        self.config = folder / "config" / "config.yaml"

    def configure(self, **changes: Any) -> None:
        """Write the configuration, with some sections' keys changed."""
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(yaml.safe_dump(changed(self.base, changes)))

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake in the copy."""
        if "--dry-run" in arguments:
            return self._dry_run(arguments)
        command = [sys.executable, "-m", "snakemake", "--nocolor", *arguments]
        return subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            timeout=1200,
            check=False,
        )

    def _dry_run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        with TemporaryDirectory() as scratch:
            said = [Path(scratch, stream) for stream in ("stdout", "stderr")]
            process = _FORKS.Process(
                target=_plan, args=(self.folder, arguments, said, dict(os.environ))
            )
            process.start()
            process.join(timeout=300)
            assert process.exitcode is not None, "the plan takes minutes"
            texts = [file.read_text() for file in said]
        return subprocess.CompletedProcess(arguments, process.exitcode, *texts)

    def planned(self, *arguments: str) -> dict[str, int]:
        """How many jobs of each rule would run."""
        result = self.snakemake("--dry-run", *arguments)
        assert result.returncode == 0, result.stderr
        return job_counts(result.stdout + result.stderr)

    @contextmanager
    def edited(self, file: str, old: str, new: str) -> Iterator[None]:
        """A file of the copy changed for a while."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} doesn't hold {old!r}"
        path.write_text(text.replace(old, new, 1))
        try:
            yield
        finally:
            path.write_text(text)

    @contextmanager
    def configured(self, **changes: Any) -> Iterator[None]:
        """The configuration changed for a while."""
        self.configure(**changes)
        try:
            yield
        finally:
            self.configure()

    def copy_to(self, folder: Path) -> Project:
        """Another copy, with all results and Snakemake's memory of them."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder, self.base)


def _plan(
    folder: Path, arguments: Sequence[str], said: Sequence[Path], environment: Mapping[str, str]
) -> None:
    """Be `python -m snakemake` in a folder, in a process of its own."""
    for stream, file in enumerate(said, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    from snakemake.cli import main

    main(["--nocolor", *arguments])


def job_counts(said: str) -> dict[str, int]:
    """How many jobs of each rule Snakemake lists."""
    table = re.search(r"^Job stats:\n.*\n[- ]+\n((?:\w+ +\d+\n)+)", said, re.MULTILINE)
    if table is None:
        assert "Nothing to be done" in said, said
        return {}
    rows = [line.split() for line in table[1].splitlines()]
    return {rule: int(count) for rule, count in rows if rule not in ("total", "all")}


def changed(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with some sections' keys changed, some sections added."""
    data = dict(base)
    for key, value in changes.items():
        old = data.get(key)
        data[key] = {**old, **value} if isinstance(old, dict) else value
    return data


def new_project(
    folder: Path, write_scene: Callable[[Path], None], base: Mapping[str, Any] = TINY
) -> Project:
    """Copy the project into a new folder; a function writes the scene's data."""
    folder.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_symlink():
            (folder / name).symlink_to(source.readlink())
        elif source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / name, ignore=ignored)
        elif source.exists():
            shutil.copy2(source, folder / name)
    write_scene(folder / "data" / "ball")
    project = Project(folder, base)
    project.configure()
    return project
