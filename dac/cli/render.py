"""`dac render`: stills and videos of a trained scene."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dac.cli.chosen import ModelName, Results, SceneName, Size, choose, parse_size
from dac.errors import UserError

if TYPE_CHECKING:
    from dac.cameras import Cameras
    from dac.fields.model import Model
    from dac.scenes.scene import Scene

app = typer.Typer(no_args_is_help=True, help="Render stills and videos of a trained scene.")

What = Literal["rgb", "depth", "normals", "accumulation"]
WhatOption = Annotated[What, typer.Option(help="What the pictures show.")]


@app.command()
def video(
    out: Annotated[Path, typer.Option(help="The video, *.mp4.")],
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
    size: Size = None,
    what: WhatOption = "rgb",
    results: Results = Path("results"),
    scene: SceneName = None,
    model: ModelName = None,
) -> None:
    """Render a camera path into a video."""
    from dac.evaluation.truth import background_colour
    from dac.export import paths, video
    from dac.export.camera import stacked
    from dac.export.keyframes import interpolate, read_keyframes
    from dac.fields.model import default_device, load_model
    from dac.signals import deferred

    of, trained = choose(results, scene, model)
    width, height = parse_size(size) or _even(of.cameras.width, of.cameras.height)
    video.require_video(out, width, height)
    training = of.cameras.select(of.train)
    poses, fov = training.world_from_camera.numpy(), paths.vertical_fov(training)
    keyframes = None
    if path not in ("orbit", "spiral"):
        keyframes = read_keyframes(Path(path))
        fps = keyframes.fps if fps is None else fps
        seconds = (keyframes.duration or None) if seconds is None else seconds
    fps, seconds = 30.0 if fps is None else fps, 8.0 if seconds is None else seconds
    frames = max(round(seconds * fps), 1)
    net = load_model(trained.folder, default_device())
    with deferred() as stop:
        if keyframes is not None:
            made = interpolate(keyframes, frames)
        elif path == "orbit":
            made = paths.orbit(poses, fov, frames)
        else:
            made = paths.spiral(poses, fov, frames, _focus(net, of, training))
        cameras = stacked(made.poses, made.fov_degrees, (width, height))
        started = time.monotonic()
        codec = video.render_video(net, cameras, background_colour(of), what, fps, out, stop)
    took = time.monotonic() - started
    typer.echo(
        f"{out}: {frames} frames of {width}x{height}, {frames / fps:.2f} s, {codec}, "
        f"{out.stat().st_size / 1e6:.2f} MB; {took / frames:.2f} s a frame"
    )


@app.command()
def still(
    out: Annotated[Path, typer.Option(help="The picture, *.png.")],
    view: Annotated[int | None, typer.Option(help="Number of a test view, from 0.")] = None,
    camera: Annotated[
        Path | None, typer.Option(help="A path file (JSON), of which the first keyframe is seen.")
    ] = None,
    size: Size = None,
    what: WhatOption = "rgb",
    results: Results = Path("results"),
    scene: SceneName = None,
    model: ModelName = None,
) -> None:
    """Render one picture; of a depth, also the numbers, as .npy beside it."""
    import numpy as np

    from dac.artifacts import write_file
    from dac.evaluation.pictures import save_png
    from dac.evaluation.truth import background_colour
    from dac.export.pictures import picture
    from dac.export.video import render_frame
    from dac.fields.model import default_device, load_model
    from dac.signals import deferred

    if out.suffix != ".png":
        raise UserError(out, "the name of a picture ends in .png", "change --out")
    of, trained = choose(results, scene, model)
    seen = _seen(of, view, camera, parse_size(size))
    net = load_model(trained.folder, default_device())
    with deferred() as stop:
        rendered = render_frame(net, seen, 0, background_colour(of), stop)
        pixels = picture(what, rendered, seen)
        if what == "depth":
            values = rendered.depth.numpy()
            write_file(out.with_suffix(".npy"), lambda temporary: np.save(temporary, values))
        write_file(out, lambda temporary: save_png(temporary, pixels))
    also = f", {out.with_suffix('.npy')}" if what == "depth" else ""
    typer.echo(f"{out}{also}: {what}, {seen.width}x{seen.height}")


def _seen(
    scene: Scene, view: int | None, camera: Path | None, size: tuple[int, int] | None
) -> Cameras:
    """The camera of a still, alone."""
    from dac.export.camera import resized_view, stacked
    from dac.export.keyframes import read_keyframes

    if camera is not None:
        if view is not None:
            raise UserError("--camera", "says where to look from, and so does --view", "drop one")
        keyframe = read_keyframes(camera)
        shape = (scene.cameras.width, scene.cameras.height) if size is None else size
        return stacked(keyframe.poses[:1], keyframe.fov_degrees[:1], shape)
    number = 0 if view is None else view
    if not 0 <= number < len(scene.test):
        what = f"the scene has {len(scene.test)} test views"
        raise UserError(f"--view {number}", what, "count from 0, or name a --camera")
    return resized_view(scene.cameras, scene.test[number], size)


def _even(width: int, height: int) -> tuple[int, int]:
    """The size that a video of such views can have."""
    return max(width - width % 2, 2), max(height - height % 2, 2)


def _focus(model: Model, scene: Scene, training: Cameras) -> float:
    """How far away things are in the middle of the training views: the depth's median there."""
    from dac.evaluation.pictures import OPAQUE
    from dac.evaluation.truth import background_colour
    from dac.export.paths import central_view
    from dac.export.video import render_frame

    view = central_view(training.world_from_camera.numpy())
    rendered = render_frame(model, training, view, background_colour(scene))
    opaque = rendered.accumulation > OPAQUE
    if not bool(opaque.any()):
        fix = "take --path orbit or a path file"
        raise UserError("--path spiral", "the central training view shows nothing", fix)
    return float(rendered.depth[opaque].median())
