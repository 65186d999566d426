"""Jobs of the workflow on the toy scene, each in a results folder of its own; and who does them."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import toy
from PIL import Image
from textured_room import room_cameras, room_photos

from dac.provenance import source_digest
from dac.settings import (
    DistillSettings,
    EvaluateSettings,
    FinetuneSettings,
    SceneSettings,
    SfmSettings,
)

SERVER = Path(__file__).with_name("server.py")
TRAININGS = ("training", "distillation", "fine-tuning")

# What these outputs hold is a function of the inputs; others tell times, too.
EXACT = {".safetensors", ".npy", ".npz", ".png"}

_SCRIPTS = {
    "training": ("baseline", "dac.training.baseline"),
    "expert": ("expert", "dac.training.expert"),
    "distillation": ("distill", "dac.conquer.distill"),
    "fine-tuning": ("finetune", "dac.training.finetune"),
    "evaluation": ("evaluate", "dac.evaluation.evaluate"),
    "import": ("import_scene", "dac.scenes.importer"),
    "division": ("partition", "dac.divide.divide"),
    "sfm": ("sfm", "dac.scenes.sfm"),
}
_RUN = ("model.safetensors", "model.json", "optimizer.safetensors", "curve.json")
_OUTPUTS = {
    **{kind: _RUN for kind in ("training", "expert", "distillation", "fine-tuning")},
    "evaluation": ("evaluation.json", "renders.npy", "depth.npy", "renders", "depth"),
    "import": ("scene.json", "images.npy", "masks.npy"),
    "division": ("partition.json",),
    "sfm": ("cameras.bin", "images.bin", "points3D.bin", "report.json"),
}


@dataclass(frozen=True)
class ToyJob:
    """A job, and where it writes.

    Attributes:
        kind: one of `_SCRIPTS`.
        place: its results folder: all that it writes lies below.
        data: what a script reads of Snakemake's object.
    """

    kind: str
    place: Path
    data: dict[str, Any]

    @property
    def out(self) -> Path:
        return self.place / "runs" / "run"

    @property
    def state(self) -> Path:
        return self.place / "state" / "run"

    @property
    def log(self) -> Path:
        return self.place / "logs" / "run.log"

    def result(self) -> dict[str, str]:
        """SHA-256 of the outputs that have to be the same bits each time."""
        files = sorted(file for file in self.out.rglob("*") if file.suffix in EXACT)
        if self.kind == "division":
            files.append(self.out / "partition.json")
        return {
            file.relative_to(self.out).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in files
        }

    def is_whole(self) -> bool:
        """Whether all outputs are there."""
        return all((self.out / name).exists() for name in _OUTPUTS[self.kind])

    def leftovers(self) -> list[str]:
        """Names of temporary files and folders anywhere below the results."""
        return [str(path) for path in self.place.rglob("*") if ".part-" in path.name]


class Toys:
    """Inputs for all jobs, made once.

    Args:
        folder: gets the toy scene, its partition, two experts and a student, and a data set.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        scene = toy.scene()
        scene.save(folder / "scene")
        toy.halves(scene).save(folder / "partition.json")
        write_data_set(folder / "data")

    def train_inputs(self, server: Server) -> None:
        """Two experts and a student, by the jobs themselves."""
        made = {"expert0": "expert", "expert1": "expert", "student": "distillation"}
        for name, kind in made.items():
            job = self.job(kind, self.folder / f"{name}-results", steps=40, group=name[-1:])
            answer = server.attempt(job)
            assert answer.status == 0, answer.said
            shutil.copytree(job.out, self.folder / name)

    def job(
        self,
        kind: str,
        place: Path,
        *,
        steps: int = 40,
        checkpoint_seconds: float = 60.0,
        group: str = "0",
        threads: int = 1,
    ) -> ToyJob:
        """A job that writes below `place`."""
        script, module = _SCRIPTS[kind]
        place.mkdir(parents=True, exist_ok=True)
        settings = place.with_name(f"{place.name}.settings.json")
        frozen = {
            "settings": self._settings(steps, checkpoint_seconds),
            "modules": [module],
            "sources": source_digest(module),
        }
        settings.write_text(json.dumps(frozen))
        scene = [str(self.folder / "scene" / "scene.json")]
        inputs = {
            "settings": str(settings),
            "scene": scene,
            "partition": str(self.folder / "partition.json"),
            "experts": [str(self.folder / f"expert{i}" / "model.safetensors") for i in (0, 1)],
            "student": [str(self.folder / "student" / "model.safetensors")],
            "run": [str(self.folder / "student" / "model.safetensors")],
            "init": [],
        }
        label = {"model": "toy", "seed": 0, "method": "distilled", "steps": steps}
        label |= {"division": "azimuth", "K": 2, "mode": "corrected"}
        data = {
            "script": script,
            "input": inputs,
            "output": [str(place / "runs" / "run" / name) for name in _OUTPUTS[kind]],
            "params": {
                "state": str(place / "state" / "run"),
                "work": str(place / "state" / "run"),
                "label": label,
            },
            "wildcards": {
                "scene": "toy",
                "seed": "0",
                "steps": str(steps),
                "distill_steps": str(steps),
                "finetune_steps": str(steps),
                "mode": "corrected",
                "group": group,
                "division": "azimuth",
                "K": "2",
            },
            "log": str(place / "logs" / "run.log"),
        }
        return ToyJob(kind, place, data)

    def _settings(self, steps: int, checkpoint_seconds: float) -> dict[str, Any]:
        train = toy.train_settings(
            steps=steps,
            rays=32,
            curve_points=3,
            curve_rays=64,
            warmup_steps=3,
            checkpoint_seconds=checkpoint_seconds,
        )
        sections = {
            "model": toy.model_settings(),
            "train": train,
            "distill": DistillSettings(rays=32, warmup_steps=3),
            "finetune": FinetuneSettings(warmup_steps=3),
            "evaluate": EvaluateSettings(test_views=2, pictures=1),
            "scene": SceneSettings(),
            "sfm": SfmSettings(max_features=800),
        }
        dumped = {name: section.model_dump(mode="json") for name, section in sections.items()}
        return {**dumped, "divide": {}, "path": str(self.folder / "data"), "format": "blender"}

    def sfm_job(self, place: Path) -> ToyJob:
        """Structure from motion on photos of a room."""
        photos = self.folder / "photos"
        if not photos.exists():
            write_room(photos)
        job = self.job("sfm", place)
        settings = Path(job.data["input"]["settings"])
        frozen = json.loads(settings.read_text())
        frozen["settings"] |= {"path": str(photos), "exclude": None}
        settings.write_text(json.dumps(frozen))
        return job


