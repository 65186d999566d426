"""What pictures, clouds and meshes are made of: a trained model and its scene's cameras."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dac.cameras import Cameras
from dac.catalogue import TrainedModel
from dac.conquer import routed
from dac.errors import UserError
from dac.evaluation.truth import background_colour
from dac.export.model_file import load
from dac.fields.model import default_device
from dac.scenes.scene import Scene


@dataclass(frozen=True, eq=False)
class Source:
    """A trained model with what it takes to look at it.

    Attributes:
        where: it was read from.
        model: the field.
        background: (3,) behind the scene.
        world_from_data: (4, 4) similarity from the data set's frame to the scene's.
        first: one camera, to look from when nothing else is said.
        test: the test views' cameras; None in a model file.
    """

    where: Path
    model: routed.AnyModel
    background: Tensor
    world_from_data: NDArray[np.float64]
    first: Cameras
    test: Cameras | None
    _training: Cameras | None

    @property
    def training(self) -> Cameras:
        """The training views' cameras.

        Raises:
            UserError: it is a model file of version 1, which has none.
        """
        if self._training is None:
            what = "holds no training cameras, since an older dac wrote it"
            raise UserError(self.where, what, "export it again, or go by a path file")
        return self._training


def from_results(scene: Scene, trained: TrainedModel) -> Source:
    """A model of a results folder.

    Raises:
        UserError: it is damaged.
    """
    views = scene.test or scene.train
    return Source(
        where=trained.folder,
        model=routed.load(trained.folder, default_device()),
        background=background_colour(scene),
        world_from_data=scene.world_from_data,
        first=scene.cameras.select(views[:1]),
        test=scene.cameras.select(scene.test),
        _training=scene.cameras.select(scene.train),
    )


def from_file(path: Path) -> Source:
    """A model that `dac export model` wrote.

    Raises:
        UserError: as `load`.
    """
    field = load(path)
    return Source(
        where=path,
        model=field.model,
        background=torch.tensor(field.contents.background),
        world_from_data=np.array(field.contents.world_from_data),
        first=field.camera.cameras(),
        test=None,
        _training=field.views,
    )
