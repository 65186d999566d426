"""Frames of a video: sharp ones, evenly spaced in motion, upright; and all that can be wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filming import HEIGHT, WIDTH, panned, set_display_matrix, wall, write_sound, write_video
from numpy.typing import NDArray
from PIL import Image

from dac.errors import UserError
from dac.scenes.photos import video as video_module
from dac.scenes.photos.video import extract_frames, probe
from dac.settings import VideoSettings

# A camera that starts slowly, hurries, stands still, and goes on.
STEPS = [*[2] * 24, *[7] * 12, *[0] * 12, *[4] * 15]
OFFSETS = np.cumsum([0, *STEPS]).tolist()
BLURRED = [i for i in range(len(OFFSETS)) if i % 5 in (1, 2)]
WANTED = 10


def extract(
    video: Path, out: Path, *, threads: int = 1, **settings: Any
) -> tuple[list[dict[str, Any]], list[str]]:
    """The chosen frames and the log."""
    extract_frames(video, VideoSettings(**settings), out, out / "../work", threads=threads)
    told = json.loads((out / "frames.json").read_text())
    assert [file.name for file in sorted(out.iterdir())] == ["frames.json", "photos"]
    photos = sorted(file.name for file in (out / "photos").iterdir())
    assert photos == [frame["name"] for frame in told["frames"]]
    return told["frames"], told["log"]


def photo(out: Path, name: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(out / "photos" / name))


@pytest.fixture(scope="module")
def pan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The video of the hurried camera, two of five of its pictures blurred."""
    path = tmp_path_factory.mktemp("pan") / "pan.mp4"
    return write_video(path, panned(OFFSETS, BLURRED), crf="18")


def test_sharp_frames_evenly_spaced_in_motion(pan: Path, tmp_path: Path) -> None:
    frames, log = extract(pan, tmp_path / "out", frames=WANTED)
    chosen = [frame["frame"] for frame in frames]
    assert len(chosen) == WANTED and not set(chosen) & set(BLURRED)
    at = np.array(OFFSETS)[chosen]
    np.testing.assert_allclose([f["motion"] for f in frames], at / WIDTH, rtol=0.02, atol=1e-3)
    # One in each stretch of the way, which isn't so in time.
    assert [int(WANTED * x / OFFSETS[-1]) for x in at] == list(range(WANTED))
    assert max(np.diff(chosen)) > 3 * min(np.diff(chosen))
    assert log == [
        f"Chose 10 of {len(OFFSETS)} frames; 10 were wanted.",
        f"The picture moved by {OFFSETS[-1] / WIDTH:.3g} times its longer side.",
    ]


def test_photos_are_the_video_s_pictures(pan: Path, tmp_path: Path) -> None:
    frames, _ = extract(pan, tmp_path / "out", frames=8)
    pictures = panned(OFFSETS)
    for frame in frames:
        found = photo(tmp_path / "out", frame["name"]).astype(float)
        assert found.shape == (HEIGHT, WIDTH, 3)
        # Compressed twice, its colours at half the resolution; any other frame is further off.
        error = [np.abs(found - pictures[i]).mean() for i in (frame["frame"], frame["frame"] - 5)]
        assert error[0] < 14 and (error[1] > 2 * error[0] or STEPS[frame["frame"] - 1] == 0)


def test_the_same_bytes_twice_with_any_threads(pan: Path, tmp_path: Path) -> None:
    files = []
    for name, threads in (("one", 1), ("two", 4)):
        extract(pan, tmp_path / name / "out", threads=threads, frames=5)
        found = sorted((tmp_path / name / "out").rglob("*.j*"))
        files.append([file.read_bytes() for file in found])
    assert len(files[0]) == 6 and files[0] == files[1]


