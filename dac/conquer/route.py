"""Routing: from K specialists and the division to one model that keeps them all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from dac.conquer.routed import RoutedModel, save_routed
from dac.divide.groups import FEW_VIEWS
from dac.divide.partition import Partition
from dac.divide.router import Router
from dac.errors import UserError
from dac.fields.model import load_model
from dac.scenes.scene import Scene
from dac.settings import SpecialistSettings
from dac.storage.artifacts import new_folder, read_json

_log = logging.getLogger(__name__)


def route(
    scene: Path,
    partition: Path,
    experts: Sequence[Path],
    settings: SpecialistSettings,
    *,
    out: Path,
) -> None:
    """Write the routed model's folder.

    Args:
        scene: a scene's folder.
        partition: the file.
        experts: the specialists' folders, in the groups' order.
        settings: how wide they blend, and what the file may take.

    Raises:
        UserError: not one expert per group; a folder is damaged; the disk is full; as of `pack`.
    """
    views, groups = Scene.load(scene), Partition.load(partition)
    if len(experts) != groups.count:
        raise UserError(
            partition, f"has {groups.count} groups, but {len(experts)} experts came", "train all"
        )
    fewest = min(map(len, groups.groups))
    if fewest < FEW_VIEWS:
        _log.warning(
            "%s: a specialist has %d views: try a smaller K, or divide.minimum_views: %d",
            views.name, fewest, FEW_VIEWS,
        )  # fmt: skip
    model = RoutedModel(
        [load_model(folder) for folder in experts], Router.of(views, groups, settings.blend)
    )
    first = read_json(experts[0] / "model.json")
    # Routing trains nothing: what it took is the specialists' and the trunk's.
    took = {"steps": 0, "seconds": 0.0, "memory_bytes": 0}
    about = {"stage": "route", "seed": first["seed"], "versions": first["versions"], **took}
    with new_folder(out) as part:
        save_routed(model, part, settings.packed_size, about)