def write_room(folder: Path, count: int = 8) -> None:
    """Photos for structure from motion."""
    folder.mkdir(parents=True)
    for number, photo in enumerate(room_photos(room_cameras(count))):
        Image.fromarray(photo).save(folder / f"{number}.png")


def write_data_set(folder: Path) -> None:
    """The toy scene as a Blender data set."""
    scene = toy.scene()
    poses = scene.cameras.world_from_camera.numpy()
    for part, views in (("train", scene.train), ("test", scene.test)):
        (folder / part).mkdir(parents=True)
        frames = []
        for view in views:
            Image.fromarray(scene.images[view]).save(folder / part / f"{view}.png")
            rows = [[row[0], -row[1], -row[2], row[3]] for row in poses[view].tolist()]
            matrix = [*rows, [0.0, 0.0, 0.0, 1.0]]
            frames.append({"file_path": f"./{part}/{view}", "transform_matrix": matrix})
        known = {"camera_angle_x": 0.6, "frames": frames}
        (folder / f"transforms_{part}.json").write_text(json.dumps(known))


@dataclass(frozen=True)
class Answer:
    """What became of an attempt at a job.

    Attributes:
        status: its exit status; negative: the signal that ended it.
        began, killed, ended: seconds of the monotonic clock; killed None: it ended by itself.
        said: on the terminal.
        changes: of files, as the preloaded library saw them: `call file`.
        trace: (what, step, when) of steps, saves and loads.
    """

    status: int
    began: float
    killed: float | None
    ended: float
    said: str
    changes: list[str]
    trace: list[tuple[str, int, float]]


