"""Which body of an operation runs: plain torch (`reference`) or the native library (`native`).

`DAC_BACKEND` names one; without it, native runs where its library is there or can be compiled, and
plain torch elsewhere, with one line in the log that says so. The choice is made once a process, at
the first operation, never on import; a library that is missing is compiled then. A GPU's operations
are native where the library holds CUDA kernels.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor

from dac.errors import UserError
from dac.ops import build

Backend = Literal["reference", "native"]

_log = logging.getLogger(__name__)
_chosen: list[Backend] = []  # what `using` asks for, innermost last


def backend(device: str = "cpu") -> Backend:
    """The backend of operations on a device.

    Args:
        device: a type of device, "cpu" or "cuda".

    Raises:
        UserError: `DAC_BACKEND` is unknown, or native and can't be had here; it doesn't compile.
    """
    return _chosen[-1] if _chosen else _decide(device)


def runs_natively(operation: str, *tensors: Tensor) -> bool:
    """Whether an operation on these tensors is the native one.

    Raises:
        UserError: it would be, but the tensors are none that it takes.
    """
    device = tensors[0].device.type
    if backend(device) == "reference" or not _has_kernel(operation, device):
        return False
    for tensor in tensors:
        if tensor.dtype not in (torch.float32, torch.bfloat16) and tensor.is_floating_point():
            raise UserError(
                "DAC_BACKEND",
                f"the native operations take float32 and bfloat16, not {tensor.dtype}",
                "choose plain torch with DAC_BACKEND=reference",
            )
    return True


@cache
def _has_kernel(operation: str, device: str) -> bool:
    """Whether the library holds an operation for a device; logs once where it doesn't."""
    library()
    held: bool = torch._C._dispatch_has_kernel_for_dispatch_key(f"dac::{operation}", device.upper())
    if not held:
        _log.info("%s on %s in plain torch: there is no native kernel for it", operation, device)
    return held


@contextmanager
def using(name: Backend) -> Iterator[None]:
    """Take the named backend within the block, whatever was chosen: for tests and comparisons.

    Raises:
        UserError: native can't be had here.
    """
    if name == "native":
        library()
    _chosen.append(name)
    try:
        yield
    finally:
        _chosen.pop()


@cache
def library() -> Path:
    """Load the native library, compiling it if need be.

    Returns:
        Its path.

    Raises:
        UserError: there is neither a library nor a compiler, or it doesn't compile.
    """
    path = build.obtain()
    try:
        torch.ops.load_library(path)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise UserError(
            path, f"can't be loaded ({error})", "delete it to compile it anew"
        ) from None
    from dac.ops import native

    native.register()
    return path


def backend_record() -> dict[str, Any]:
    """What computed a run's numbers, for its record; not part of any digest.

    Returns:
        The backend by device and the number of threads; for a native one the library's key, its
        compiler and the floats in a vector.
    """
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    record: dict[str, Any] = {
        "backend": {device: backend(device) for device in devices},
        "threads": torch.get_num_threads(),
    }
    if "native" in record["backend"].values():
        known = build.describe(library())
        record |= {"library": library().parent.name, "compiler": known["compiler"]}
        record["vector_lanes"] = torch.ops.dac.vector_lanes()
    return record


def _can_compile() -> bool:
    return build.find_compiler()[0] is not None


@cache
def _decide(device: str) -> Backend:
    """Choose, and log the choice once."""
    asked = os.environ.get("DAC_BACKEND", "")
    if asked not in ("", "reference", "native"):
        raise UserError(
            "DAC_BACKEND", f"there is no backend {asked!r}", "choose reference or native"
        )
    if asked:
        if asked == "native":
            library()
            if why := _lacks(device):
                raise UserError("DAC_BACKEND", f"{why}, so native can't run on {device}", _GPU_FIX)
        _log.info("%s operations on %s: DAC_BACKEND asks for them", asked, device)
        return cast(Backend, asked)
    why = "" if _can_compile() or build.find_built() else build.find_compiler()[1]
    if not why:
        library()
        why = _lacks(device)
    if why:
        _log.warning(
            "plain torch operations on %s, because %s; a training step takes several times as long",
            device,
            why,
        )
        return "reference"
    _log.info("native operations on %s (%s, %s)", device, library(), platform.machine())
    return "native"


_GPU_FIX = "install CUDA's toolkit (nvcc), or choose DAC_BACKEND=reference"


def _lacks(device: str) -> str:
    """Why the loaded library can't serve a device; empty where it can."""
    if device == "cpu" or build.describe(library())["cuda"]:
        return ""
    return "the library was compiled without nvcc"
