"""Jobs of the workflow on the toy scene, each in a results folder of its own."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import toy
from PIL import Image
from textured_room import room_cameras, room_photos

from dac.settings import (
    DistillSettings,
    EvaluateSettings,
    FinetuneSettings,
    SceneSettings,
    SfmSettings,
)
from dac.storage.provenance import source_digest

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
    "sfm": ("sfm", "dac.scenes.sfm.reconstruct"),
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

    def train_inputs(self, do: Callable[[ToyJob], object]) -> None:
        """Two experts and a student, by the jobs themselves."""
        made = {"expert0": "expert", "expert1": "expert", "student": "distillation"}
        for name, kind in made.items():
            job = self.job(kind, self.folder / f"{name}-results", steps=40, group=name[-1:])
            do(job)
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
            "trunk": [],
            "covisibility": [],
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
                "run": {"steps": steps, "horizon": steps, "rays": 1, "parameters": 1},
            },
            "wildcards": {
                "scene": "toy",
                "seed": "0",
                "steps": str(steps),
                "earlier": str(steps),
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
        frozen["settings"] |= {"path": str(photos), "exclude": None, "masks": None}
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