class Server:
    """The process of `server.py`.

    Args:
        scratch: a folder of its own.
        preload: a library for LD_PRELOAD.
    """

    def __init__(self, scratch: Path, preload: Path | None = None) -> None:
        scratch.mkdir(parents=True)
        self._terminal = scratch / "terminal"
        self._trace = scratch / "trace"
        environment = environment_of_jobs()
        if preload is not None:
            environment["LD_PRELOAD"] = str(preload)
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def attempt(
        self,
        job: ToyJob,
        *,
        kill: tuple[float, int] | None = None,
        fault: dict[str, Any] | None = None,
    ) -> Answer:
        """Do a job, kill it after some seconds, or let the disk fail."""
        for file in (self._trace, self._terminal.with_suffix(".changes")):
            file.unlink(missing_ok=True)
        request: dict[str, Any] = {
            "job": job.data,
            "terminal": str(self._terminal),
            "trace": str(self._trace),
        }
        if kill is not None:
            request["kill"] = kill
        if fault is not None:
            request["fault"] = {"folder": str(job.place), "error": 0, **fault}
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._read()
        changes = self._terminal.with_suffix(".changes")
        return Answer(
            **answer,
            said=self._terminal.read_text(errors="replace"),
            changes=changes.read_text().splitlines() if changes.exists() else [],
            trace=_read_trace(self._trace),
        )

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        while True:
            line = self._process.stdout.readline()
            assert line, "the server has died"
            answer: dict[str, Any] = json.loads(line)
            if "ready" not in answer:
                return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


def _read_trace(file: Path) -> list[tuple[str, int, float]]:
    if not file.exists():
        return []
    lines = [line.split() for line in file.read_text().splitlines()]
    return [(what, int(step), float(when)) for what, step, when in lines]


def environment_of_jobs() -> dict[str, str]:
    """One thread a job, so that the results are the same bits each time."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    return os.environ | threads


class Process:
    """A job in a process of its own, as Snakemake would start it.

    Args:
        announce: `module:name` of the function whose call `announced` tells of.
        environment: more of it.
    """

    def __init__(self, job: ToyJob, announce: str = "", **environment: str) -> None:
        beside = job.place.with_name(f"{job.place.name}.{time.monotonic_ns()}")
        self._terminal = beside.with_suffix(".terminal")
        self.announced = beside.with_suffix(".announced")
        data = job.data | ({"announce": [announce, str(self.announced)]} if announce else {})
        beside.with_suffix(".json").write_text(json.dumps(data))
        with self._terminal.open("w") as terminal:
            self._process = subprocess.Popen(
                [sys.executable, str(SERVER), str(beside.with_suffix(".json"))],
                stdout=terminal,
                stderr=terminal,
                env=environment_of_jobs() | environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def said(self) -> str:
        return self._terminal.read_text(errors="replace")

    def wait_until(self, condition: Callable[[], object], seconds: float = 120.0) -> None:
        """Wait until something is so; fail if the process ends before."""
        end = time.monotonic() + seconds
        while not condition():
            assert self._process.poll() is None, f"ended: {self.said()}"
            assert time.monotonic() < end, f"waited {seconds} s; said: {self.said()}"
            time.sleep(0.01)

    def tell(self, number: int) -> float:
        """Send a signal; returns the seconds until the process has ended."""
        began = time.monotonic()
        self._process.send_signal(number)
        self._process.wait(timeout=60)
        return time.monotonic() - began

    def wait(self) -> int:
        """Its exit status."""
        return self._process.wait(timeout=300)

    @property
    def status(self) -> int:
        return self._process.wait(timeout=0)


@dataclass
class Servers:
    """Some servers, lent one at a time to threads."""

    all: list[Server]
    _free: queue.SimpleQueue[Server] = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        for server in self.all:
            self._free.put(server)

    @contextmanager
    def one(self) -> Iterator[Server]:
        server = self._free.get()
        try:
            yield server
        finally:
            self._free.put(server)


def is_one_line(said: str) -> bool:
    """Whether the terminal ended with one clear line, and no traceback was shown."""
    lines = said.splitlines()
    errors = [line for line in lines if re.match(r"error: .+: .+", line)]
    return len(errors) == 1 and lines[-1] == errors[0] and "Traceback" not in said
