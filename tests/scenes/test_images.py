"""Decoding: exact pixels, alpha, EXIF, area averages; damage is one line."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dac.errors import UserError
from dac.scenes.photos import images
from dac.scenes.photos.images import average_blocks, decode, read_header, store


def random_pixels(height: int, width: int, channels: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def slow_average(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.float64]:
    height, width, channels = pixels.shape
    result = np.zeros((height // factor, width // factor, channels))
    for i in range(height // factor):
        for j in range(width // factor):
            block = pixels[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
            block = block.reshape(-1, channels).astype(float)
            if channels == 4 and block[:, 3].sum() > 0:
                result[i, j, :3] = (block[:, :3] * block[:, 3:]).sum(0) / block[:, 3].sum()
                result[i, j, 3] = block[:, 3].mean()
            elif channels < 4:
                result[i, j] = block.mean(0)
    return result


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("height", "width", "factor"), [(12, 8, 2), (13, 17, 3), (9, 31, 8)])
def test_average_is_the_rounded_mean(channels: int, height: int, width: int, factor: int) -> None:
    pixels = random_pixels(height, width, channels, factor)
    if channels == 4:
        pixels[: height // 2, :, 3] = 0
    small = average_blocks(pixels, factor)
    assert small.dtype == np.uint8
    assert np.abs(small - slow_average(pixels, factor)).max() <= 0.5


def test_what_is_transparent_lends_no_colour() -> None:
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = [200, 100, 50, 255]
    pixels[1, 1] = [0, 255, 0, 0]
    assert average_blocks(pixels, 2)[0, 0].tolist() == [200, 100, 50, 64]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "LA"])
def test_decoding_is_pillows(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(random_pixels(7, 5, 3)).convert(mode)
    image.save(tmp_path / "a.png")
    header = read_header(tmp_path / "a.png")
    assert header.size == (5, 7)
    assert header.alpha == (mode in ("RGBA", "LA"))
    for channels, target in ((3, "RGB"), (4, "RGBA")):
        np.testing.assert_array_equal(
            decode(tmp_path / "a.png", channels), np.asarray(image.convert(target))
        )


def test_straight_alpha_is_kept(tmp_path: Path) -> None:
    pixels = random_pixels(6, 6, 4)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode(tmp_path / "a.png", 4), pixels)


def test_sixteen_bits_are_cut_to_eight(tmp_path: Path) -> None:
    values = np.arange(0, 65536, 997, dtype=np.uint16)[:60].reshape(6, 10)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode(tmp_path / "a.png", 1)[..., 0], values >> 8)


def test_sixteen_bit_colours_are_cut_to_eight(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (4, 5, 3), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", 5, 4, 16, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    np.testing.assert_array_equal(decode(tmp_path / "a.png", 3), values >> 8)


def test_floating_point_images_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a\.tif: pixels of kind F are not supported"):
        read_header(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_is_pillows_exif_transpose(tmp_path: Path, orientation: int) -> None:
    image = Image.fromarray(random_pixels(6, 9, 3))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    header = read_header(tmp_path / "a.png")
    assert header.orientation == orientation
    with Image.open(tmp_path / "a.png") as opened:
        expected = ImageOps.exif_transpose(opened)
        assert header.upright == expected.size
        np.testing.assert_array_equal(decode(tmp_path / "a.png", 3, orientation), expected)
    np.testing.assert_array_equal(decode(tmp_path / "a.png", 3), np.asarray(image))


@pytest.mark.parametrize("kept", [0.9, 0.5, 0.02])
@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_a_truncated_image_is_one_line(tmp_path: Path, kind: str, kept: float) -> None:
    buffer = io.BytesIO()
    Image.fromarray(random_pixels(64, 64, 3)).save(buffer, kind)
    file = tmp_path / f"a.{kind}"
    file.write_bytes(buffer.getvalue()[: int(kept * buffer.tell())])
    with pytest.raises(UserError, match=r"truncated or damaged|is no image") as caught:
        decode(file, 3)
    assert str(caught.value).startswith(str(file)) and "\n" not in str(caught.value)


def test_text_a_folder_and_nothing_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("hello")
    (tmp_path / "b.jpg").mkdir()
    for name, what in (("a.jpg", "no image"), ("b.jpg", "is no file"), ("c.jpg", "missing")):
        with pytest.raises(UserError, match=what):
            read_header(tmp_path / name)


def test_a_decompression_bomb_is_refused_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "a.png")  # 400 million pixels, 50 kB
    with pytest.raises(UserError, match="too large"):
        read_header(tmp_path / "a.png")
    Image.new("1", (200, 200)).save(tmp_path / "b.png")
    monkeypatch.setattr(images, "MOST_PIXELS", 100 * 100)
    with pytest.raises(UserError, match="over 10000 pixels"):
        read_header(tmp_path / "b.png")


def test_the_store_keeps_order_and_leaves_no_file(tmp_path: Path) -> None:
    def make(index: int) -> NDArray[np.uint8]:
        return random_pixels(5, 4, 3, index)

    stored = store(40, (5, 4, 3), make, tmp_path)
    assert list(tmp_path.iterdir()) == []
    for i in range(40):
        np.testing.assert_array_equal(stored[i], make(i))
    assert not stored.flags.writeable


def test_the_store_holds_few_images_in_memory(tmp_path: Path) -> None:
    tracemalloc.start()
    store(200, (100, 100, 3), lambda i: np.full((100, 100, 3), i, np.uint8), tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * 30_000


def test_the_store_names_the_first_failure(tmp_path: Path) -> None:
    def make(index: int) -> NDArray[np.uint8]:
        if index >= 3:
            raise UserError(f"image {index}", "is damaged")
        return np.zeros((1, 1), np.uint8)

    with pytest.raises(UserError, match="image 3: is damaged"):
        store(500, (1, 1), make, tmp_path)


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(images.os, "pwrite", full)
    with pytest.raises(UserError, match="no space left on the disk"):
        store(3, (1, 1), lambda i: np.zeros((1, 1), np.uint8), tmp_path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_as_it_is_stored(tmp_path: Path, orientation: int) -> None:
    """Pillow turns a TIFF while it decodes it; a header and pixels here are the stored ones."""
    pixels = random_pixels(6, 9, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.tif", exif=exif)
    header = read_header(tmp_path / "a.tif")
    assert (header.size, header.orientation) == ((9, 6), orientation)
    np.testing.assert_array_equal(decode(tmp_path / "a.tif", 3), pixels)
    turned = decode(tmp_path / "a.tif", 3, orientation)
    with Image.open(tmp_path / "a.tif") as opened:
        opened.load()
        np.testing.assert_array_equal(turned, np.asarray(opened))
    assert (turned.shape[1], turned.shape[0]) == header.upright


def test_orientation_behind_a_png_s_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(random_pixels(6, 9, 3)).save(tmp_path / "a.png", exif=exif)
    data = (tmp_path / "a.png").read_bytes()
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    moved = data[:start] + data[end:-12] + data[start:end] + data[-12:]
    (tmp_path / "a.png").write_bytes(moved)
    assert moved.index(b"eXIf") > moved.index(b"IDAT")
    assert read_header(tmp_path / "a.png").orientation == 6


@pytest.mark.parametrize("kind", ["EPS", "GIF", "PPM", "TGA", "ICO"])
def test_formats_that_no_photo_has_are_not_even_tried(tmp_path: Path, kind: str) -> None:
    Image.fromarray(random_pixels(16, 16, 3)).save(tmp_path / "a.png", kind)
    with pytest.raises(UserError, match=r"a\.png: is no image that can be read \(BMP, JPEG"):
        read_header(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "TIFF", "BMP", "WEBP", "PNG"])
def test_formats_of_photos(tmp_path: Path, kind: str) -> None:
    Image.fromarray(random_pixels(16, 8, 3)).save(tmp_path / "a.jpg", kind)
    assert read_header(tmp_path / "a.jpg").size == (8, 16)
    assert decode(tmp_path / "a.jpg", 3).shape == (16, 8, 3)