def test_a_result_that_was_finished_is_taken(
    pan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(pan, tmp_path / "out", frames=5)
    with monkeypatch.context() as patch:
        patch.setattr(video_module, "frames_of", None)
        again = tmp_path / "again"
        extract_frames(pan, VideoSettings(frames=5), again, tmp_path / "work", threads=1)
        assert (again / "frames.json").read_bytes() == (tmp_path / "out/frames.json").read_bytes()
        with pytest.raises(TypeError):  # other settings, another result
            extract_frames(pan, VideoSettings(frames=6), again, tmp_path / "work", threads=1)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mov", "libx264"), ("a.mkv", "ffv1"), ("a.webm", "libvpx-vp9"), ("a.avi", "mpeg4")],
)
def test_containers_and_codecs(tmp_path: Path, name: str, codec: str) -> None:
    video = write_video(tmp_path / name, panned(range(0, 120, 4)), codec=codec, b="4000000")
    frames, _ = extract(video, tmp_path / "out", frames=6)
    assert [frame["frame"] for frame in frames] == [2, 7, 12, 17, 22, 27]


def test_time_stamps_of_a_variable_rate(tmp_path: Path) -> None:
    """The same pictures at other times: the same frames, with the times that were written."""
    pictures = panned(range(0, 200, 5))
    times = np.cumsum([0.0, *np.random.default_rng(3).uniform(0.01, 0.7, 39)]).round(3)
    even = write_video(tmp_path / "even.mp4", pictures)
    odd = write_video(tmp_path / "odd.mkv", pictures, times.tolist())
    expected, _ = extract(even, tmp_path / "1" / "out", frames=9)
    frames, _ = extract(odd, tmp_path / "2" / "out", frames=9)
    chosen = [frame["frame"] for frame in frames]
    assert chosen == [frame["frame"] for frame in expected]
    np.testing.assert_allclose([frame["seconds"] for frame in frames], times[chosen], atol=2e-3)
    np.testing.assert_allclose([f["seconds"] for f in expected], np.array(chosen) / 30, atol=1e-3)


MATRICES = [
    *((1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)),
    *((-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)),
]


@pytest.mark.parametrize("matrix", MATRICES)
def test_display_matrices_turn_the_photos(tmp_path: Path, matrix: tuple[int, ...]) -> None:
    """A stored pixel (x, y) is shown at (a x + c y, b x + d y), shifted to begin at 0."""
    pictures = panned(range(0, 90, 6))
    video = write_video(tmp_path / "a.mp4", pictures)
    set_display_matrix(video, *matrix)
    frames, _ = extract(video, tmp_path / "out", frames=3)
    looked = probe(video)
    assert looked.frames == len(pictures) and looked.seconds > 0
    a, b, c, d = matrix
    y, x = np.indices((HEIGHT, WIDTH))
    column, row = a * x + c * y, b * x + d * y
    column, row = column - column.min(), row - row.min()
    for frame in frames:
        shown = np.zeros((row.max() + 1, column.max() + 1, 3))
        shown[row, column] = pictures[frame["frame"]]
        found = photo(tmp_path / "out", frame["name"])
        assert found.shape == shown.shape == (*looked.size[::-1], 3)
        assert np.abs(found - shown).mean() < 14 < np.abs(found[::-1, ::-1] - shown).mean()


