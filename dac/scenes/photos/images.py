"""Decoding image files to uint8 arrays, and the file that holds a scene's pixels.

Notation: H x W pixels, C channels. `turn` is an EXIF orientation (1 to 8) that is applied to the
stored pixels; which one, `dac.scenes.orientation` decides. RGBA is straight, not premultiplied.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from dac.errors import UserError
from dac.storage.artifacts import explained_disk_errors
from dac.storage.files import is_file

Pixels = NDArray[np.uint8]

MOST_PIXELS = 150_000_000
_MOST_AT_ONCE = 4 * 2**30  # bytes; making an array takes about four times its size
_EXIF_ORIENTATION, _WIDTH, _HEIGHT = 0x0112, 256, 257
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_UNDONE = {6: 8, 8: 6}  # the others undo themselves
_EIGHT_BITS = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}
# What photos come in. Pillow reads many more, some by starting other programs.
_READERS = (BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin)
FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")


@dataclass(frozen=True)
class Header:
    """What an image file says before its pixels are decoded.

    Attributes:
        size: stored width and height.
        alpha: whether pixels may be transparent.
        orientation: EXIF orientation, 1 where there is none.
    """

    size: tuple[int, int]
    alpha: bool
    orientation: int

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height once the orientation is applied."""
        return self.size if self.orientation < 5 else (self.size[1], self.size[0])


@contextmanager
def open_image(file: Path) -> Iterator[Image.Image]:
    """Open an image file; what goes wrong with it inside the block is the user's to mend.

    Pillow's readers raise whatever their parsers stumble over (KeyError, AttributeError, ...), so
    every exception counts as damage.

    Raises:
        UserError: missing, none of `FORMATS`, over 150 million pixels, truncated, damaged.
    """
    if not is_file(file):
        what = "is no file" if file.exists() else "the image is missing"
        raise UserError(file, what, "copy the image there")
    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UserError(file, f"the image has over {MOST_PIXELS} pixels", "reduce it first")
            yield image
    except UserError:
        raise
    except UnidentifiedImageError:
        what = f"is no image that can be read ({', '.join(FORMATS)})"
        raise UserError(file, what, "replace it") from None
    except (Image.DecompressionBombError, MemoryError):
        raise UserError(file, "the image is too large", "reduce it first") from None
    except Exception as error:
        reason = getattr(error, "strerror", None)
        what = f"can't be read ({reason})" if reason else f"truncated or damaged ({error})"
        raise UserError(file, what, "replace it") from None


def read_header(file: Path) -> Header:
    """Read an image's size, alpha and orientation.

    Raises:
        UserError: missing, no image, over 150 million pixels, or not 8 or 16 bits a channel.
    """
    with open_image(file) as image:
        if image.mode not in _EIGHT_BITS and not image.mode.startswith("I;16"):
            raise UserError(
                file, f"pixels of kind {image.mode} are not supported", "convert it to 8 bits"
            )
        alpha = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
        orientation = _orientation(image)
        size = image.size
        if isinstance(image, TiffImageFile):  # whose size Pillow gives as if it were turned already
            size = (int(image.tag_v2[_WIDTH]), int(image.tag_v2[_HEIGHT]))
        return Header(size, alpha, orientation)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1 where there is none, or EXIF data that can't be read."""
    try:
        # Pillow decodes a whole PNG to find EXIF data behind the pixels, where hardly any has it.
        early = isinstance(image, PngImageFile) and not _late_metadata(image)
        exif = Image.Image.getexif(image) if early else image.getexif()
        orientation = int(exif.get(_EXIF_ORIENTATION, 1))
    except Exception:
        return 1
    return orientation if orientation in _TURNS else 1


def _late_metadata(image: PngImageFile) -> bool:
    """Whether a PNG has EXIF data or text behind its pixels."""
    with Path(os.fsdecode(image.filename)).open("rb") as file:
        file.seek(8)
        behind = False
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if behind and kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                return True
            behind = behind or kind == b"IDAT"
            file.seek(length + 4, os.SEEK_CUR)
    return False


