"""What a run does about a step whose loss or gradient is not finite.

It forgets the step and goes on from its newest saved state, which is from before, with half the
learning rate: `ROLLBACKS` times. The next time it stops, and leaves in its state folder what is
needed to look into it: `diverged/report.json`, and `diverged/batch.safetensors` with what the step
read. Running the job again goes from that state to the same step, on a CPU bit for bit.
"""

from __future__ import annotations

import logging
import math
from dataclasses import asdict
from typing import Any

from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Adam

from dac.errors import UserError
from dac.fields.model import Model
from dac.storage.artifacts import new_folder, write_json
from dac.training.checkpoints import Checkpoints, load_run_tensors, run_tensors
from dac.training.curve import DivergedError, Progress

ROLLBACKS = 2
FIX = "lower the learning rate, or look for damaged images or poses"

_log = logging.getLogger(__name__)


def begin(model: Model, optimizer: Adam, checkpoints: Checkpoints, start: Progress) -> Progress:
    """Load the newest state into model and optimiser; without one, save the start as the first.

    So a disk that can't hold the states shows itself at once, and there always is a state to go
    back to.
    """
    progress = resume(model, optimizer, checkpoints)
    if progress is None:
        progress = start
        save(model, optimizer, checkpoints, progress)
    return progress


def resume(model: Model, optimizer: Adam, checkpoints: Checkpoints) -> Progress | None:
    """Load the newest state into model and optimiser; None without one."""
    loaded = checkpoints.load()
    if loaded is None:
        return None
    tensors, progress = loaded
    load_run_tensors(model, optimizer, tensors)
    return Progress.from_json(progress)


def save(model: Model, optimizer: Adam, checkpoints: Checkpoints, progress: Progress) -> None:
    """Save a run's state."""
    checkpoints.save(progress.step, run_tensors(model, optimizer), asdict(progress))


def roll_back(
    model: Model,
    optimizer: Adam,
    checkpoints: Checkpoints,
    progress: Progress,
    label: str,
    what: str,
) -> Progress:
    """Go back to the newest state. It is saved anew, so that a run killed now still knows.

    Args:
        progress: where the run stood.
        what: went wrong.

    Returns:
        The state's progress, with half the learning rate.

    Raises:
        UserError: no state is left that is whole; the disk is full.
    """
    optimizer.state.clear()  # before any step there was none; and it takes memory
    older = resume(model, optimizer, checkpoints)
    if older is None:
        raise UserError(label, f"{what}, and no saved state is whole", "run again")
    older.rollbacks, older.parts = progress.rollbacks + 1, progress.parts
    _log.warning(
        "%s: %s; going on from step %d with %g times the learning rate",
        label, what, older.step, rate_factor(older),
    )  # fmt: skip
    save(model, optimizer, checkpoints, older)
    return older


def rate_factor(progress: Progress) -> float:
    """By which the learning rate is lower than planned."""
    return 0.5**progress.rollbacks


def stopped(
    diverged: DivergedError,
    checkpoints: Checkpoints,
    progress: Progress,
    label: str,
    inputs: dict[str, Tensor],
) -> UserError:
    """Write `diverged/`, and say so.

    Args:
        inputs: what the step read.
    """
    report = {
        "run": label,
        "what": diverged.what,
        "step": diverged.steps[-1].step,
        "rollbacks": progress.rollbacks,
        "parts": progress.parts,
        "state": checkpoints.newest.name,
        "digest": checkpoints.digest,
        "steps": [_plain(record._asdict()) for record in diverged.steps],
    }
    with new_folder(checkpoints.diverged) as part:
        save_file(
            {name: value.clone().contiguous() for name, value in inputs.items()},
            part / "batch.safetensors",
        )
        write_json(part / "report.json", report)
    return UserError(
        label,
        f"{diverged.what}, after {ROLLBACKS} returns to a saved state; see {checkpoints.diverged}",
        FIX,
    )


def _plain(value: Any) -> Any:
    """The same for JSON, which has no word for what is not finite."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
