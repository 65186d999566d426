"""Damaged, odd and outsized image files."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import hostile
import numpy as np
from bases import HEIGHT, WIDTH
from PIL import Image

LARGE, HUGE = 1500, 12_000  # 144 million pixels, about as many as are read
BOMB = 30_000  # 900 million
_FORMATS = [
    *("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "PPM", "TGA", "ICO", "PCX", "SGI", "JPEG2000"),
    *("EPS", "PDF", "IM", "MSP", "DDS", "ICNS", "SPIDER", "XBM", "MPO", "QOI"),
]
_MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F", "LAB", "HSV"]


def damage(random: Random, file: Path, *, many: bool = False) -> str:
    """Damage an image, or put another in its place; `many`: one that isn't outsized."""
    what = random.choice(["bytes"] * 4 + ["kind"] * 4 + ["text"] + sorted(_SPECIAL) * 2)
    if what == "bytes":
        done, data = hostile.damage_bytes(random, file.read_bytes())
    elif what == "text":
        done, data = "text in its place", random.choice(_TEXTS)
    elif what == "kind":
        done, data = _other_kind(random)
    else:
        make = _large if what == "bomb" and many else _SPECIAL[what]
        done, data = what, make(random)
    file.write_bytes(data)
    return f"{file.name}: {done}"


def resize(folder: Path, size: tuple[int, int]) -> None:
    """Bring all images in a folder to one size."""
    for file in sorted(folder.rglob("*")):
        if file.suffix in (".png", ".jpg"):
            with Image.open(file) as image:
                resized = image.resize(size)
            resized.save(file)


def _picture(random: Random, size: tuple[int, int] | None = None) -> Image.Image:
    width, height = size or (WIDTH, HEIGHT)
    values = np.frombuffer(random.randbytes(width * height * 3), np.uint8)
    return Image.fromarray(values.reshape(height, width, 3))


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _other_kind(random: Random) -> tuple[str, bytes]:
    """A whole image of any mode and file format."""
    sizes = [(1, 1), (HEIGHT, WIDTH), (WIDTH + 1, HEIGHT), (WIDTH * 2, HEIGHT * 2), (1, 3000)]
    size = random.choice([(WIDTH, HEIGHT)] * 8 + sizes)
    image = _picture(random, size)
    for _ in range(20):
        mode, kind = random.choice(_MODES), random.choice(_FORMATS[:5] * 3 + _FORMATS)
        try:
            if mode == "I;16":
                converted = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
            else:
                converted = image.convert(mode)
            return f"{mode} {kind} of {size}", _saved(converted, kind)
        except (OSError, ValueError, KeyError, TypeError, struct.error):
            continue
    return f"RGB PNG of {size}", _saved(image, "PNG")


_TEXTS = [
    b"",
    b"\n",
    b"<svg xmlns='http://www.w3.org/2000/svg' width='24' height='20'/>",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 24 20\n(/etc/passwd) (r) file\nshowpage\n",
    b"P3\n24 20\n255\n" + b"1 " * 1440,
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"BM",
    b"II*\0\x08\0\0\0",
    b"RIFF\0\0\0\0WEBPVP8 ",
    b"GIF89a",
]


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _png(width: int, height: int, packed: bytes, *chunks: bytes, bits: int = 8, kind: int = 2):
    header = struct.pack(">IIBBBBB", width % 2**32, height % 2**32, bits, kind, 0, 0, 0)
    parts = [_chunk(b"IHDR", header), *chunks, _chunk(b"IDAT", packed), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _rows(random: Random) -> bytes:
    row = b"\0" + random.randbytes(3 * WIDTH)
    return zlib.compress(row * HEIGHT)


def _wrong_size(random: Random) -> bytes:
    sides = [0, 1, WIDTH, HEIGHT, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 12_000, 100_000]
    return _png(random.choice(sides), random.choice(sides), _rows(random))


def _odd_header(random: Random) -> bytes:
    bits, kind = random.choice([0, 1, 2, 4, 8, 16, 17, 255]), random.choice([0, 1, 2, 3, 4, 5, 6])
    return _png(WIDTH, HEIGHT, _rows(random), bits=bits, kind=kind)


@functools.cache
def _zeros(side: int) -> bytes:
    packer, row = zlib.compressobj(9), bytes(1 + 3 * side)
    return b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])


@functools.cache
def _packed_text() -> bytes:
    return zlib.compress(bytes(50_000_000), 9)


