"""A phase from folders to a folder: baseline, expert, distillation, fine-tuning.

Every phase writes `model.safetensors`, `model.json`, `optimizer.safetensors` and `curve.json`,
whole or not at all. What a killed run needs to go on lies in its `state` folder, which is emptied
at the end.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel
from torch.optim import Adam

from dac.errors import UserError
from dac.fields.model import Model, save_model
from dac.ops import memory
from dac.ops.backend import backend, backend_record
from dac.process.signals import deferred
from dac.scenes.scene import SCENE_FILES, Scene
from dac.settings import ModelSettings, TrainSettings
from dac.storage.artifacts import read_json, require_space, sha256, write_json
from dac.storage.provenance import source_digest
from dac.storage.states import Finished, digest_of
from dac.training.checkpoints import Checkpoints, load_optimizer, make_optimizer, save_optimizer
from dac.training.curve import Progress
from dac.training.loop import LoopSettings, train
from dac.training.objective import Objective
from dac.training.probe import make_probe
from dac.training.update import kernel_model
from dac.version import __version__

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Phase:
    """What a phase's result depends on, for its record and for recognising its own saved states.

    Attributes:
        stage: baseline, expert, distill or finetune.
        module: whose code it is.
        seed: the run's.
        settings: of the stage, all of them.
        inputs: name -> file.
        out: the folder that is written.
        state: the folder for what a killed run needs.
        earlier_steps: those of another run that it goes on from, which its record leaves out.
    """

    stage: str
    module: str
    seed: int
    settings: Mapping[str, BaseModel | int | str | None]
    inputs: Mapping[str, Path]
    out: Path
    state: Path
    earlier_steps: int = 0


def train_phase(
    phase: Phase,
    scene: Scene,
    objective: Objective[Any],
    settings: TrainSettings,
    *,
    label: str,
    steps: int,
    rate: Callable[[int], float],
    start: Progress | None = None,
    continues: Path | None = None,
) -> None:
    """Train the objective's model, and write the phase's folder.

    A phase that ended before, but that the workflow runs again because it died meanwhile, gets its
    result back.

    Args:
        scene: its test pixels are what the curve shows.
        settings: how the curve is measured, how often states are saved, and Adam's epsilon; the
            rest is the objective's.
        label, steps, rate: as of `LoopSettings`.
        start: as of `loop.train`.
        continues: the folder of a run whose optimiser goes on; None is a new one.

    Raises:
        UserError: an input is missing, the run diverges, the disk is full.
        SystemExit: the job was told to stop; its state is saved.
    """
    model = objective.model
    optimizer = make_optimizer(model, eps=settings.adam_eps)
    if continues is not None:
        load_optimizer(model, optimizer, continues)
    probe = make_probe(model, scene, count=settings.curve_rays)
    loop = LoopSettings(label, steps, rate, settings.curve_points, settings.checkpoint_seconds)

    inputs = {name: sha256(file) for name, file in phase.inputs.items()}
    record = {
        "stage": phase.stage,
        "earlier_steps": phase.earlier_steps,
        "seed": phase.seed,
        "stage_settings": {
            name: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
            for name, value in phase.settings.items()
        },
        "inputs": inputs,
    }
    digest = digest_of(
        phase.stage, phase.seed, record["stage_settings"], inputs, source_digest(phase.module)
    )
    finished, checkpoints = Finished(phase.state, digest), Checkpoints(phase.state, digest)
    if finished.restore(phase.out):
        checkpoints.clear()
        return
    require_space(phase.out, _space(model))
    native = backend(model.device.type) == "native"  # compiles, and may be told to go meanwhile
    whole_rays = kernel_model(objective) is not None
    if native and not whole_rays:
        _log.warning("%s: several times slower: the kernels lack this model or a term", label)
    with deferred():  # a signal while the result is written is too late to stop the run
        end = train(objective, optimizer, probe, loop, checkpoints, start)
        with finished.new_folder(phase.out) as part:
            _write(part, model, optimizer, end, record, whole_rays=whole_rays)
    checkpoints.clear()


def scene_inputs(scene: Path) -> dict[str, Path]:
    """The files of a scene's folder."""
    return {f"scene/{name}": scene / name for name in SCENE_FILES}


def record_of(run: Path, model: ModelSettings, horizon: int | None = None) -> dict[str, Any]:
    """The record of a run that another one goes on from.

    Args:
        model: of the other.
        horizon: steps that the schedules of both span; None where that makes no difference.

    Raises:
        UserError: the run is of another model or schedule.
    """
    record: dict[str, Any] = read_json(run / "model.json")
    if record.get("settings") != model.model_dump(mode="json"):
        raise UserError(run, "holds a model of other settings", "train it again")
    if horizon is not None and record["stage_settings"].get("horizon") != horizon:
        what = f"was trained on a schedule of other than {horizon} steps, and can't be continued"
        raise UserError(run, what, "train it again; only a constant schedule goes on after its end")
    return record


def _write(
    folder: Path,
    model: Model,
    optimizer: Adam,
    end: Progress,
    record: dict[str, Any],
    *,
    whole_rays: bool,
) -> None:
    about = {
        **record,
        "steps": end.step - record["earlier_steps"],
        "seconds": end.seconds,
        "memory_bytes": memory.peak(model.device),
        "rollbacks": end.rollbacks,
        "parts": end.parts,
        "device": _describe(model.device),
        "versions": _versions(),
        "kernels": {**backend_record(), "whole_rays": whole_rays},
    }
    save_model(model, folder, about)
    save_optimizer(model, optimizer, folder)
    write_json(folder / "curve.json", asdict(end.curve))


def _space(model: Model) -> int:
    """Bytes on disk: two states, the one that is being written, and the result."""
    parameters = sum(p.numel() * p.element_size() for p in model.parameters())
    return 4 * 3 * parameters  # each holds the parameters and Adam's two moments


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"


def _versions() -> dict[str, str]:
    return {
        "dac": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
