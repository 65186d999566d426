"""What every phase does around the loop: record what it depends on, train, write its folder."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim import Adam

from dac.fields.model import Model, save_model
from dac.fields.protocol import over
from dac.ops import memory
from dac.ops.backend import backend, backend_record
from dac.process.signals import deferred
from dac.scenes.scene import SCENE_FILES, Scene
from dac.storage.artifacts import require_space, sha256, write_json
from dac.storage.provenance import source_digest
from dac.storage.states import Finished, digest_of
from dac.training.batches import probe_batch
from dac.training.checkpoints import Checkpoints, save_optimizer
from dac.training.curve import Progress
from dac.training.loop import Phase, Plan, train
from dac.version import __version__

_PROBE_CHUNK = 4096


@dataclass(frozen=True)
class Run:
    """A phase's identity, for its record and for recognising its own saved state.

    Attributes:
        stage: baseline, expert, distill or finetune.
        module: whose code the result depends on.
        seed: the run's.
        settings: of the stage, all that its result depends on.
        inputs: name -> file.
        out: the folder that is written.
        state: the folder for what a killed run needs.
    """

    stage: str
    module: str
    seed: int
    settings: dict[str, Any]
    inputs: dict[str, Path]
    out: Path
    state: Path

    def execute(
        self,
        model: Model,
        optimizer: Adam,
        phase: Phase,
        probe: Callable[[], float | None],
        plan: Plan,
        start: Progress | None = None,
    ) -> None:
        """Train and write the folder; arguments as of `loop.train`.

        A run that ended before, but that the workflow runs again because it died meanwhile, gets
        its result back.

        Raises:
            UserError: an input is missing, the run diverges, the disk is full.
            SystemExit: the job was told to stop; its state is saved.
        """
        inputs = {name: sha256(file) for name, file in self.inputs.items()}
        digest = self._digest(inputs)
        finished, checkpoints = Finished(self.state, digest), Checkpoints(self.state, digest)
        if finished.restore(self.out):
            checkpoints.clear()
            return
        require_space(self.out, _space(model))
        backend(next(model.parameters()).device.type)  # compiles, and may be told to go meanwhile
        with deferred():  # a signal while the result is written is too late to stop the run
            end = train(model, optimizer, phase, probe, plan, checkpoints, start)
            with finished.new_folder(self.out) as part:
                self._write(part, model, optimizer, inputs, end)
        checkpoints.clear()

    def _write(
        self, folder: Path, model: Model, optimizer: Adam, inputs: dict[str, str], end: Progress
    ) -> None:
        device = next(model.parameters()).device
        record = {
            "stage": self.stage,
            "seed": self.seed,
            "steps": end.step,
            "seconds": end.seconds,
            "memory_bytes": memory.peak(device),
            "rollbacks": end.rollbacks,
            "parts": end.parts,
            "device": _describe(device),
            "versions": _versions(),
            "kernels": backend_record(),
            "inputs": inputs,
            "stage_settings": self.settings,
        }
        save_model(model, folder, record)
        save_optimizer(model, optimizer, folder)
        write_json(folder / "curve.json", asdict(end.curve))

    def _digest(self, inputs: dict[str, str]) -> str:
        sources = source_digest(self.module)
        return digest_of(self.stage, self.seed, self.settings, inputs, sources)


def scene_inputs(scene: Path) -> dict[str, Path]:
    """The files of a scene's folder."""
    return {f"scene/{name}": scene / name for name in SCENE_FILES}


def make_probe(
    model: Model, scene: Scene, *, count: int, device: torch.device
) -> Callable[[], float | None]:
    """PSNR of the model's rendering of a fixed sample of test pixels.

    Args:
        count: pixels.
    """
    batch = probe_batch(scene, count=count, device=device)

    @torch.no_grad()
    def probe() -> float | None:
        if batch is None:
            return None
        rays = model.make_rays(batch.origins, batch.directions)
        squared = torch.zeros((), device=device)
        for first in range(0, len(rays), _PROBE_CHUNK):
            part = slice(first, first + _PROBE_CHUNK)
            rgb = over(model.picture(rays[part]), batch.background).clamp(0.0, 1.0)
            squared += (rgb - batch.rgb[part]).square().sum()
        error = float(squared) / batch.rgb.numel()
        return -10.0 * math.log10(max(error, 1e-10))

    return probe


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