def _bomb(random: Random) -> bytes:
    """All of its pixels are there, in a small file."""
    side = random.choice([HUGE, HUGE, BOMB])
    return _png(side, side, _zeros(HUGE))


def _large(random: Random) -> bytes:
    return _png(LARGE, LARGE, _zeros(LARGE))


def _text_bomb(random: Random) -> bytes:
    packed = _packed_text()
    name = random.choice([b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"tEXt"])
    body = {b"iTXt": b"a\0\x01\0\0\0", b"eXIf": b"", b"tEXt": b"a\0"}.get(name, b"a\0\0") + packed
    many = [_chunk(name, body)] * random.choice([1, 3])
    return _png(WIDTH, HEIGHT, _rows(random), *many)


def _endless_chunk(random: Random) -> bytes:
    data = bytearray(_png(WIDTH, HEIGHT, _rows(random)))
    data[33:37] = random.choice([2**31 - 1, 2**32 - 1, 0]).to_bytes(4, "big")
    return bytes(data)


def _palette(random: Random) -> bytes:
    colours = _chunk(b"PLTE", random.randbytes(3 * random.choice([0, 1, 2, 256, 300])))
    clear = _chunk(b"tRNS", random.randbytes(random.choice([0, 1, 2, 6, 256, 300])))
    row = b"\0" + random.randbytes(WIDTH)
    chunks = random.choice([(colours,), (clear,), (colours, clear), (clear, colours)])
    return _png(WIDTH, HEIGHT, zlib.compress(row * HEIGHT), *chunks, kind=3)


def _animated(random: Random) -> bytes:
    frames = [_picture(random) for _ in range(random.choice([2, 60]))]
    kind = random.choice(["PNG", "WEBP", "GIF", "TIFF", "MPO"])
    return _saved(frames[0], kind, save_all=True, append_images=frames[1:])


def _exif(random: Random) -> bytes:
    """Any orientation, or garbage where EXIF data should be."""
    kind = random.choice(["JPEG", "PNG", "WEBP", "TIFF"])
    if random.random() < 0.4:
        raw = random.choice(
            [
                b"Exif\0\0" + random.randbytes(random.choice([0, 4, 60, 3000])),
                b"Exif\0\0II*\0\x08\0\0\0" + random.randbytes(60),
                b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x05\0\0\0\x01\0\0\0\0" * 9,
                b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x05\0\x01\0\0\0\x1a\0\0\0\0\0\0\0"
                + bytes(8),
            ]
        )
        if kind == "TIFF":
            kind = "JPEG"
        return _saved(_picture(random), kind, exif=raw)
    exif = Image.Exif()
    orientation = random.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65535])
    exif[0x0112] = orientation
    return _saved(_picture(random), kind, exif=exif.tobytes() if kind != "TIFF" else exif)


def _tiff_tags(random: Random) -> bytes:
    """A TIFF with some tag's number, kind, count or value changed."""
    compression = random.choice([None, "tiff_lzw", "tiff_deflate", "jpeg"])
    data = bytearray(_saved(_picture(random), "TIFF", compression=compression))
    start = int.from_bytes(data[4:8], "little")
    if start + 2 > len(data):
        return bytes(data)
    count = int.from_bytes(data[start : start + 2], "little")
    for _ in range(random.randrange(1, 4)):
        entry = start + 2 + 12 * random.randrange(max(count, 1))
        offset, size = random.choice([(0, 2), (2, 2), (4, 4), (8, 4)])
        value = random.choice([0, 1, 2, 5, 12, 13, 255, 256, 65535, 2**31, 2**32 - 1])
        at = entry + offset
        data[at : at + size] = (value % 256**size).to_bytes(size, "little")
    return bytes(data)


def _jpeg_size(random: Random) -> bytes:
    data = bytearray(_saved(_picture(random), "JPEG"))
    at = data.find(b"\xff\xc0")
    for offset in random.sample([5, 7], random.randrange(1, 3)):
        value = random.choice([0, 1, HEIGHT, WIDTH, 65535, 65500, 4000])
        data[at + offset : at + offset + 2] = value.to_bytes(2, "big")
    return bytes(data)


_SPECIAL: dict[str, Callable[[Random], bytes]] = {
    "wrong size": _wrong_size,
    "odd header": _odd_header,
    "bomb": _bomb,
    "text bomb": _text_bomb,
    "endless chunk": _endless_chunk,
    "palette": _palette,
    "animated": _animated,
    "EXIF": _exif,
    "TIFF tags": _tiff_tags,
    "JPEG size": _jpeg_size,
}
