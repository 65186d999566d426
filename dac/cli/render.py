"""`dac render`: stills and videos of a trained scene, of a results folder or of a model file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dac.cli.chosen import (
    ModelFile,
    ModelName,
    Results,
    SceneName,
    SizeOption,
    choose_source,
    parse_size,
)
from dac.errors import UserError

if TYPE_CHECKING:
    from dac.cameras import Cameras
    from dac.export.source import Source

app = typer.Typer(no_args_is_help=True, help="Render stills and videos of a trained scene.")

WhatOption = Annotated[
    Literal["rgb", "depth", "normals", "accumulation"], typer.Option(help="What the pictures show.")
]


@app.command()
def video(
    out: Annotated[Path, typer.Option(help="The video, *.mp4.")],
    file: ModelFile = None,
    path: Annotated[
        str, typer.Option(help="orbit, spiral, or a path file (JSON with keyframes).")
    ] = "orbit",
    seconds: Annotated[
        float | None,
        typer.Option(min=0.1, max=3600, help="Default: the path file's own, else 8."),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=1, max=240, help="Default: the path file's own, else 30.")
    ] = None,
    size: SizeOption = None,
    what: WhatOption = "rgb",
    results: Results = None,
    scene: SceneName = None,
    model: ModelName = None,
) -> None:
    """Render a camera path into a video."""
    from dac.export import paths, video
    from dac.export.camera import stacked
    from dac.export.keyframes import interpolate, read_keyframes
    from dac.process.signals import deferred

    source = choose_source(file, results, scene, model)
    width, height = parse_size(size) or _even(source.first.width, source.first.height)
    video.require_video(out, width, height)
    keyframes = None
    if path not in ("orbit", "spiral"):
        keyframes = read_keyframes(Path(path))
        fps = keyframes.fps if fps is None else fps
        seconds = (keyframes.duration or None) if seconds is None else seconds
    fps, seconds = 30.0 if fps is None else fps, 8.0 if seconds is None else seconds
    frames = max(round(seconds * fps), 1)
    with deferred() as stop:
        if keyframes is not None:
            made = interpolate(keyframes, frames)
        else:
            training = source.training
            poses, fov = training.world_from_camera.numpy(), paths.median_fov(training)
            if path == "orbit":
                made = paths.orbit(poses, fov, frames)
            else:
                made = paths.spiral(poses, fov, frames, _focus(source))
        cameras = stacked(made.poses, made.fov_degrees, (width, height))
        started = time.monotonic()
        codec = video.render_video(source.model, cameras, source.background, what, fps, out, stop)
    took = time.monotonic() - started
    typer.echo(
        f"{out}: {frames} frames of {width}x{height}, {frames / fps:.2f} s, {codec}, "
        f"{out.stat().st_size / 1e6:.2f} MB; {took / frames:.2f} s a frame"
    )


@app.command()
def still(
    out: Annotated[Path, typer.Option(help="The picture, *.png.")],
    file: ModelFile = None,
    view: Annotated[
        int | None, typer.Option(help="Number of a test view, from 0, which is the default.")
    ] = None,
    camera: Annotated[
        Path | None, typer.Option(help="A path file (JSON), of which the first keyframe is seen.")
    ] = None,
    size: SizeOption = None,
    what: WhatOption = "rgb",
    results: Results = None,
    scene: SceneName = None,
    model: ModelName = None,
) -> None:
    """Render one picture; of a depth, also the numbers, as .npy beside it."""
    import numpy as np

    from dac.evaluation.pictures import save_png
    from dac.export.pictures import picture
    from dac.export.video import render_frame
    from dac.process.signals import deferred
    from dac.storage.artifacts import write_file

    if out.suffix != ".png":
        raise UserError(out, "the name of a picture ends in .png", "change --out")
    source = choose_source(file, results, scene, model)
    seen = _seen(source, view, camera, parse_size(size))
    with deferred() as stop:
        rendered = render_frame(source.model, seen, 0, source.background, stop)
        pixels = picture(what, rendered, seen)
        if what == "depth":
            values = rendered.depth.numpy()
            write_file(out.with_suffix(".npy"), lambda temporary: np.save(temporary, values))
        write_file(out, lambda temporary: save_png(temporary, pixels))
    also = f", {out.with_suffix('.npy')}" if what == "depth" else ""
    typer.echo(f"{out}{also}: {what}, {seen.width}x{seen.height}")


def _seen(
    source: Source, view: int | None, camera: Path | None, size: tuple[int, int] | None
) -> Cameras:
    """The camera of a still, alone."""
    from dac.export.camera import resized_view, stacked
    from dac.export.keyframes import read_keyframes

    if camera is not None:
        if view is not None:
            raise UserError("--camera", "says where to look from, and so does --view", "drop one")
        keyframe = read_keyframes(camera)
        shape = (source.first.width, source.first.height) if size is None else size
        return stacked(keyframe.poses[:1], keyframe.fov_degrees[:1], shape)
    if view is None:
        return resized_view(source.first, 0, size)
    if source.test is None:
        what = "a model file holds no test views"
        raise UserError(f"--view {view}", what, "drop it, or name a --camera")
    if not 0 <= view < len(source.test):
        what = f"the scene has {len(source.test)} test views"
        raise UserError(f"--view {view}", what, "count from 0, or name a --camera")
    return resized_view(source.test, view, size)


def _even(width: int, height: int) -> tuple[int, int]:
    """The size that a video of such views can have."""
    return max(width - width % 2, 2), max(height - height % 2, 2)


def _focus(source: Source) -> float:
    """How far away things are in the middle of the training views: the depth's median there."""
    from dac.evaluation.pictures import OPAQUE
    from dac.export.paths import central_view
    from dac.export.video import render_frame

    view = central_view(source.training.world_from_camera.numpy())
    rendered = render_frame(source.model, source.training, view, source.background)
    opaque = rendered.accumulation > OPAQUE
    if not bool(opaque.any()):
        fix = "take --path orbit or a path file"
        raise UserError("--path spiral", "the central training view shows nothing", fix)
    return float(rendered.depth[opaque].median())
