"""Videos of a camera path: frames rendered one by one, encoded as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dac.cameras import Cameras
from dac.conquer.routed import AnyModel
from dac.errors import UserError
from dac.evaluation.pictures import Limits, disparity_limits
from dac.evaluation.render import render_view
from dac.export.extras import extra
from dac.export.model_file import CHUNK_RAYS
from dac.export.pictures import What, picture
from dac.ops.rays import Rendered
from dac.process.progress import with_progress
from dac.process.signals import Stop
from dac.storage.artifacts import write_file

_BT709 = 1  # the number of its matrix, primaries and transfer in H.264's tables
_SCALE_FRAMES, _SCALE_REDUCTION = 8, 4  # some small frames give the depth's scale


def render_video(
    model: AnyModel,
    cameras: Cameras,
    background: Tensor,
    what: What,
    fps: float,
    path: Path,
    stop: Stop | None = None,
) -> str:
    """Render a camera path into a video file, whole or not at all.

    Args:
        model: the field.
        cameras: F frames' cameras, of even width and height.
        background: (3,) behind the scene.
        what: the frames show; depth has one scale in all of them.
        fps: frames a second.
        path: `*.mp4`.
        stop: told to go, it leaves between two chunks of rays.

    Returns:
        The codec's name.

    Raises:
        UserError: odd sizes, another suffix, no PyAV, a full disk.
    """
    require_video(path, cameras.width, cameras.height)
    limits = _depth_scale(model, cameras, background, stop) if what == "depth" else None
    frames = _frames(model, cameras, background, what, limits, stop)
    size = (cameras.width, cameras.height)
    used: list[str] = []
    write_file(path, lambda temporary: used.append(encode(temporary, frames, fps, size)))
    return used[0]


def require_video(path: Path, width: int, height: int) -> None:
    """Refuse what can't be encoded, before anything is rendered.

    Raises:
        UserError: odd sizes, a suffix other than `.mp4`, no PyAV.
    """
    if path.suffix != ".mp4":
        raise UserError(path, "the name of a video ends in .mp4", "change --out")
    if width % 2 or height % 2:
        what = f"a video of {width}x{height} pixels can't be encoded"
        raise UserError("--size", what, "take even numbers")
    extra("av")


def encode(
    path: Path, frames: Iterable[NDArray[np.uint8]], fps: float, size: tuple[int, int]
) -> str:
    """Encode frames as H.264, or MPEG-4 where FFmpeg has no encoder for that; yuv420p, BT.709.

    Args:
        path: the file.
        frames: (H, W, 3) each.
        size: W and H, even.

    Returns:
        The codec's name.
    """
    av = extra("av")
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    quality = {"crf": "18"} if codec == "libx264" else {"qscale": "3"}
    with av.open(path, "w", format="mp4", options={"movflags": "+faststart"}) as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream(codec, rate=rate, options=quality)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return codec


def _frames(
    model: AnyModel,
    cameras: Cameras,
    background: Tensor,
    what: What,
    limits: Limits | None,
    stop: Stop | None,
) -> Iterator[NDArray[np.uint8]]:
    for frame in with_progress(range(len(cameras)), f"{what} frames"):
        yield picture(
            what,
            render_frame(model, cameras, frame, background, stop),
            cameras.select([frame]),
            limits,
        )


def render_frame(
    model: AnyModel, cameras: Cameras, view: int, background: Tensor, stop: Stop | None = None
) -> Rendered:
    """A whole view, on the CPU."""
    rendered = render_view(model, cameras, view, background, CHUNK_RAYS, stop)
    return Rendered(*(tensor.cpu() for tensor in rendered))


def _depth_scale(
    model: AnyModel, cameras: Cameras, background: Tensor, stop: Stop | None
) -> Limits:
    """Limits of the disparity over the whole path, from some small frames of it."""
    count = min(_SCALE_FRAMES, len(cameras))
    chosen = torch.linspace(0, len(cameras) - 1, count).round().long()
    factor = min(_SCALE_REDUCTION, cameras.width, cameras.height)
    small = cameras.select(chosen).scaled(factor)
    frames = (render_frame(model, small, view, background, stop) for view in range(count))
    return disparity_limits((frame.depth, frame.accumulation) for frame in frames)
