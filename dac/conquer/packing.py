"""Experts in few bytes: planes as small whole numbers, networks in half precision.

Notation: K experts; a plane has C channels, and each channel of each an offset and a step: value =
offset + step * code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

_LEVELS = 255


def pack(states: Sequence[Mapping[str, Tensor]], bits: int) -> dict[str, Tensor]:
    """Experts' weights as a file holds them.

    Args:
        states: K state dicts of float32 tensors.
        bits: 32 leaves all as it is; 8: planes (1, C, H, W) in 8 bits, the rest in half precision.
    """
    tensors = {}
    for k, state in enumerate(states):
        for name, value in state.items():
            value = value.detach().cpu().contiguous()
            where = f"experts.{k}.{name}"
            if bits == 32:
                tensors[where] = value
            elif value.dim() == 4:
                low = value.amin(dim=(0, 2, 3))
                step = (value.amax(dim=(0, 2, 3)) - low) / _LEVELS
                wide = step.clamp_min(torch.finfo(step.dtype).tiny).view(1, -1, 1, 1)
                codes = ((value - low.view(1, -1, 1, 1)) / wide).round().clamp(0, _LEVELS)
                tensors[where] = codes.to(torch.uint8)
                tensors[f"{where}.range"] = torch.stack([low, step])
            else:
                tensors[where] = value.half()
    return tensors


def unpack(tensors: Mapping[str, Tensor], count: int) -> list[dict[str, Tensor]]:
    """The state dicts of so many experts, float32, from what `pack` made."""
    states: list[dict[str, Tensor]] = [{} for _ in range(count)]
    for where, value in tensors.items():
        if not where.startswith("experts.") or where.endswith(".range"):
            continue
        _, k, name = where.split(".", 2)
        if value.dtype == torch.uint8:
            low, step = tensors[f"{where}.range"].unbind()
            value = low.view(1, -1, 1, 1) + step.view(1, -1, 1, 1) * value
        states[int(k)][name] = value.float()
    return states
