"""From a video to photos: frames that are sharp and evenly spaced in motion (see `frame_choice`).

The video is decoded twice, a frame at a time: how far apart the frames must be is known only when
all have been seen. The first pass keeps three numbers a frame, the second writes the chosen ones.

They become JPEGs of quality 95: a video is compressed more than that and has its colours at half
the resolution already, so PNGs would be several times as large and show the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dac.errors import UserError
from dac.scenes.photos.frame_choice import LONGER_SIDE, Travel, choose, sharpness
from dac.settings import VideoSettings
from dac.storage.artifacts import require_space, sha256, write_json
from dac.storage.files import is_file
from dac.storage.provenance import source_digest
from dac.storage.states import Finished, digest_of

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream

_LOG = logging.getLogger("dac.video")
_SECONDS_BETWEEN_LINES = 10.0
MOST_FRAME_PIXELS = 64_000_000  # of a frame; 8K has 33 million
MOST_FRAMES = 500_000  # two hours of 60 a second, more than an hour of work
_LONGEST = 24 * 3600.0  # seconds
_SMALLEST = 64  # pixels, either side
_LEAST_MOTION = 0.1  # of the longer side: below, all frames show the same
# Of the length that the file tells, which needn't be exact.
_WHOLE = 0.9
# What is read: containers that hold a video themselves, where others name files or addresses.
_CONTAINERS = "mov,matroska,avi,mpegts,mpeg"
_CODECS = (
    *("h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "h263", "mpeg2video", "mpeg1video"),
    *("mjpeg", "prores", "dnxhd", "ffv1"),
)
_DAMAGED = "copy it again, or cut the good part out of it"
# How a display matrix turns the stored pixels: signs of its (a, b, c, d), where a pixel of column x
# and row y goes to column a x + c y and row b x + d y.
_TURNS: dict[tuple[int, ...], Image.Transpose] = {
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (
    *(Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270),
    *(Image.Transpose.TRANSPOSE, Image.Transpose.TRANSVERSE),
)


@dataclass(frozen=True)
class Chosen:
    """A chosen frame.

    Attributes:
        name: of its file.
        frame: how many are before it in the video.
        seconds: since the first frame, by the video's own time stamps.
        motion: since the first frame, see `frame_choice`.
        sharpness: likewise.
    """

    name: str
    frame: int
    seconds: float
    motion: float
    sharpness: float


@dataclass(frozen=True)
class _Looked:
    """What the first pass keeps: (F,) each, and the size of the frames as they are stored."""

    seconds: NDArray[np.float64]
    motion: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    size: tuple[int, int]


def extract_frames(
    video: Path, settings: VideoSettings, out: Path, work: Path, *, threads: int
) -> None:
    """Write a video's best frames as photos, upright.

    Args:
        video: the file.
        settings: how many frames, and of what size.
        out: gets photos/ (JPEGs) and frames.json (the chosen frames, and a log), all or nothing.
        work: where a result is kept that the workflow has not taken note of.
        threads: of the decoder; the result doesn't depend on them.

    Raises:
        UserError: no file, no video, damaged or cut off, too large or too long; the picture doesn't
            move; no room on the disk.
    """
    import av

    if not is_file(video):
        what = "is no file" if video.exists() else "no such file"
        raise UserError(video, what, "name a video file")
    code = source_digest("dac.scenes.photos.video")
    digest = digest_of(sha256(video), settings.model_dump(mode="json"), av.__version__, code)
    finished = Finished(work, digest)
    if finished.restore(out):
        return
    looked = _look(video, threads)
    chosen = _chosen(video, looked, settings)
    width, height = _reduced(looked.size, settings.longest_side)
    require_space(out, len(chosen) * width * height)
    log = [
        f"Chose {len(chosen)} of {len(looked.motion)} frames; {settings.frames} were wanted.",
        f"The picture moved by {looked.motion.max():.3g} times its longer side.",
    ]
    with finished.new_folder(out) as part:
        _write(video, chosen, settings.longest_side, part / "photos", threads)
        write_json(part / "frames.json", {"frames": [asdict(f) for f in chosen], "log": log})
    _LOG.info(" ".join(log))


def _look(video: Path, threads: int) -> _Looked:
    """The first pass."""
    from av.video.reformatter import VideoReformatter

    travel, shrink = Travel(), VideoReformatter()
    rows: list[tuple[float, float, float]] = []
    size, told = (0, 0), time.monotonic()
    for seconds, frame in frames_of(video, threads):
        grey = _small_grey(frame, shrink)
        rows.append((seconds, travel.add(grey), sharpness(grey)))
        size = frame.width, frame.height
        if time.monotonic() - told >= _SECONDS_BETWEEN_LINES:
            told = time.monotonic()
            _LOG.info("looked at %d frames, %.0f s of the video", len(rows), seconds)
    if not rows:
        raise UserError(video, "holds no frame", _DAMAGED)
    table = np.array(rows)
    return _Looked(table[:, 0], table[:, 1], table[:, 2], size)


def _small_grey(frame: VideoFrame, shrink: VideoReformatter) -> NDArray[np.float64]:
    width, height = _reduced((frame.width, frame.height), LONGER_SIDE)
    grey = shrink.reformat(frame, width, height, format="gray", interpolation="AREA")
    return grey.to_ndarray().astype(np.float64)


def _reduced(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """A size with its longer side at most `longest` pixels."""
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _chosen(video: Path, looked: _Looked, settings: VideoSettings) -> list[Chosen]:
    moved = looked.motion.max()
    indices = choose(looked.motion, looked.sharpness, settings.frames, settings.minimum_sharpness)
    if moved < _LEAST_MOTION or len(indices) < 2:
        what = f"the picture hardly moves in its {len(looked.motion)} frames"
        raise UserError(video, what, "film while you walk around what is to be seen")
    digits = len(str(len(looked.motion)))
    return [
        Chosen(
            f"frame_{i:0{digits}}.jpg",
            i,
            round(float(looked.seconds[i]), 6),
            round(float(looked.motion[i]), 6),
            round(float(looked.sharpness[i]), 6),
        )
        for i in indices
    ]


def _write(video: Path, chosen: list[Chosen], longest: int, folder: Path, threads: int) -> None:
    """The second pass, up to the last chosen frame."""
    folder.mkdir()
    names = {frame.frame: frame.name for frame in chosen}
    for index, (_, frame) in enumerate(frames_of(video, threads)):
        if name := names.pop(index, None):
            picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
            size = _reduced(picture.size, longest)
            if size != picture.size:
                picture = picture.resize(size, Image.Resampling.LANCZOS)
            turn = _turn_of(frame)
            upright = picture if turn is None else picture.transpose(turn)
            upright.save(folder / name, "JPEG", quality=95)
        if not names:
            return


def frames_of(video: Path, threads: int) -> Iterator[tuple[float, VideoFrame]]:
    """Decode a video.

    Yields:
        Seconds since the first frame, and the frame as it is stored, all of one size.

    Raises:
        UserError: as `extract_frames`.
    """
    with _explained(video), _opened(video) as container:
        stream = _stream(video, container)
        stream.codec_context.thread_count = threads
        stream.thread_type = "AUTO"
        stream.codec_context.options = {
            "err_detect": "explode",
            "max_pixels": str(MOST_FRAME_PIXELS),
        }
        first, seconds, count, size = None, 0.0, 0, None
        for count, frame in enumerate(container.decode(stream), start=1):
            size = size or (frame.width, frame.height)
            if (frame.width, frame.height) != size:
                what = f"changes its size after {seconds:.1f} s"
                raise UserError(video, what, "cut it there")
            if frame.is_corrupt:
                raise UserError(video, f"is damaged after {seconds:.1f} s", _DAMAGED)
            if count > MOST_FRAMES:
                raise UserError(video, f"holds over {MOST_FRAMES} frames", "cut it")
            if frame.time is not None:
                first = frame.time if first is None else first
                seconds = frame.time - first
            yield seconds, frame
        length = _length(stream, container)
        # A frame's time is when it begins: two steps more are surely its end.
        if count and seconds * (1 + 2 / count) < _WHOLE * length:
            what = f"ends after {seconds:.1f} of {length:.1f} s: it is cut off or damaged"
            raise UserError(video, what, _DAMAGED)


@dataclass(frozen=True)
class Probe:
    """What a video is, by its own account and its first frame.

    Attributes:
        size: width and height in pixels, upright.
        seconds: that it lasts; 0 where it doesn't say so.
        frames: about how many there are; 0 where it doesn't say so.
    """

    size: tuple[int, int]
    seconds: float
    frames: int


def probe(video: Path) -> Probe:
    """Look at a video without decoding it all.

    Raises:
        UserError: it is none, or none that is read; its first frame is damaged.
    """
    with _explained(video), _opened(video) as container:
        stream = _stream(video, container)
        stream.codec_context.options = {
            "err_detect": "explode",
            "max_pixels": str(MOST_FRAME_PIXELS),
        }
        frame = next(container.decode(stream), None)
        if frame is None:
            raise UserError(video, "holds no picture", _DAMAGED)
        seconds = _length(stream, container)
        frames = stream.frames or round(seconds * float(stream.average_rate or 0))
        size = (frame.width, frame.height)
        turned = _turn_of(frame) in _SIDEWAYS
        return Probe(size[::-1] if turned else size, seconds, frames)


@contextmanager
def _explained(video: Path) -> Iterator[None]:
    """What goes wrong with a video inside the block is the user's to mend.

    Readers of so many formats raise many kinds of errors, so every exception counts as damage.
    """
    try:
        yield
    except UserError:
        raise
    except MemoryError:
        raise UserError(video, "takes more memory than there is", "reduce it first") from None
    except Exception as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise UserError(video, f"can't be decoded ({reason})", _DAMAGED) from None


def _opened(video: Path) -> InputContainer:
    import av

    # An absolute path is never taken for an address.
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
    return av.open(str(video.absolute()), "r", options=options, metadata_errors="replace")


def _stream(video: Path, container: InputContainer) -> VideoStream:
    """The first video stream that is no cover picture.

    Raises:
        UserError: there is none, or of a kind that is not read; too large, too small or too long.
    """
    from av.stream import Disposition

    cover = Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        raise UserError(video, "holds no video", "name a file with pictures in it")
    stream = streams[0]
    # Without a decoder there is no context.
    codec = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
    if codec not in _CODECS:
        raise UserError(video, f"videos of kind {codec} are not read", "convert it to H.264")
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > MOST_FRAME_PIXELS:
        what = f"has {width} x {height} pixels, over {MOST_FRAME_PIXELS // 10**6} million"
        raise UserError(video, what, "reduce it first")
    if min(width, height) < _SMALLEST:
        what = f"has {width} x {height} pixels"
        raise UserError(video, what, f"either side needs {_SMALLEST}, better ten times as many")
    if _length(stream, container) > _LONGEST:
        hours = _length(stream, container) / 3600
        raise UserError(video, f"lasts {hours:.0f} hours by its own account", "cut it")
    return stream


def _length(stream: VideoStream, container: InputContainer) -> float:
    """Seconds that a file says it lasts; 0 where it doesn't."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1e6


def _turn_of(frame: VideoFrame) -> Image.Transpose | None:
    """How the picture has to be turned to be upright, by its display matrix."""
    known: Mapping[str, Any] = frame.side_data  # PyAV declares one kind alone
    data = known.get("DISPLAYMATRIX")
    if data is None:
        return None
    a, b, _, c, d = np.frombuffer(data, "=i4")[:5].tolist()
    largest = max(abs(a), abs(b), abs(c), abs(d), 1)
    return _TURNS.get(tuple(round(value / largest) for value in (a, b, c, d)))
