"""How much disk space a configuration will take, before anything runs.

An estimate from above, to a factor of two: it counts what grows with the scene and the model.
Notation: N images of H x W pixels and C channels, P parameters of a model, 4 bytes each.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dac.scenes.photos.images import read_header
from dac.settings import ModelSettings, ResolvedScene, VideoSettings

_IMAGES = {".png", ".jpg", ".jpeg"}
_RENDER_BYTES = 5  # colours and half-precision depth of a pixel


def disk_space(
    scene: ResolvedScene, files: Sequence[str], *, trained: int, at_once: int, evaluated: int
) -> tuple[int, int]:
    """Bytes of one scene's results, and of the states that exist while its jobs run.

    Args:
        files: the data set's files.
        trained: trainings of the scene.
        at_once: those of them that wait for no other, and so may run side by side.
        evaluated: models that are scored.

    Raises:
        UserError: the first image can't be read.
    """
    images = [file for file in files if Path(file).suffix.lower() in _IMAGES]
    count = len(images)
    pixels = channels = 0
    if scene.format == "blend":
        count = scene.render.train_views + scene.render.test_views
        pixels, channels = (scene.render.size // scene.scene.downscale) ** 2, 4
    elif scene.format == "video":
        count, channels = scene.video.frames, 3
        pixels = _frame_pixels(scene.video) // scene.scene.downscale**2
    elif images:
        header = read_header(Path(images[0]))
        pixels = header.size[0] * header.size[1] // scene.scene.downscale**2
        channels = 4 if header.alpha else 3
    array = count * pixels * (channels + (scene.scene.masks is not None))
    if scene.format == "blend":  # the PNGs
        array += count * channels * scene.render.size**2
    if scene.format == "video":  # the JPEGs
        array += count * _frame_pixels(scene.video) // 2
    # One of so many views is a test view.
    share = 2 if scene.format in ("blender", "blend") else 8
    scored = min(scene.evaluate.test_views or count, count // share + 1)
    run = 3 * 4 * parameters(scene.model)  # with Adam's two moments
    results = array + trained * run + evaluated * scored * pixels * _RENDER_BYTES
    # Two states of each training, and one that is being written.
    return results, 3 * run * at_once


def _frame_pixels(video: VideoSettings) -> int:
    """Of a frame 4 to 3, the squarest that cameras make: no video is opened for an estimate."""
    return 3 * video.longest_side**2 // 4


def parameters(model: ModelSettings) -> int:
    """P, but for the small networks."""
    field = sum((model.resolution * scale) ** 2 for scale in model.scales)
    proposals = sum(side**2 for side in model.proposal_resolutions)
    return 3 * (model.channels * field + model.proposal_channels * proposals)
