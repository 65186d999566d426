"""Merging: the specialists' mean as one set of weights.

Specialists that grew from one trunk lie near each other, so that their plain mean renders; experts
that began anew do not. Nothing is trained here: the mean may be distilled into, and is fine-tuned.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from dac.errors import UserError
from dac.fields.model import Model, load_model, save_model
from dac.storage.artifacts import new_folder, read_json, sha256


def merge(experts: Sequence[Path], *, out: Path) -> None:
    """Write the folder of the specialists' mean.

    Args:
        experts: the specialists' folders.

    Raises:
        UserError: no expert, or experts of several models; a folder is damaged; the disk is full.
    """
    mean = mean_of([load_model(folder) for folder in experts])
    first = read_json(experts[0] / "model.json")
    files = [folder / "model.safetensors" for folder in experts]
    about = {
        "stage": "merge",
        "seed": first["seed"],
        "versions": first["versions"],
        "inputs": {f"expert{k}/{file.name}": sha256(file) for k, file in enumerate(files)},
        # What it took is the specialists' and the trunk's.
        **{"steps": 0, "seconds": 0.0, "memory_bytes": 0},
    }
    with new_folder(out) as part:
        save_model(mean, part, about)


@torch.no_grad()
def mean_of(experts: Sequence[Model]) -> Model:
    """One model whose every weight is the experts' mean; the first expert is overwritten.

    Raises:
        UserError: there is none, or they are of several models.
    """
    if not experts or any(expert.settings != experts[0].settings for expert in experts):
        raise UserError("merge", "needs experts of one model", "train all with the same settings")
    merged = experts[0]
    every = [list(expert.parameters()) for expert in experts]
    for i, parameter in enumerate(merged.parameters()):
        parameter.copy_(torch.stack([parameters[i] for parameters in every]).mean(dim=0))
    return merged
