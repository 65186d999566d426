"""What a killed run needs to go on: tensors and progress, sealed in a `state/` folder.

The folder belongs to the run, not to the workflow. Each state is a folder of its own, written under
another name and renamed when it is whole (see `dac.storage.states`); the one before it is kept. As
random numbers are functions of (seed, step), no generator is saved and no place in the data.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from dac.errors import UserError
from dac.storage.artifacts import new_folder, remove_folder
from dac.storage.states import DamagedError, seal, unseal

_log = logging.getLogger(__name__)

_TENSORS = "tensors.safetensors"


class Checkpoints:
    """The states of one run.

    Args:
        folder: where they lie; made when the first is saved.
        digest: of all that the run's result depends on; a state of another digest is not its own.
    """

    def __init__(self, folder: Path, digest: str) -> None:
        self._folder = folder
        self.digest = digest
        self._own: list[Path] = []  # this run's whole states, the newest last

    @property
    def newest(self) -> Path:
        """The state that was saved or loaded last."""
        return self._own[-1]

    @property
    def diverged(self) -> Path:
        """Where a run that diverges leaves its report (see `training.divergence`)."""
        return self._folder / "diverged"

    def save(self, step: int, tensors: dict[str, Tensor], progress: dict[str, Any]) -> None:
        """Write the state after `step` steps; keep the one before it and no other.

        Raises:
            UserError: the disk is full, the folder can't be written.
        """
        state = self._folder / f"step-{step:09d}"
        with new_folder(state) as part:
            save_file(tensors, part / _TENSORS)
            seal(part, {"step": step, "digest": self.digest, "progress": progress})
        self._own = [*[own for own in self._own if own != state][-1:], state]
        self._remove_all_but(self._own)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and progress of the newest state that is whole and this run's; None without one.

        A damaged state, or one of other settings, inputs or code, is passed over with a warning.
        """
        for state in sorted(self._folder.glob("step-*"), reverse=True):
            try:
                about = unseal(state)
                if about["digest"] != self.digest:
                    _log.warning("%s: of other settings, inputs or code; ignored", state)
                    continue
                loaded = _read(state / _TENSORS), about["progress"]
            except (DamagedError, OSError, KeyError, SafetensorError) as error:
                _log.warning("%s: damaged (%s); trying the one before it", state, error)
                continue
            self._own = [state]
            _log.info("%s: going on from step %d", state, about["step"])
            return loaded
        return None

    def clear(self) -> None:
        """Remove all states, and what is left of failures: the run is complete."""
        self._remove_all_but([])
        shutil.rmtree(self.diverged, ignore_errors=True)

    def _remove_all_but(self, kept: list[Path]) -> None:
        for state in self._folder.glob("step-*"):
            if state not in kept:
                remove_folder(state)
        for part in self._folder.glob(".step-*"):
            shutil.rmtree(part, ignore_errors=True)


def _read(path: Path) -> dict[str, Tensor]:
    """A file's tensors. It is mapped for one of them at a time: memory holds it once, not twice."""
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
    tensors = {}
    for name in names:
        with safe_open(path, framework="pt") as file:
            tensors[name] = file.get_tensor(name).clone()
    return tensors


class _Adam(Adam):
    """torch's Adam without torch's compiler.

    `add_param_group` comes wrapped so that its first call imports torch._dynamo, which no phase
    uses: 70 MB of memory and more than a second, in every job.
    """

    add_param_group = getattr(Optimizer.add_param_group, "__wrapped__", Optimizer.add_param_group)


def make_optimizer(model: nn.Module, *, eps: float) -> Adam:
    """Adam over all parameters, all its updates in one fused kernel; updates set its rate."""
    return _Adam(model.parameters(), eps=eps, fused=True)


def optimizer_tensors(model: nn.Module, optimizer: Adam) -> dict[str, Tensor]:
    """Adam's moments and step counts as `{parameter's name}.{kind}`; none for those untouched."""
    return {
        f"{name}.{kind}": value.detach().contiguous()
        for name, parameter in model.named_parameters()
        for kind, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer_tensors(model: nn.Module, optimizer: Adam, tensors: dict[str, Tensor]) -> None:
    """Set what `optimizer_tensors` gave.

    Raises:
        ValueError: they are of another model.
    """
    expected = dict(model.named_parameters())
    states: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, kind = key.rsplit(".", 1)
        if name not in expected or (kind != "step" and value.shape != expected[name].shape):
            raise ValueError(f"optimiser state for {key}, which the model does not have")
        states.setdefault(name, {})[kind] = value.to(expected[name].device)
    for name, state in states.items():
        optimizer.state[expected[name]] = state


def save_optimizer(model: nn.Module, optimizer: Adam, folder: Path) -> None:
    """Write optimizer.safetensors into an existing folder."""
    save_file(optimizer_tensors(model, optimizer), folder / "optimizer.safetensors")


def load_optimizer(model: nn.Module, optimizer: Adam, folder: Path) -> None:
    """Read what `save_optimizer` wrote.

    Raises:
        UserError: the file is missing, damaged or of another model.
    """
    source = folder / "optimizer.safetensors"
    try:
        load_optimizer_tensors(model, optimizer, _read(source))
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(
            source, f"can't be continued from ({error})", "delete the folder and run its rule again"
        ) from None


def run_tensors(model: nn.Module, optimizer: Adam) -> dict[str, Tensor]:
    """All tensors of a run: `model.*` and `optimizer.*`."""
    weights = {f"model.{name}": value.contiguous() for name, value in model.state_dict().items()}
    moments = optimizer_tensors(model, optimizer)
    return weights | {f"optimizer.{name}": value for name, value in moments.items()}


def load_run_tensors(model: nn.Module, optimizer: Adam, tensors: dict[str, Tensor]) -> None:
    """Set what `run_tensors` gave."""
    weights = {
        name.removeprefix("model."): value
        for name, value in tensors.items()
        if name.startswith("model.")
    }
    with torch.no_grad():
        model.load_state_dict(weights)
    moments = {
        name.removeprefix("optimizer."): value
        for name, value in tensors.items()
        if name.startswith("optimizer.")
    }
    load_optimizer_tensors(model, optimizer, moments)
