"""Videos, read back through FFmpeg."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import toy

from dac.errors import UserError
from dac.evaluation.pictures import to_uint8
from dac.export import video
from dac.export.video import encode, render_frame, render_video
from dac.fields.model import build_model
from dac.process.signals import Stop

BACKGROUND = torch.tensor([1.0, 0.5, 0.0])


def decoded(path: Path) -> tuple[np.ndarray, av.VideoStream, float]:  # type: ignore[type-arg]
    """Frames (F, H, W, 3), the stream, and seconds."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert container.duration is not None
        return np.stack(frames), stream, container.duration / 1e6


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_size_count_duration_and_colours(
    tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if codec not in av.codecs_available:
        pytest.skip("FFmpeg was built without it")
    monkeypatch.setattr(av, "codecs_available", {codec, "mpeg4"})
    colours = np.array([(200, 40, 40), (40, 200, 40), (40, 40, 200), (128, 128, 128)] * 3, np.uint8)
    frames = (np.broadcast_to(colour, (48, 64, 3)).copy() for colour in colours)
    assert encode(tmp_path / "a.mp4", frames, 12.0, (64, 48)) == codec
    shown, stream, seconds = decoded(tmp_path / "a.mp4")
    assert shown.shape == (12, 48, 64, 3)
    assert seconds == pytest.approx(1.0, abs=0.01)
    assert stream.average_rate == 12 and stream.codec_context.pix_fmt == "yuv420p"
    assert stream.codec_context.name == {"libx264": "h264"}.get(codec, codec)
    assert stream.codec_context.colorspace == 1  # BT.709, so that players don't guess
    with av.open(tmp_path / "a.mp4") as container:
        frame = next(container.decode(video=0)).reformat(format="rgb24", src_colorspace="ITU709")
    assert np.abs(frame.to_ndarray().mean(axis=(0, 1)) - colours[0]).max() < 4


def test_a_path_is_rendered_frame_by_frame(tmp_path: Path) -> None:
    scene = toy.scene()
    model = build_model(toy.model_settings(), scene.space, 0)
    cameras = scene.cameras.select([0, 3, 6])
    render_video(model, cameras, BACKGROUND, "rgb", 25, tmp_path / "out/v.mp4")
    shown, _, seconds = decoded(tmp_path / "out/v.mp4")
    assert shown.shape == (3, 24, 24, 3) and seconds == pytest.approx(3 / 25, abs=0.01)
    for frame, pixels in enumerate(shown):
        expected = to_uint8(render_frame(model, cameras, frame, BACKGROUND).rgb)
        assert np.abs(pixels.astype(float) - expected).mean() < 6
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["v.mp4"]


@pytest.mark.parametrize("how", [KeyboardInterrupt, SystemExit])
def test_nothing_is_left_of_a_video_that_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: type[BaseException]
) -> None:
    scene = toy.scene()
    model = build_model(toy.model_settings(), scene.space, 0)
    stop = Stop()

    def frames(*_: object) -> Iterator[np.ndarray]:  # type: ignore[type-arg]
        yield np.zeros((24, 24, 3), np.uint8)
        assert len(list(tmp_path.iterdir())) == 1  # half-written, under another name
        if how is KeyboardInterrupt:
            raise how
        stop.received = 15
        render_frame(model, scene.cameras, 0, BACKGROUND, stop)

    monkeypatch.setattr(video, "_frames", frames)
    with pytest.raises(how):
        render_video(model, scene.cameras, BACKGROUND, "rgb", 25, tmp_path / "v.mp4", stop)
    assert not list(tmp_path.iterdir())


def test_what_can_not_be_encoded_is_said_first(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="25x24 pixels can't be encoded; take even numbers"):
        video.require_video(tmp_path / "v.mp4", 25, 24)
    with pytest.raises(UserError, match=r"ends in \.mp4"):
        video.require_video(tmp_path / "v.avi", 24, 24)
