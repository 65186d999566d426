"""A trained model in one file: weights, and all that rendering them takes.

The file is safetensors. Its metadata holds one JSON text under the key `dac`: `Contents`, with a
version number. Since version 2 it also holds the training views' cameras, as the float64 tensors
`views.*`, by which paths around the scene are found.

Nothing in a file is ever run, the header is bounded, and weights are made only once the file is
known to hold them, so a stranger's file costs no more memory than its own size.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import AfterValidator, Field, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dac.cameras import Cameras
from dac.errors import UserError
from dac.evaluation.render import render_view
from dac.export.camera import Camera
from dac.fields.model import Model, build_model, default_device
from dac.ops.rays import Rendered
from dac.scenes.photos.images import MOST_PIXELS
from dac.scenes.scene import Space
from dac.scenes.views import LARGEST_NUMBER, SMALLEST_NUMBER, rigid
from dac.settings import (
    Coordinate,
    Count,
    ModelSettings,
    Positive,
    Section,
    Vector3,
    Whole,
    validate,
)
from dac.storage.artifacts import write_file
from dac.storage.files import is_file

VERSION = 2
CHUNK_RAYS = 8192
_KEY = "dac"
_MOST_HEADER = 2**20  # bytes; ours have about 5,000
_FIX = "is it a file of `dac export model`?"
_DAMAGED = "copy or export it again"
_VIEWS = "views."
_VIEW_SHAPES = {"intrinsics": (4,), "distortion": (6,), "world_from_camera": (3, 4)}

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
        about: how it was made.
        weights_sha256: of all tensors; see `tensors_digest`.
    """

    version: Literal[1, 2]
    settings: ModelSettings
    space: SpaceContents
    background: tuple[Intensity, Intensity, Intensity]
    world_from_data: Annotated[Matrix, AfterValidator(_similarity)]
    camera: CameraContents
    views: ViewsContents | None = None
    about: About
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, eq=False)
class SceneModel:
    """A trained model with what it takes to render it.

    Attributes:
        model: the field itself, for `dac.fields`.
        contents: what its file says.
        camera: one of the training views' cameras, to begin with.
        views: all training views' cameras; None from a file of version 1.
    """

    model: Model
    contents: Contents
    camera: Camera
    views: Cameras | None

    def render(
        self,
        camera: Camera | None = None,
        *,
        width: int | None = None,
        height: int | None = None,
        chunk_rays: int = CHUNK_RAYS,
    ) -> Rendered:
        """Render a picture.

        Args:
            camera: from where; default `self.camera`.
            width, height: pixels, another size than the camera's; see `Camera.resized`.
            chunk_rays: rays rendered at once; bounds the memory.

        Returns:
            rgb (H, W, 3) over the background, in [0, 1] up to rounding; depth (H, W), the expected
            distance along each pixel's ray in scene units; accumulation (H, W), how opaque the
            pixel is. Float32 tensors on the CPU; `.numpy()` makes arrays of them.
        """
        chosen = (camera or self.camera).resized(width, height).cameras()
        background = torch.tensor(self.contents.background)
        rendered = render_view(self.model, chosen, 0, background, chunk_rays)
        return Rendered(*(tensor.cpu() for tensor in rendered))


def load(path: str | Path, device: str | torch.device | None = None) -> SceneModel:
    """Read a model that `dac export model` wrote.

    Args:
        path: the file.
        device: default: the GPU where there is one.

    Raises:
        UserError: it is missing, no such file, of another version, truncated, damaged.
    """
    path = Path(path)
    contents = read_contents(path)
    where = Space(**contents.space.model_dump())
    try:
        with safe_open(path, framework="pt") as file:
            _require_same_shapes(path, file, contents, where)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(path, f"is truncated or damaged ({error})", _DAMAGED) from None
    if tensors_digest(tensors) != contents.weights_sha256:
        raise UserError(path, "is damaged: its weights are not those that were written", _DAMAGED)
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise UserError(path, "holds weights that are NaN or infinite", "train and export it again")
    views = None if contents.views is None else _views(path, contents.views, tensors)
    model = build_model(contents.settings, where, seed=0)
    model.load_state_dict(tensors)
    model = model.to(default_device() if device is None else device)
    return SceneModel(model, contents, Camera(**contents.camera.model_dump()), views)


