"""Across borders and away from the views: a routed model where no test view stands.

    python -m bench.unseen cameras results --scene pocket_lighthouse --out cams.json
    python scenes/make_object.py --cameras cams.json --out truth    # Blender's Python
    python -m bench.unseen measure results --scene pocket_lighthouse --cameras cams.json \\
        --truth truth --out unseen.json --strip strip.png

`cameras` writes films over every border of the scene's routed model, and a set of views away from
the training views (see `unseen_cameras`), in the data set's frame; with `--truth-cameras`, in that
of a file of true cameras. `measure` renders them by the routed model, by a hard switch (the same
experts, no blend) and by the single baseline of the same path, and holds them against the truth, or
where there is none (`--truth none`) the films against the baseline's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.unseen_cameras import (
    Array,
    away_of_object,
    away_of_place,
    films,
    similarity,
)
from bench.unseen_measures import (
    Pictures,
    Shot,
    Stretch,
    away_record,
    film_record,
    sentences,
)
from dac.cameras import Cameras
from dac.catalogue import TrainedModel, choose_model, choose_scene
from dac.conquer.routed import AnyModel, RoutedModel, load
from dac.errors import UserError
from dac.evaluation.render import render_view
from dac.evaluation.truth import background_colour, over_background
from dac.fields.model import default_device
from dac.scenes.normalise import transformed_poses
from dac.scenes.photos.images import decode, read_header
from dac.scenes.scene import Scene
from dac.scenes.views import opencv_from_opengl
from dac.storage.artifacts import read_json, write_file, write_json

AWAY = "away"
SHOWN, WIDTH = 7, 144  # of a strip: frames, and pixels of each
_CHUNK = 4096


def main(arguments: list[str] | None = None) -> None:
    """Run the command line above; a user's mistake ends it with one line."""
    options = _options(arguments)
    try:
        options.run(options)
    except UserError as error:
        sys.exit(f"error: {error}")


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.unseen", description=__doc__.split("\n")[0]
    )
    commands = parser.add_subparsers(required=True)
    write = commands.add_parser("cameras", help="write films and views as a file of cameras")
    write.set_defaults(run=_write_cameras)
    write.add_argument("--truth-cameras", type=Path, help="true cameras of the scene's photos")
    take = commands.add_parser("measure", help="render them and hold them against the truth")
    take.set_defaults(run=_measure)
    take.add_argument("--cameras", type=Path, required=True, help="what `cameras` wrote")
    take.add_argument(
        "--truth", type=_folder, required=True, help="its true pictures' folder, or none"
    )
    take.add_argument("--strip", type=Path, help="a picture of one border is written here")
    for command in (write, take):
        command.add_argument("results", type=Path)
        command.add_argument("--scene", required=True)
        command.add_argument("--model", default="routed", help="which routed model, if several")
        command.add_argument(
            "--out", type=Path, required=True, help="the JSON file that is written"
        )
    return parser.parse_args(arguments)


def _folder(text: str) -> Path | None:
    return None if text == "none" else Path(text)


def _chosen(options: argparse.Namespace) -> tuple[Scene, TrainedModel, RoutedModel]:
    scene = choose_scene(options.results, options.scene)
    trained = choose_model(options.results, scene, options.model)
    model = load(trained.folder, default_device())
    if not isinstance(model, RoutedModel):
        raise UserError(f"--model {options.model}", f"{trained.folder} is not routed", "name one")
    return Scene.load(options.results / scene / "scene"), trained, model


# --- cameras


def _write_cameras(options: argparse.Namespace) -> None:
    scene, _, model = _chosen(options)
    truth = None if options.truth_cameras is None else read_json(options.truth_cameras)
    write_json(options.out, camera_file(scene, model, truth))


