"""What a model file says besides its weights, as checked data: sizes, places, how it was made."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from dac.divide.router import By
from dac.errors import UserError
from dac.scenes.photos.images import MOST_PIXELS
from dac.scenes.views import LARGEST_NUMBER, SMALLEST_NUMBER, rigid
from dac.settings import Coordinate, Count, ModelSettings, Positive, Section, Vector3, Whole

_MOST_EXPERTS = 256

Intensity = Annotated[float, Field(ge=0, le=1)]
Row = tuple[Coordinate, Coordinate, Coordinate, Coordinate]
Matrix = tuple[Row, Row, Row, Row]
Text = Annotated[str, Field(max_length=1024)]


def _similarity(matrix: Matrix) -> Matrix:
    rows = np.array(matrix)
    scale = float(np.cbrt(np.linalg.det(rows[:3, :3])))
    if not scale > 0:
        raise ValueError("is no similarity")
    rows[:3, :3] /= scale
    try:
        rigid(rows.tolist(), "")
    except UserError as error:
        raise ValueError(f"is no similarity: {error.what}") from None
    return matrix


class SpaceContents(Section):
    """`dac.scenes.scene.Space`, checked."""

    kind: Literal["box", "contraction"]
    box: tuple[Vector3, Vector3]
    near: Annotated[float, Field(ge=0, le=1e9)]
    far: Positive

    @model_validator(mode="after")
    def _ordered(self) -> SpaceContents:
        if not (self.near < self.far and all(a < b for a, b in zip(*self.box, strict=True))):
            raise ValueError("near or a lower corner is not below far or the upper corner")
        return self


class Sized(Section):
    """Pictures of so many pixels."""

    width: Annotated[int, Field(ge=1, le=10**6)]
    height: Annotated[int, Field(ge=1, le=10**6)]

    @model_validator(mode="after")
    def _bounded(self) -> Sized:
        if self.width * self.height > MOST_PIXELS:
            raise ValueError(f"pictures have over {MOST_PIXELS} pixels")
        return self


class CameraContents(Sized):
    """A training view's camera, as a pinhole; see `Camera`."""

    world_from_camera: tuple[Row, Row, Row]
    focal: Annotated[float, Field(ge=SMALLEST_NUMBER, le=LARGEST_NUMBER)]


class ViewsContents(Sized):
    """What the tensors `views.*` are: `Cameras` of so many training views."""

    model: Literal["perspective", "fisheye"]
    count: Count


class RouterContents(Section):
    """What the tensors `router.*` and `experts.*` are.

    Attributes:
        by, count, blend, generalist: of `dac.divide.router.Router`.
        views: whose poses and owners it knows.
        packed: the experts are; else they are as they were trained.
    """

    by: By
    count: Annotated[int, Field(ge=1, le=_MOST_EXPERTS)]
    blend: Annotated[float, Field(ge=0, le=1)]
    generalist: tuple[Intensity, ...] | None = None
    views: Whole
    packed: bool

    @property
    def models(self) -> int:
        """How many there are: K experts, and the generalist."""
        return self.count + (self.generalist is not None)

    @model_validator(mode="after")
    def _known(self) -> RouterContents:
        if (self.by == "sectors") != (self.views == 0):
            raise ValueError("sectors need no views, and all else needs some")
        if self.models > self.count and (
            self.by != "poses" or len(self.generalist or ()) != self.count
        ):
            raise ValueError("a generalist has a share for each group, by poses")
        return self


class About(Section):
    """How the model was made.

    Attributes:
        scene, model: names in the results folder, e.g. `lego`, `azimuth-4/expert2`.
        title: what people call the model.
        seed: of its training.
        views: the scene's training views; an expert learnt from its group's alone.
        steps: of its last phase.
        training_steps: of all phases, experts included; None without an evaluation.
        division, K, mode: of the experts that it is, or learnt from.
        psnr, scored_views: on test views; None without an evaluation.
        commit: of the code that evaluated it.
        versions: of the packages that trained it.
        exported_by: the version of dac that wrote the file.
    """

    scene: Text
    model: Text
    title: Text
    seed: int
    views: Count
    steps: Whole
    training_steps: Whole | None
    division: Text | None
    K: Count | None
    mode: Text | None
    psnr: float | None
    scored_views: Count | None
    commit: Text | None
    versions: dict[Text, Text]
    exported_by: Text


class Contents(Section):
    """What the file says besides its weights.

    Attributes:
        version: of this form.
        settings, space: of the model.
        background: rgb behind the scene, in [0, 1].
        world_from_data: (4, 4) similarity from the data set's frame to the scene's.
        camera: where to look from when nothing else is said.
        views: of the training views' tensors; None in version 1, which has none.
        router: of a routed model; None: the weights are one model's.
        about: how it was made.
        weights_sha256: of all tensors; see `tensors_digest`.
    """

    version: Literal[1, 2, 3]
    settings: ModelSettings
    space: SpaceContents
    background: tuple[Intensity, Intensity, Intensity]
    world_from_data: Annotated[Matrix, AfterValidator(_similarity)]
    camera: CameraContents
    views: ViewsContents | None = None
    router: RouterContents | None = None
    about: About
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