def _views(path: Path, about: ViewsContents, tensors: dict[str, Tensor]) -> Cameras:
    """Take the training views' cameras out of the tensors."""
    values = {name: tensors.pop(_VIEWS + name) for name in _VIEW_SHAPES}
    try:
        for pose in values["world_from_camera"].tolist():
            rigid(pose, "")
        return Cameras(about.model, about.width, about.height, **values)
    except (ValueError, UserError) as error:
        what = error.what if isinstance(error, UserError) else str(error)
        raise UserError(path, f"its training views can't be: {what}", _DAMAGED) from None


def save(path: Path, model: Model, views: Cameras, contents: dict[str, Any]) -> Contents:
    """Write a model and what goes with it, whole or not at all.

    Args:
        path: the file.
        model: whose weights, settings and space are written.
        views: the training views' cameras.
        contents: the other fields of `Contents` but its version and digest, as plain data.

    Returns:
        What was written.

    Raises:
        UserError: the disk is full, the folder can't be written.
    """
    tensors = {
        name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()
    } | {_VIEWS + name: getattr(views, name) for name in _VIEW_SHAPES}
    about_views = {"width": views.width, "height": views.height, "model": views.model}
    whole = {
        **contents,
        "version": VERSION,
        "settings": model.settings.model_dump(mode="json"),
        "space": model.space.to_json(),
        "views": {**about_views, "count": len(views)},
        "weights_sha256": tensors_digest(tensors),
    }
    checked = validate(Contents, whole, str(path))
    text = checked.model_dump_json()
    # One text alone: safetensors writes several in any order, and equal models would differ.
    write_file(path, lambda temporary: save_file(tensors, temporary, {_KEY: text}))
    return checked


def read_contents(path: Path) -> Contents:
    """Read what a file says besides its weights, and nothing more of it.

    Raises:
        UserError: as `load`.
    """
    _require_small_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(path, f"is no safetensors file, or truncated ({error})", _FIX) from None
    if _KEY not in metadata:
        raise UserError(path, "is a safetensors file, but not of this project", _FIX)
    try:
        data = json.loads(metadata[_KEY])
    except (ValueError, RecursionError):
        raise UserError(path, "its description is no JSON", _DAMAGED) from None
    version = data.get("version") if isinstance(data, dict) else None
    if version not in range(1, VERSION + 1):
        what = f"has version {version!r:.40}, and this program reads versions up to {VERSION}"
        raise UserError(path, what, "use the version of dac that wrote it, or export it again")
    try:
        return validate(Contents, data, str(path))
    except UserError as error:
        raise UserError(error.where, error.what, _DAMAGED) from None


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Hex SHA-256 of names and values (little-endian), in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        values = tensors[name].numpy()
        digest.update(name.encode() + b"\0")
        digest.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def _require_small_header(path: Path) -> None:
    """Refuse what is no regular file, or claims a header that none of ours has."""
    if not is_file(path):
        raise UserError(path, "no such file", "check the path")
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
    except OSError as error:
        raise UserError(path, f"can't be read ({error.strerror})", "check the path") from None
    if not 2 <= length <= _MOST_HEADER:
        raise UserError(path, "is no model file: its header has no sensible length", _FIX)


def _require_same_shapes(path: Path, file: Any, contents: Contents, where: Space) -> None:
    """Check that the file holds just the tensors that it should, before any memory is taken."""
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    found = {name: (tuple(s.get_shape()), s.get_dtype()) for name, s in slices.items()}
    settings, views = contents.settings, contents.views
    hybrid = settings.decoder == "hybrid"
    layers = settings.colour_layers if hybrid else settings.explicit_layers
    wanted = {}
    if layers <= len(found):
        try:
            with torch.device("meta"):  # shapes without memory
                state = Model(settings, where).state_dict()
            wanted = {name: (tuple(value.shape), "F32") for name, value in state.items()}
        except (RuntimeError, OverflowError):
            pass  # sizes beyond any memory
    if views is not None:
        for name, shape in _VIEW_SHAPES.items():
            wanted[_VIEWS + name] = ((views.count, *shape), "F64")
    if found != wanted:
        raise UserError(path, "its weights are not those of the model that it describes", _DAMAGED)
