"""What runs whole rays: plain torch (`reference`) or the native library's kernels (`native`).

`DAC_BACKEND` names one; without it, native runs where its library is there or can be compiled, and
plain torch elsewhere, with one line in the log that says so. The choice is made once a process,
when it is first asked for, never on import; a library that is missing is compiled then. On a GPU,
native needs a library that holds CUDA kernels.
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

from dac.errors import UserError
from dac.ops import build

Backend = Literal["reference", "native"]

_log = logging.getLogger(__name__)
_chosen: list[Backend] = []  # what `using` asks for, innermost last


def backend(device: str = "cpu") -> Backend:
    """The backend on a device.

    Args:
        device: a type of device, "cpu" or "cuda".

    Raises:
        UserError: `DAC_BACKEND` is unknown, or native and can't be had here; it doesn't compile.
    """
    return _chosen[-1] if _chosen else _decide(device)


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
