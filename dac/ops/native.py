"""The native operations as torch sees them: fake kernels and gradients, and calls with our types.

Schemas are in csrc/bind.cpp. All compute in float32 on contiguous memory, copying where an input
lies otherwise; a bfloat16 input is widened and the result narrowed again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_Gradients = tuple[Any, ...]


def register() -> None:
    """Attach fake kernels and gradients to the library's operations; called when it is loaded."""
    for name, fake in _FAKES.items():
        torch.library.register_fake(f"dac::{name}", fake)
    for name, (save, backward) in _GRADIENTS.items():
        torch.library.register_autograd(f"dac::{name}", backward, setup_context=save)


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype != torch.float32 else x


# Volume rendering


def volume_weights(sigma: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    alpha, weights = torch.ops.dac.volume_weights(_wide(sigma), _wide(delta))
    return alpha.to(sigma.dtype), weights.to(sigma.dtype)


def _save_all(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs)


def _volume_weights_backward(ctx: Any, to_alpha: Tensor, to_weights: Tensor) -> _Gradients:
    too = ctx.needs_input_grad[1]
    to_sigma, to_delta = torch.ops.dac.volume_weights_backward(
        to_alpha, to_weights, *ctx.saved_tensors, too
    )
    return to_sigma, to_delta if too else None


def _fake_volume_weights(sigma: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    return sigma.new_empty(sigma.shape), sigma.new_empty(sigma.shape)


def _fake_volume_weights_backward(
    to_alpha: Tensor, to_weights: Tensor, sigma: Tensor, delta: Tensor, delta_too: bool
) -> tuple[Tensor, Tensor]:
    rays, bins = sigma.shape
    return sigma.new_empty(rays, bins), sigma.new_empty(rays if delta_too else 0, bins)


_FAKES: dict[str, Callable[..., Any]] = {
    "volume_weights": _fake_volume_weights,
    "volume_weights_backward": _fake_volume_weights_backward,
}

_GRADIENTS: dict[str, tuple[Callable[..., None], Callable[..., _Gradients]]] = {
    "volume_weights": (_save_all, _volume_weights_backward),
}