def camera_file(scene: Scene, model: RoutedModel, truth: dict[str, Any] | None) -> dict[str, Any]:
    """Films and away views as data: what the scene scripts render, and what leads back.

    Args:
        truth: a file of true cameras of the scene's photos, or None to stay in the data's frame.

    Returns:
        `width`, `height`, `focal_pixels` and `frames`, and `scene_from_file`, (4, 4), of the
        frames' poses; with true cameras also how far those of the scene are from them, aligned. A
        place has an away set only with true cameras: its heights are in metres.

    Raises:
        UserError: a view has no true camera; as of `films`.
    """
    training = scene.cameras.world_from_camera.numpy()[list(scene.train)]
    cameras = scene.cameras
    lens = [cameras.width, cameras.height, float(cameras.intrinsics[0, 0])]
    about: dict[str, Any] = {}
    file_from_scene: Array = np.asarray(np.linalg.inv(scene.world_from_data), np.float64)
    if truth is not None:
        known = _known(scene, truth)
        file_from_scene, about["alignment"] = _aligned(cameras.world_from_camera.numpy(), known)
        lens = [truth["width"], truth["height"], truth["focal_pixels"]]
    made = {
        name: transformed_poses(film, file_from_scene)
        for name, film in films(model.router, training).items()
    }
    if model.router.by == "sectors":
        made[AWAY] = transformed_poses(away_of_object(training), file_from_scene)
    elif truth is not None:
        made[AWAY] = away_of_place(known)
    frames = [
        {"file": f"{name}/{number:02d}.png", "camera_to_world": _opengl(pose).tolist()}
        for name, poses in made.items()
        for number, pose in enumerate(poses)
    ]
    size = dict(zip(("width", "height", "focal_pixels"), lens, strict=True))
    back = np.linalg.inv(file_from_scene).tolist()
    return {**size, **about, "scene_from_file": back, "frames": frames}


def _known(scene: Scene, truth: dict[str, Any]) -> Array:
    """(N, 3, 4) true poses of the scene's views, by their files' names."""
    poses = {Path(frame["file"]).name: frame["camera_to_world"] for frame in truth["frames"]}
    missing = [name for name in scene.names if Path(name).name not in poses]
    if missing:
        raise UserError("--truth-cameras", f"lacks {missing[0]}", "give the file of this scene")
    return np.stack([_opencv(poses[Path(name).name]) for name in scene.names])


def _aligned(poses: Array, known: Array) -> tuple[Array, dict[str, float]]:
    """The similarity from the scene to its true cameras, and what it leaves."""
    made = similarity(poses[:, :, 3], known[:, :, 3])
    left = transformed_poses(poses, made)
    far = np.linalg.norm(left[:, :, 3] - known[:, :, 3], axis=1)
    turned = np.einsum("nij,nij->n", left[:, :, :3], known[:, :, :3])
    angle = np.degrees(np.arccos(np.clip((turned - 1) / 2, -1, 1)))
    return made, {
        "median_distance": round(float(np.median(far)), 5),
        "largest_distance": round(float(far.max()), 5),
        "median_degrees": round(float(np.median(angle)), 4),
    }


def _opengl(pose: Array) -> Array:
    """(4, 4) camera-to-world with OpenGL axes of a pose (3, 4)."""
    return np.vstack([opencv_from_opengl(pose), [0.0, 0.0, 0.0, 1.0]])  # its own inverse


def _opencv(matrix: Sequence[Sequence[float]]) -> Array:
    """The inverse of `_opengl`."""
    return opencv_from_opengl(np.array(matrix, np.float64)[:3])


# --- measures


def _measure(options: argparse.Namespace) -> None:
    scene, trained, model = _chosen(options)
    single = choose_model(options.results, options.scene, f"baseline-{trained.horizon}")
    baseline, file = load(single.folder, default_device()), read_json(options.cameras)
    shots = {
        name: _shot(scene, model, baseline, poses, options.truth and options.truth / name)
        for name, poses in _poses(file).items()
        if name != AWAY or options.truth is not None
    }
    away = shots.pop(AWAY, None)
    record: dict[str, Any] = {
        "scene": scene.name,
        "model": trained.path,
        "baseline": single.path,
        "blend": model.router.blend,
        "size": [scene.cameras.width, scene.cameras.height],
        "reference": "baseline" if options.truth is None else "truth",
        "alignment": file.get("alignment"),
        "films": {name: film_record(shot) for name, shot in shots.items()},
    }
    if away is not None:
        training = scene.cameras.world_from_camera.numpy()[list(scene.train)]
        record["away"] = away_record(away, training)
    write_json(options.out, record)
    print("\n".join(sentences(record)))
    if options.strip is not None:
        films = record["films"]
        name = max(films, key=lambda name: films[name]["hard"]["excess_percent"])
        _write_strip(options.strip, shots[name])
        print(f"{options.strip}: {name}")