def decode(file: Path, channels: int, turn: int = 1, factor: int = 1) -> Pixels:
    """Decode one image.

    Args:
        file: the image; 16 bits a channel are cut to the upper 8.
        channels: 1, 3 or 4.
        turn: EXIF orientation to apply.
        factor: downscale by averaging factor x factor pixels.

    Returns:
        (H, W, channels) uint8.

    Raises:
        UserError: missing, too large, truncated or damaged.
    """
    with open_image(file) as image:
        stored = _stored(image)
        upright = stored.transpose(_TURNS[turn]) if turn in _TURNS else stored
        if upright.mode.startswith("I;16"):
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
        pixels = np.asarray(upright if upright.mode == mode else upright.convert(mode))
    pixels = pixels.reshape(*pixels.shape[:2], channels)
    return pixels if factor == 1 else average_blocks(pixels, factor)


def _stored(image: Image.Image) -> Image.Image:
    """The pixels as they are stored: Pillow turns those of a TIFF upright while it decodes them."""
    orientation = _orientation(image) if isinstance(image, TiffImageFile) else 1
    image.load()
    if orientation == 1 or _orientation(image) == orientation:
        return image
    return image.transpose(_TURNS[_UNDONE.get(orientation, orientation)])


def average_blocks(pixels: Pixels, factor: int) -> Pixels:
    """Means of factor x factor blocks, rounded; what fills no block at the right and bottom is cut.

    With an alpha channel, colours are weighted by alpha: what is transparent has no colour.

    Args:
        pixels: (H, W, C) uint8, C = 1, 3 or 4.

    Returns:
        (H // factor, W // factor, C) uint8.
    """
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    blocks = pixels[: height * factor, : width * factor]
    if pixels.shape[2] < 4:
        return _rounded(_block_sums(blocks, factor), factor * factor)
    alpha = blocks[..., 3:].astype(np.uint32)
    weight = _block_sums(alpha, factor)
    colour = _block_sums(blocks[..., :3] * alpha, factor)
    return np.concatenate(
        [_rounded(colour, np.maximum(weight, 1)), _rounded(weight, factor * factor)], axis=2
    )


def _block_sums(blocks: NDArray[np.uint8] | NDArray[np.uint32], factor: int) -> NDArray[np.uint32]:
    """Sums in uint32, first over rows: adding whole rows is what the machine does fastest."""
    height, width, channels = blocks.shape
    rows = blocks.reshape(height // factor, factor, width, channels).sum(axis=1, dtype=np.uint32)
    columns = rows.reshape(height // factor, width // factor, factor, channels)
    sums: NDArray[np.uint32] = columns.sum(axis=2, dtype=np.uint32)
    return sums


def _rounded(sums: NDArray[np.uint32], count: int | NDArray[np.uint32]) -> Pixels:
    return ((sums + count // 2) // count).astype(np.uint8)


def store(
    count: int, shape: tuple[int, ...], make: Callable[[int], Pixels], work: Path | None
) -> Pixels:
    """Make `count` arrays in parallel and keep them in a file without a name.

    Only as many arrays as there are threads are in memory at a time. The file goes away with the
    array that maps it.

    Args:
        count: number of arrays.
        shape: shape of each.
        make: makes the array of an index; called from several threads.
        work: folder for the file, with room for all; default: the system's folder for such.

    Returns:
        (count, *shape) uint8, memory-mapped.

    Raises:
        UserError: what `make` raises, for the lowest index; the disk is full.
    """
    folder = Path(tempfile.gettempdir()) if work is None else work
    size = int(np.prod(shape))
    with explained_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:

            def put(index: int) -> None:
                # Not through the map: there, a full disk kills the process with a signal.
                array = np.ascontiguousarray(make(index))
                if array.shape != shape:
                    raise ValueError(f"array {index} has shape {array.shape}, not {shape}")
                left = array.reshape(-1).data
                offset = index * size
                while left:
                    written = os.pwrite(file.fileno(), left, offset)
                    left, offset = left[written:], offset + written

            threads = min(8, os.cpu_count() or 1, max(1, _MOST_AT_ONCE // (4 * max(size, 1))))
            with ThreadPoolExecutor(threads) as pool:
                try:
                    for _ in pool.map(put, range(count)):
                        pass
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
            return np.memmap(file, np.uint8, "r", shape=(count, *shape))
