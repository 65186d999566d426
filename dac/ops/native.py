"""The native operations as torch sees them: calls with our types, fake kernels and gradients.

Schemas are in csrc/bind.cpp. All compute in float32 on contiguous memory, copying where an input
lies otherwise; a bfloat16 input is widened and the result narrowed again. Each call means what the
function of its name means in `reference`, `densities` or `distillation`, except that no gradient
reaches points, edges and the expert's values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def register() -> None:
    """Attach fake kernels and gradients to the library's operations; called when it is loaded."""
    for name, fake in _FAKES.items():
        torch.library.register_fake(f"dac::{name}", fake)
    for name, (save, backward) in _GRADIENTS.items():
        torch.library.register_autograd(f"dac::{name}", backward, setup_context=save)


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float32 else x.float()


def _wide_all(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [_wide(x) for x in tensors]


def _wide_or_none(x: Tensor | None) -> Tensor | None:
    return None if x is None else _wide(x)


# Calls


def triplane(planes: Sequence[Tensor], points: Tensor) -> Tensor:
    features: Tensor = torch.ops.dac.triplane(_wide_all(planes), _wide(points))
    return features.to(planes[0].dtype)


def plane_tv(planes: Tensor) -> Tensor:
    total: Tensor = torch.ops.dac.plane_tv(_wide(planes))
    return total.to(planes.dtype)


def network(x: Tensor, weights: Sequence[Tensor], shift: Tensor | None = None) -> Tensor:
    rows: Tensor = torch.ops.dac.network(_wide(x), _wide_all(weights), _wide_or_none(shift))
    return rows.to(x.dtype)


def density(planes: Sequence[Tensor], weights: Sequence[Tensor], points: Tensor) -> Tensor:
    sigma: Tensor = torch.ops.dac.density(_wide_all(planes), _wide_all(weights), _wide(points))
    return sigma.to(planes[0].dtype)


def volume_weights(sigma: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    alpha, weights = torch.ops.dac.volume_weights(_wide(sigma), _wide(delta))
    return alpha.to(sigma.dtype), weights.to(sigma.dtype)


def composite(weights: Tensor, values: Tensor) -> Tensor:
    rendered: Tensor = torch.ops.dac.composite(_wide(weights), _wide(values))
    return rendered.to(weights.dtype)


def resample(edges: Tensor, weights: Tensor, u: Tensor, padding: float = 0.01) -> Tensor:
    wide = (x.detach() for x in (_wide(edges), _wide(weights), _wide(u)))
    new: Tensor = torch.ops.dac.resample(*wide, padding)
    return new.to(edges.dtype)


def distortion_loss(s: Tensor, weights: Tensor) -> Tensor:
    loss: Tensor = torch.ops.dac.distortion_loss(_wide(s), _wide(weights))
    return loss.to(weights.dtype)


def outer_bound(s: Tensor, s_coarse: Tensor, weights_coarse: Tensor) -> Tensor:
    bound: Tensor = torch.ops.dac.outer_bound(_wide(s), _wide(s_coarse), _wide(weights_coarse))
    return bound.to(weights_coarse.dtype)


def histogram_loss(
    s_fine: Tensor, w_fine: Tensor, s_coarse: Tensor, w_coarse: Tensor, eps: float = 1e-7
) -> Tensor:
    wide = _wide_all([s_fine, w_fine, s_coarse, w_coarse])
    loss: Tensor = torch.ops.dac.histogram_loss(*wide, eps)
    return loss.to(w_coarse.dtype)


def alpha_loss(student: Tensor, expert: Tensor) -> Tensor:
    loss: Tensor = torch.ops.dac.alpha_loss(_wide(student), _wide(expert))
    return loss.to(student.dtype)


def colour_loss(student: Tensor, expert: Tensor, weights: Tensor | None = None) -> Tensor:
    wide = _wide(student), _wide(expert), _wide_or_none(weights)
    loss: Tensor = torch.ops.dac.colour_loss(*wide)
    return loss.to(student.dtype)


# Gradients: what to keep, and the backward operation


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Keep all tensors, lists among them, in order; and how to find them again."""
    ctx.shape = [len(x) if isinstance(x, list | tuple) else -1 for x in inputs]
    ctx.plain = [None if isinstance(x, Tensor | list | tuple) else x for x in inputs]
    ctx.given = [isinstance(x, Tensor) for x in inputs]
    tensors = [y for x in inputs for y in (x if isinstance(x, list | tuple) else [x])]
    ctx.save_for_backward(*(x for x in tensors if isinstance(x, Tensor)))


def _inputs(ctx: Any) -> list[Any]:
    """The inputs that `_save` kept."""
    saved = iter(ctx.saved_tensors)
    found: list[Any] = []
    for length, plain, given in zip(ctx.shape, ctx.plain, ctx.given, strict=True):
        if length >= 0:
            found.append([next(saved) for _ in range(length)])
        else:
            found.append(next(saved) if given else plain)
    return found


def _triplane_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return torch.ops.dac.triplane_backward(grad, *_inputs(ctx)), None


def _plane_tv_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return (torch.ops.dac.plane_tv_backward(grad, *_inputs(ctx)),)


def _network_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    x, weights, shift = _inputs(ctx)
    wanted = ctx.needs_input_grad[0]
    to_x, to_shift, *to_weights = torch.ops.dac.network_backward(grad, x, weights, shift, wanted)
    return to_x if wanted else None, to_weights, None if shift is None else to_shift


def _density_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    planes, weights, points = _inputs(ctx)
    slopes = torch.ops.dac.density_backward(grad, planes, weights, points)
    return slopes[: len(planes)], slopes[len(planes) :], None


def _volume_weights_backward(ctx: Any, to_alpha: Tensor, to_w: Tensor) -> tuple[Any, ...]:
    wanted = ctx.needs_input_grad[1]
    slopes = torch.ops.dac.volume_weights_backward(to_alpha, to_w, *_inputs(ctx), wanted)
    return slopes[0], slopes[1] if wanted else None


def _composite_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return tuple(torch.ops.dac.composite_backward(grad, *_inputs(ctx)))


def _distortion_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return None, torch.ops.dac.distortion_loss_backward(grad, *_inputs(ctx))


def _outer_bound_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    s, s_coarse, _ = _inputs(ctx)
    return None, None, torch.ops.dac.outer_bound_backward(grad, s, s_coarse)


def _histogram_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    slope = torch.ops.dac.histogram_loss_backward(grad, *_inputs(ctx))
    return None, None, None, slope, None


def _alpha_loss_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return torch.ops.dac.alpha_loss_backward(grad, *_inputs(ctx)), None


def _colour_loss_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return torch.ops.dac.colour_loss_backward(grad, *_inputs(ctx)), None, None


_GRADIENTS: dict[str, tuple[Callable[..., None], Callable[..., tuple[Any, ...]]]] = {
    "triplane": (_save, _triplane_backward),
    "plane_tv": (_save, _plane_tv_backward),
    "network": (_save, _network_backward),
    "density": (_save, _density_backward),
    "volume_weights": (_save, _volume_weights_backward),
    "composite": (_save, _composite_backward),
    "distortion_loss": (_save, _distortion_backward),
    "outer_bound": (_save, _outer_bound_backward),
    "histogram_loss": (_save, _histogram_backward),
    "alpha_loss": (_save, _alpha_loss_backward),
    "colour_loss": (_save, _colour_loss_backward),
}


# Fake kernels: shapes of the results


def _as(x: Tensor) -> Tensor:
    return x.new_empty(x.shape)


def _all_as(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [_as(x) for x in tensors]


def _number(x: Tensor, *others: Any) -> Tensor:
    return x.new_empty(())


def _fake_triplane(planes: list[Tensor], points: Tensor) -> Tensor:
    return points.new_empty(points.shape[0], sum(p.shape[3] for p in planes))


def _fake_network_backward(
    grad: Tensor, x: Tensor, weights: list[Tensor], shift: Tensor | None, to_x: bool
) -> list[Tensor]:
    slope = _as(x) if to_x else x.new_empty(0, x.shape[1])
    to_shift = x.new_empty(0, weights[0].shape[0]) if shift is None else _as(shift)
    return [slope, to_shift, *_all_as(weights)]


def _fake_volume_weights_backward(
    to_alpha: Tensor, to_weights: Tensor, sigma: Tensor, delta: Tensor, delta_too: bool
) -> tuple[Tensor, Tensor]:
    return _as(sigma), _as(delta) if delta_too else delta.new_empty(0, delta.shape[1])


_FAKES: dict[str, Callable[..., Any]] = {
    "triplane": _fake_triplane,
    "triplane_backward": lambda grad, planes, points: _all_as(planes),
    "plane_tv": _number,
    "plane_tv_backward": lambda grad, planes: _as(planes),
    "network": lambda x, weights, shift: x.new_empty(x.shape[0], weights[-1].shape[0]),
    "network_backward": _fake_network_backward,
    "density": lambda planes, weights, points: points.new_empty(points.shape[0]),
    "density_backward": lambda grad, planes, weights, points: _all_as([*planes, *weights]),
    "volume_weights": lambda sigma, delta: (_as(sigma), _as(sigma)),
    "volume_weights_backward": _fake_volume_weights_backward,
    "composite": lambda weights, values: values.new_empty(values.shape[0], values.shape[2]),
    "composite_backward": lambda grad, weights, values: (_as(weights), _as(values)),
    "resample": lambda edges, weights, u, padding: _as(u),
    "distortion_loss": _number,
    "distortion_loss_backward": lambda grad, s, weights: _as(weights),
    "outer_bound": lambda s, s_coarse, weights: s.new_empty(s.shape[0], s.shape[1] - 1),
    "outer_bound_backward": lambda grad, s, s_coarse: s.new_empty(
        s.shape[0], s_coarse.shape[1] - 1
    ),
    "histogram_loss": _number,
    "histogram_loss_backward": lambda grad, s, w, s_coarse, w_coarse, eps: _as(w_coarse),
    "alpha_loss": _number,
    "alpha_loss_backward": lambda grad, student, expert: _as(student),
    "colour_loss": _number,
    "colour_loss_backward": lambda grad, student, expert, weights: _as(student),
}