def _poses(file: dict[str, Any]) -> dict[str, Array]:
    """(F, 3, 4) in the scene's frame, of each film and of the away set."""
    by_name: dict[str, list[Array]] = {}
    for frame in file["frames"]:
        pose = _opencv(frame["camera_to_world"])
        by_name.setdefault(Path(frame["file"]).parent.name, []).append(pose)
    back = np.array(file["scene_from_file"])
    return {name: transformed_poses(np.stack(poses), back) for name, poses in by_name.items()}


def _shot(
    scene: Scene, model: RoutedModel, baseline: AnyModel, poses: Array, truth: Path | None
) -> Shot:
    """Renders and true pictures of a film, through the lens of the scene's first view."""
    lens = scene.cameras.select([0] * len(poses))
    there = torch.from_numpy(np.ascontiguousarray(poses))
    size = (lens.model, lens.width, lens.height)
    cameras = Cameras(*size, lens.intrinsics, lens.distortion, there)
    router, every = replace(model.router, generalist=None), range(len(poses))
    switch = RoutedModel(model.experts[: router.count], replace(router, blend=0.0))
    routed = _rendered(scene, model, cameras, every)
    hard = routed.copy()
    if len(mixed := np.flatnonzero(model.router.shares(cameras).max(axis=1) < 1)):
        hard[mixed] = _rendered(scene, switch, cameras, mixed.tolist())
    by = {"routed": routed, "hard": hard, "baseline": _rendered(scene, baseline, cameras, every)}
    pictures = None if truth is None else _true_pictures(scene, truth, len(poses))
    return Shot(poses, router.shares(cameras), by, pictures)


def _rendered(scene: Scene, model: AnyModel, cameras: Cameras, views: Sequence[int]) -> Pictures:
    background = background_colour(scene)
    seen = (render_view(model, cameras, view, background, _CHUNK).rgb for view in views)
    return np.stack([rgb.clamp(0, 1).cpu().numpy() for rgb in seen])


def _true_pictures(scene: Scene, folder: Path, count: int) -> Pictures:
    """True pictures in the size of the scene's, reduced as its own were, over its background."""
    (height, width, channels), made = scene.images.shape[1:], []
    for number in range(count):
        file = folder / f"{number:02d}.png"
        factor = max(read_header(file).size[0] // width, 1)
        pixels = decode(file, channels, factor=factor).astype(np.float32) / np.float32(255)
        if pixels.shape[:2] != (height, width):
            raise UserError(file, f"is no multiple of {width} x {height} pixels", "render it anew")
        made.append(over_background(pixels, scene.background))
    return np.stack(made)


# --- the picture


def _write_strip(path: Path, shot: Shot) -> None:
    """Frames over a border, evenly spaced: truth (if any), routed, hard switch, row by row."""
    stretch, last = Stretch.of(shot.shares), len(shot.poses) - 1
    ends = max(stretch.first - 2, 0), min(stretch.last + 2, last)
    shown = np.linspace(*ends, SHOWN).round().astype(int)
    films = [shot.truth, shot.by["routed"], shot.by["hard"]]
    rows = [
        np.concatenate([_small(film[frame]) for frame in shown], axis=1)
        for film in films
        if film is not None
    ]
    strip = Image.fromarray(np.concatenate(rows, axis=0))
    write_file(path, lambda file: strip.save(file, format="PNG", optimize=True))


def _small(picture: Pictures) -> Any:
    image = Image.fromarray((255 * picture).round().astype(np.uint8))
    height = round(image.height * WIDTH / image.width)
    return np.asarray(image.resize((WIDTH, height), Image.Resampling.BOX))


if __name__ == "__main__":
    main()
