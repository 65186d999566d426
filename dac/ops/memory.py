"""Memory for parameters and their companions: one block each, on huge pages where Linux has them.

Kernels look planes up in random order. With pages of 4 KiB, most such reads of a large model miss
the processor's table of pages; with 2 MiB they don't (a random read of 16 MB took 2 to 4 times less
time on one machine).
"""

from __future__ import annotations

import mmap
import resource
import sys
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

ALIGN = 16
"""Floats (64 bytes) that a parameter's start in a block is rounded up to."""

_HUGE = 1 << 21


def ran_out(error: BaseException | None) -> bool:
    """Whether an error, or what it came of, says that there is no more memory.

    The native operations say it by a plain RuntimeError: torch's stable ABI has no other. Where it
    breaks the capture of a CUDA graph, ending the capture fails as well.
    """
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error):
            return True
        error = error.__context__
    return False


def peak(device: torch.device) -> int:
    """Bytes: the most that torch has allocated on a GPU, else the process's resident memory."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else 1024 * used


def zeros(*shape: int) -> Tensor:
    """A float32 tensor of zeros on the CPU, on huge pages if it is large enough for one."""
    count = 1
    for side in shape:
        count *= side
    if 4 * count < _HUGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.zeros(shape)
    size = -(-4 * count // _HUGE) * _HUGE
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(block, dtype=torch.float32, count=count).view(shape)


def length(tensors: Iterable[Tensor]) -> int:
    """Floats of a block that holds the tensors one after another."""
    return sum(_rounded(tensor.numel()) for tensor in tensors)


def views(block: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The parts of a block (length,) that hold tensors of these shapes."""
    parts = []
    start = 0
    for tensor in like:
        parts.append(block[start : start + tensor.numel()].view(tensor.shape))
        start += _rounded(tensor.numel())
    return parts


def gather(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copies of float32 CPU tensors, side by side in one new block."""
    parts = views(zeros(length(tensors)), tensors)
    for part, tensor in zip(parts, tensors, strict=True):
        part.copy_(tensor)
    return parts


def gather_parameters(module: nn.Module) -> None:
    """Move a module's float32 CPU parameters into one block; values and names stay."""
    parameters = list(module.parameters())
    for parameter, part in zip(
        parameters, gather([parameter.detach() for parameter in parameters]), strict=True
    ):
        parameter.data = part


def _rounded(count: int) -> int:
    return -(-count // ALIGN) * ALIGN
