"""The packages that only some outputs need: the `app` extra."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dac.errors import UserError


def extra(name: str) -> Any:
    """A module of one of these packages, e.g. `skimage.measure`.

    Raises:
        UserError: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        where = f"the Python package {error.name}"
        raise UserError(where, "is not installed", "pip install 'dac-nerf[app]'") from None
