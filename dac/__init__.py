"""DaC: divide-and-conquer training of neural radiance fields.

Importing the package imports nothing heavy: the stages live in `dac.scenes`, `dac.divide`,
`dac.training`, `dac.conquer`, `dac.evaluation` and `dac.report`. `dac.load` reads a trained model
from one file (see `dac.export.model_file`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dac.version import __version__ as __version__

if TYPE_CHECKING:
    from dac.export.model_file import load as load


def __getattr__(name: str) -> Any:
    if name == "load":
        # By name: an import statement here would make the exports part of every stage's code
        # (dac.storage.provenance).
        from importlib import import_module

        return import_module("dac.export.model_file").load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