def test_frames_are_reduced(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", panned(range(0, 90, 6)))
    set_display_matrix(video, 0, 1, -1, 0)
    frames, _ = extract(video, tmp_path / "out", frames=3, longest_side=160)
    assert {photo(tmp_path / "out", frame["name"]).shape for frame in frames} == {(160, 96, 3)}


def test_few_and_fast_frames(tmp_path: Path) -> None:
    """There are no more photos than frames, nor than stretches that hold one."""
    video = write_video(tmp_path / "a.mp4", panned([0, 40, 44, 48, 90, 93]))
    frames, log = extract(video, tmp_path / "out", frames=150)
    assert [frame["frame"] for frame in frames] == list(range(6))
    assert log[0] == "Chose 6 of 6 frames; 150 were wanted."


# --- What is wrong with a video ------------------------------------------------------------------


def half(path: Path, name: str, **options: Any) -> Path:
    write_video(path / name, panned(range(0, 180, 3)), **options)
    data = (path / name).read_bytes()
    (path / name).write_bytes(data[: len(data) // 2])
    return path / name


def overwritten(path: Path) -> Path:
    video = write_video(path / "a.mp4", panned(range(0, 180, 3)))
    data = bytearray(video.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    video.write_bytes(data)
    return video


def file(path: Path, name: str, content: bytes) -> Path:
    (path / name).write_bytes(content)
    return path / name


def picture(path: Path) -> Path:
    Image.fromarray(wall(WIDTH)).save(path / "a.png")
    return path / "a.png"


def playlist(path: Path) -> Path:
    """A list that leads to another file."""
    write_video(path / "inner.ts", panned(range(0, 90, 3)))
    lines = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\ninner.ts\n#EXT-X-ENDLIST\n"
    return file(path, "a.m3u8", lines.encode())


def pipe(path: Path) -> Path:
    os.mkfifo(path / "a.mp4")
    return path / "a.mp4"


def small(path: Path) -> Path:
    return write_video(path / "a.mp4", [np.ascontiguousarray(p[:48]) for p in panned([0, 9, 18])])


WRONG = {
    "missing": (lambda path: path / "a.mp4", "no such file; name a video file"),
    "folder": (lambda path: path, "is no file; name a video file"),
    "pipe": (pipe, "is no file; name a video file"),
    "empty": (lambda path: file(path, "a.mp4", b""), "can't be decoded ("),
    "text": (lambda path: file(path, "a.mp4", b"a text\n" * 99), "can't be decoded ("),
    "picture": (picture, "can't be decoded ("),
    "playlist": (playlist, "can't be decoded ("),
    "cut off, no index": (lambda path: half(path, "a.mp4"), "can't be decoded ("),
    "cut off": (lambda path: half(path, "a.mkv"), " of 2.0 s: it is cut off or damaged; "),
    "cut off, vp9": (lambda path: half(path, "a.webm", codec="libvpx-vp9"), "cut off or damaged"),
    "overwritten": (overwritten, "damaged after 0.4 s; copy it again, or cut the good"),
    "sound": (lambda path: write_sound(path / "a.mp4"), "holds no video; name a file with"),
    "still": (
        lambda path: write_video(path / "a.mp4", panned([0, 1, 0, 2, 1])),
        "the picture hardly moves in its 5 frames; film while you walk",
    ),
    "other codec": (
        lambda path: write_video(path / "a.avi", panned([0, 9, 18]), codec="wmv2"),
        "videos of kind wmv2 are not read; convert it to H.264",
    ),
    "small": (small, "has 320 x 48 pixels; either side needs 64"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_one_line_and_nothing_left(tmp_path: Path, kind: str) -> None:
    make, words = WRONG[kind]
    (tmp_path / "in").mkdir()
    video = make(tmp_path / "in")
    out = tmp_path / "results" / "out"
    with pytest.raises(UserError) as caught:
        extract_frames(video, VideoSettings(frames=4), out, tmp_path / "work", threads=1)
    text = str(caught.value)
    assert text.startswith(f"{video}: ") and words in text and "\n" not in text
    assert not out.exists() and not list(tmp_path.rglob(".*part*"))


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [
        ("MOST_FRAME_PIXELS", 50_000, "has 320 x 192 pixels, over 0 million; reduce it first"),
        ("MOST_FRAMES", 20, "holds over 20 frames; cut it"),
        ("_LONGEST", 2.0, "lasts 0 hours by its own account; cut it"),
    ],
)
def test_limits(
    pan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: Any, words: str
) -> None:
    monkeypatch.setattr(video_module, limit, value)
    with pytest.raises(UserError) as caught:
        extract_frames(pan, VideoSettings(), tmp_path / "out", tmp_path / "work", threads=1)
    assert str(caught.value) == f"{pan}: {words}"


def test_a_full_disk_is_noticed_before_anything_is_written(
    pan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dac.storage.artifacts.free_space", lambda _: 1000)
    with pytest.raises(UserError, match=r"needs about .* GB of disk space"):
        extract_frames(pan, VideoSettings(), tmp_path / "out", tmp_path / "work", threads=1)
    assert not (tmp_path / "out").exists()
