"""Tri-plane lookup and total variation, arranged for speed in plain torch.

The meaning is `reference.triplane` and `reference.plane_tv`. On a CPU this form takes under half
of their time: channels-last rows are gathered with their bilinear weights by one `embedding_bag`;
the backward pass sorts the points by cell, sums each occupied cell's points with `embedding_bag`
again (corner by corner), and adds one row a cell instead of one a point; and the total variation
keeps one plane at a time in cache.

Notation: N points, three planes of H x W entries with C channels; a cell is the square between four
entries, named by its first entry's row in the planes flattened to (3 H W, C).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def _cells(planes: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cell (3N,) int32 of each point, plane by plane, and where it lies in it: along W, along H."""
    count, height, width, _ = planes.shape
    x, y, z = points.to(planes.dtype).unbind(-1)
    column = torch.stack([x, x, y]).add_(1).mul_((width - 1) / 2).clamp_(0, width - 1)
    row = torch.stack([y, z, z]).add_(1).mul_((height - 1) / 2).clamp_(0, height - 1)
    # At the far border the cell is the last one, so that all four corners exist.
    left, top = column.floor().clamp_max_(width - 2), row.floor().clamp_max_(height - 2)
    plane = torch.arange(count, dtype=torch.int32, device=planes.device) * (height * width)
    # A point that is not a number lies in the first cell; what it finds there is none either.
    first, across = top.int().clamp_min_(0), left.int().clamp_min_(0)
    cell = first.mul_(width).add_(across).add_(plane[:, None])
    return cell.view(-1), column.sub_(left).view(-1), row.sub_(top).view(-1)


def _corner_weights(along_w: Tensor, along_h: Tensor, out: Sequence[Tensor]) -> None:
    """Bilinear weights of a cell's corners, in the order of `_offsets`, into four (3N,) tensors."""
    both = torch.mul(along_w, along_h, out=out[3])
    torch.sub(along_w, both, out=out[1])
    torch.sub(along_h, both, out=out[2])
    torch.sub(1 - along_w, out[2], out=out[0])


def _offsets(width: int) -> tuple[int, int, int, int]:
    """Rows of a cell's corners, from its first entry's."""
    return 0, 1, width, width + 1


class _Triplane(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, planes: Tensor, points: Tensor) -> Tensor:
        width, channels = planes.shape[2:]
        cell, along_w, along_h = _cells(planes, points)
        weights = along_w.new_empty(len(cell), 4)
        _corner_weights(along_w, along_h, weights.unbind(1))
        corners = cell.new_empty(len(cell), 4)
        for corner, offset in enumerate(_offsets(width)):
            torch.add(cell, offset, out=corners[:, corner])
        values = functional.embedding_bag(
            corners, planes.reshape(-1, channels), per_sample_weights=weights, mode="sum"
        )
        ctx.save_for_backward(cell, along_w, along_h, values)
        ctx.shape = planes.shape
        xy, xz, yz = values.view(3, -1, channels).unbind(0)
        return (xy * xz).mul_(yz)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        cell, along_w, along_h, values = ctx.saved_tensors
        channels = grad.shape[-1]
        xy, xz, yz = values.view(3, -1, channels).unbind(0)
        # Each plane's gradient is the incoming one times the other two planes' values.
        inner = torch.empty_like(values)
        to_xy, to_xz, to_yz = inner.view(3, -1, channels).unbind(0)
        torch.mul(grad, yz, out=to_xz)
        torch.mul(to_xz, xz, out=to_xy)
        to_xz.mul_(xy)
        torch.mul(xy, xz, out=to_yz).mul_(grad)
        rows = grad.new_zeros(ctx.shape).view(-1, channels)
        ordered, order = torch.sort(cell)
        occupied, counts = torch.unique_consecutive(ordered, return_counts=True)
        first = counts.cumsum(0) - counts
        weights = along_w.new_empty(4, len(cell))
        _corner_weights(along_w[order], along_h[order], weights.unbind(0))
        for corner, offset in enumerate(_offsets(ctx.shape[2])):
            sums = functional.embedding_bag(
                order, inner, first, per_sample_weights=weights[corner], mode="sum"
            )
            rows.index_add_(0, occupied.long() + offset, sums)
        return rows.view(ctx.shape), None


def triplane(planes: Sequence[Tensor], points: Tensor) -> Tensor:
    """As `reference.triplane`, but without gradient to the points.

    Args:
        planes: per scale (3, H, W, C), H and W at least 2, 3 H W below 2^31.
        points: (N, 3) in [-1, 1]; fastest when its columns are contiguous.

    Returns:
        (N, number of scales x C).
    """
    features = [_Triplane.apply(plane, points) for plane in planes]  # type: ignore[no-untyped-call]
    return features[0] if len(features) == 1 else torch.cat(features, dim=1)


def _differences(plane: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """(later, earlier) neighbours along H and along W of one plane (H, W, C)."""
    return (plane[1:], plane[:-1]), (plane[:, 1:], plane[:, :-1])


class _PlaneTV(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, planes: Tensor) -> Tensor:
        ctx.save_for_backward(planes)
        total = planes.new_zeros(())
        for plane in planes:
            for later, earlier in _differences(plane):
                step = (later - earlier).view(-1)
                total += torch.dot(step, step) / step.numel()
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (planes,) = ctx.saved_tensors
        result = torch.zeros_like(planes)
        for plane, out in zip(planes, result, strict=True):
            pairs = zip(_differences(plane), _differences(out), strict=True)
            for (later, earlier), (to_later, to_earlier) in pairs:
                step = later - earlier
                step *= grad * (2 / step.numel())
                to_later += step
                to_earlier -= step
        return result


def plane_tv(planes: Tensor) -> Tensor:
    """As `reference.plane_tv`: (3, H, W, C) -> scalar."""
    result: Tensor = _PlaneTV.apply(planes)  # type: ignore[no-untyped-call]
    return result
