"""Videos of known pictures: a camera that looks at a wall of noise, and files to keep them in."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import uniform_filter1d

Pixels = NDArray[np.uint8]
WIDTH, HEIGHT = 320, 192
TICKS = 12_800  # a second


def wall(width: int, height: int = HEIGHT, seed: int = 0) -> Pixels:
    """(H, W, 3) noise with detail at all scales."""
    random = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cell in (2, 4, 8, 16, 32):
        cells = random.integers(0, 256, (height // cell + 1, width // cell + 1, 3), np.uint8)
        size = (cells.shape[1] * cell, cells.shape[0] * cell)
        whole = Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)
        total += np.asarray(whole, np.float64)[:height, :width]
    total = 128 + 55 * (total - total.mean()) / total.std()
    return total.clip(0, 255).astype(np.uint8)


def panned(offsets: Sequence[int], blurred: Iterable[int] = (), blur: int = 9) -> list[Pixels]:
    """Pictures of a wall, each from its offset along it; some blurred along the motion.

    Args:
        offsets: columns, 0 or more.
        blurred: which of the pictures are.
        blur: pixels.
    """
    whole = wall(max(offsets) + WIDTH)
    pictures = [np.ascontiguousarray(whole[:, x : x + WIDTH]) for x in offsets]
    for i in blurred:
        pictures[i] = uniform_filter1d(pictures[i], blur, axis=1)
    return pictures


def write_video(
    path: Path,
    pictures: Sequence[Pixels],
    times: Sequence[float] | None = None,
    codec: str = "libx264",
    **options: str,
) -> Path:
    """Encode pictures of one size.

    Args:
        times: seconds of each; default: 30 a second.
        options: of the encoder.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30, options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = round((i / 30 if times is None else times[i]) * TICKS)
            frame.time_base = Fraction(1, TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    """A file that holds a second of sound alone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100, layout="mono")
        for _ in range(40):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            frame.sample_rate = 44_100
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def set_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Write how an MP4 file's pictures are to be turned into its track header, as phones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16  # version 0
    data[at : at + 36] = struct.pack(
        ">9i", *(value << 16 for value in (a, b, 0, c, d, 0, 0, 0)), 1 << 30
    )
    path.write_bytes(data)
