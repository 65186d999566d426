"""Small ReLU networks without biases, arranged for speed in plain torch.

The meaning is `reference.network`. Against autograd's own chain this form masks gradients in place,
block by block, so that they stay in cache, and multiplies narrow matrices in the order that the
BLAS is fast at.

Notation: N rows, layer widths D_0 ... D_L; a weight is (D_{l+1}, D_l).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

_CPU_BLOCK = 2048  # rows; a block of width 64 fits a core's second-level cache


def _by_ray(rows: Tensor, rays: int) -> Tensor:
    """(R S, D) as (R, S, D); S is 0 where there is no ray."""
    return rows.view(rays, len(rows) // max(rays, 1), rows.shape[1])


def _add_weight_gradient(total: Tensor, grad: Tensor, x: Tensor) -> None:
    """total += grad.T @ x, with the narrower matrix first."""
    if x.shape[1] < grad.shape[1]:
        total.T.addmm_(x.T, grad)
    else:
        total.addmm_(grad.T, x)


class _Network(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shift: Tensor | None, *weights: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        for layer, weight in enumerate(weights):
            y = functional.linear(outputs[-1] if outputs else x, weight)
            if layer == 0 and shift is not None:
                _by_ray(y, len(shift)).add_(shift[:, None])
            if layer + 1 < len(weights):
                y.relu_()
            outputs.append(y)
        ctx.save_for_backward(x, *weights, *outputs[:-1])
        ctx.rays = None if shift is None else len(shift)
        return outputs[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, *saved = ctx.saved_tensors
        depth = (len(saved) + 1) // 2
        weights, inputs = saved[:depth], [x, *saved[depth:]]
        to_weights = [torch.zeros_like(weight) for weight in weights]
        # Row-major transposes: the BLAS is twice as fast on narrow products with them.
        turned = [weight.T.contiguous() for weight in weights]
        to_x = torch.empty_like(x, memory_format=torch.contiguous_format)
        to_first = None if ctx.rays is None else grad.new_empty(len(x), weights[0].shape[0])
        size = _CPU_BLOCK if x.device.type == "cpu" else max(len(x), 1)
        for start in range(0, len(x), size):
            block = slice(start, start + size)
            g = grad[block]
            for layer in reversed(range(depth)):
                _add_weight_gradient(to_weights[layer], g, inputs[layer][block])
                if layer > 0:
                    g = functional.linear(g, turned[layer])
                    g = torch.ops.aten.threshold_backward.grad_input(
                        g, inputs[layer][block], 0, grad_input=g
                    )
            if to_first is not None:
                to_first[block] = g
            if ctx.needs_input_grad[0]:
                torch.mm(g, turned[0].T, out=to_x[block])
        to_shift = None
        if to_first is not None:
            to_shift = _by_ray(to_first, ctx.rays).sum(dim=1)
        return (to_x if ctx.needs_input_grad[0] else None, to_shift, *to_weights)


def network(x: Tensor, weights: Sequence[Tensor], shift: Tensor | None = None) -> Tensor:
    """As `reference.network`: (N, D_0) -> (N, D_L)."""
    result: Tensor = _Network.apply(x, shift, *weights)  # type: ignore[no-untyped-call]
    return result
