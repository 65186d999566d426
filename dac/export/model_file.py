"""A trained model in one file: weights, and all that rendering them takes.

The file is safetensors. Its metadata holds one JSON text under the key `dac`: `Contents`, with a
version number. Since version 2 it also holds the training views' cameras, as the float64 tensors
`views.*`, by which paths around the scene are found. Since version 3 it may hold a routed model:
`experts.*` and `scale.*`, packed (see `dac.conquer.packing`), and `router.*`.

Nothing in a file is ever run, the header is bounded, and weights are made only once the file is
known to hold them, so a stranger's file costs no more memory than its own size; a routed model at
most as many times of that as `dac.conquer.packing` says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dac.cameras import Cameras
from dac.conquer.packing import packed_as
from dac.conquer.routed import AnyModel, RoutedModel, expert_shapes, routed_of, router_facts
from dac.errors import UserError
from dac.evaluation.render import render_view
from dac.export.camera import Camera
from dac.export.contents import Contents, ViewsContents
from dac.fields.model import build_model, default_device
from dac.ops.rays import Rendered
from dac.scenes.scene import Space
from dac.scenes.views import rigid
from dac.settings import validate
from dac.storage.artifacts import write_file
from dac.storage.files import is_file

VERSION = 3
CHUNK_RAYS = 8192
_KEY = "dac"
_MOST_HEADER = 2**20  # bytes; ours have about 5,000
_FIX = "is it a file of `dac export model`?"
_DAMAGED = "copy or export it again"
_VIEWS = "views."
_VIEW_SHAPES = {"intrinsics": (4,), "distortion": (6,), "world_from_camera": (3, 4)}


@dataclass(frozen=True, eq=False)
class SceneModel:
    """A trained model with what it takes to render it.

    Attributes:
        model: the field itself, for `dac.fields`, or several and who shows what.
        contents: what its file says.
        camera: one of the training views' cameras, to begin with.
        views: all training views' cameras; None from a file of version 1.
    """

    model: AnyModel
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
    _require_finite(path, tensors.values())
    views = None if contents.views is None else _views(path, contents.views, tensors)
    model = _model(path, contents, where, tensors, device)
    _require_finite(path, model.parameters())
    return SceneModel(model, contents, Camera(**contents.camera.model_dump()), views)


def _model(
    path: Path,
    contents: Contents,
    where: Space,
    tensors: dict[str, Tensor],
    device: str | torch.device | None,
) -> AnyModel:
    """The model of tensors that have the right shapes."""
    device = default_device() if device is None else device
    if contents.router is None:
        model = build_model(contents.settings, where, seed=0)
        model.load_state_dict(tensors)
        return model.to(device)
    about = contents.router
    owner = tensors["router.owner"]
    if not bool(((owner >= 0) & (owner < about.count)).all()):
        raise UserError(path, "its router knows views of experts that it has not", _DAMAGED)
    facts = about.model_dump(exclude={"views", "packed"})
    try:
        for pose in tensors["router.poses"].tolist():
            rigid(pose, "")
        return routed_of(tensors, facts, contents.settings, where, device)
    except (ValueError, UserError) as error:
        what = error.what if isinstance(error, UserError) else str(error)
        raise UserError(path, f"its experts or their router can't be: {what}", _DAMAGED) from None


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


def save(
    path: Path,
    model: AnyModel,
    weights: Mapping[str, Tensor],
    views: Cameras,
    contents: dict[str, Any],
) -> Contents:
    """Write a model and what goes with it, whole or not at all.

    Args:
        path: the file.
        model: whose settings, space and router are written.
        weights: its tensors as its folder holds them: `model.state_dict()`, or of a routed one
            what `dac.conquer.routed.routed_tensors` gave.
        views: the training views' cameras.
        contents: the other fields of `Contents` but its version and digest, as plain data.

    Returns:
        What was written.

    Raises:
        UserError: the disk is full, the folder can't be written.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    tensors |= {_VIEWS + name: getattr(views, name) for name in _VIEW_SHAPES}
    about_views = {"width": views.width, "height": views.height, "model": views.model}
    whole = {
        **contents,
        "version": VERSION,
        "settings": model.settings.model_dump(mode="json"),
        "space": model.space.to_json(),
        "views": {**about_views, "count": len(views)},
        "router": _router_contents(model, weights) if isinstance(model, RoutedModel) else None,
        "weights_sha256": tensors_digest(tensors),
    }
    checked = validate(Contents, whole, str(path))
    text = checked.model_dump_json()
    # One text alone: safetensors writes several in any order, and equal models would differ.
    write_file(path, lambda temporary: save_file(tensors, temporary, {_KEY: text}))
    return checked


def _router_contents(model: AnyModel, weights: Mapping[str, Tensor]) -> dict[str, Any] | None:
    if not isinstance(model, RoutedModel):
        return None
    packed = any(name.startswith("scale.") for name in weights)
    return {**router_facts(model.router), "views": len(model.router.owner), "packed": packed}


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


def _require_finite(path: Path, values: Iterable[Tensor]) -> None:
    if not all(bool(value.isfinite().all()) for value in values):
        raise UserError(path, "holds weights that are NaN or infinite", "train and export it again")


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
    settings, views, router = contents.settings, contents.views, contents.router
    others: dict[str, tuple[tuple[int, ...], str]] = {}
    if views is not None:
        others = {_VIEWS + name: ((views.count, *of), "F64") for name, of in _VIEW_SHAPES.items()}
    if router is not None:
        others["router.poses"] = ((router.views, 3, 4), "F64")
        others["router.owner"] = ((router.views,), "I64")
    same = all(found.pop(name, None) == value for name, value in others.items())
    layers = settings.colour_layers if settings.decoder == "hybrid" else settings.explicit_layers
    if same and layers <= len(found):
        try:
            shapes = expert_shapes(settings, where)
            if router is None:
                same = found == {name: (shape, "F32") for name, shape in shapes.items()}
            else:
                same = packed_as(found, shapes, router.models, router.packed)
        except (RuntimeError, OverflowError):  # sizes beyond any memory
            same = False
    if not same or layers > len(found):
        raise UserError(path, "its weights are not those of the model that it describes", _DAMAGED)
