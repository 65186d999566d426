"""Routing: from K specialists and the division to one model that keeps them all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from dac.conquer.routed import RoutedModel, save_routed
from dac.conquer.trust import generalist_shares
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
    generalist: Path | None = None,
    out: Path,
) -> None:
    """Write the routed model's folder.

    Args:
        scene: a scene's folder.
        partition: the file.
        experts: the specialists' folders, in the groups' order.
        settings: how wide they blend, and what the file may take.
        generalist: the folder of a model of all views, which stands in for them as `trust` says.

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
    first = read_json(experts[0] / "model.json")
    models, shares = [load_model(folder) for folder in experts], None
    if generalist is not None:
        general = load_model(generalist)
        shares = generalist_shares(views, groups.groups, models, general, first["seed"])
        said = ", ".join(f"{share:.2f}" for share in shares)
        _log.info("The generalist's share in the groups' pictures: %s.", said)
        models.append(general)
    model = RoutedModel(models, Router.of(views, groups, settings.blend, shares))
    # Routing trains nothing: what it took is the specialists' and the trunk's.
    took = {"steps": 0, "seconds": 0.0, "memory_bytes": 0}
    about = {"stage": "route", "seed": first["seed"], "versions": first["versions"], **took}
    with new_folder(out) as part:
        save_routed(model, part, settings.packed_size, about)
