"""`dac new`: what it finds is what was written, and what it writes is what the workflow takes."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import project as projects
import pytest
import toy
import yaml
from layouts import known_ring, looking_at_origin, write_colmap, write_nerfpp, write_nsvf
from PIL import Image
from project import ROOT

from dac.cli.sizes import SIZES, Sizes
from dac.configuration import ResolvedScene, merge, parse, resolve
from dac.errors import UserError
from dac.fields.model import build_model
from dac.scenes.recognise import recognise
from dac.storage.yaml_files import read_yaml
from dac.workflow.groups import choose_groups
from dac.workflow.preflight import parameters
from dac.workflow.studies import conquered

RING = known_ring()


def write_photos(root: Path, count: int, size: tuple[int, int] = (24, 20)) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", size, (i, 2 * i, 99)).save(root / f"photo_{i:03}.png")


def write_frames(root: Path, file: str, count: int, folder: str, mode: str = "RGB") -> None:
    """A JSON file of frames on a ring, with their images."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    frames = []
    for i, pose in enumerate(looking_at_origin(count) * [1, -1, -1, 1]):
        Image.new(mode, (24, 20)).save(root / folder / f"{i:03}.png")
        frames.append({"file_path": f"{folder}/{i:03}.png", "transform_matrix": pose.tolist()})
    (root / file).write_text(json.dumps({"camera_angle_x": 0.7, "frames": frames}))


def write_blender(root: Path) -> None:
    write_frames(root, "transforms_train.json", 60, "train", "RGBA")
    write_frames(root, "transforms_test.json", 5, "test", "RGBA")


def write_model(root: Path) -> None:
    points = np.random.default_rng(0).normal(size=(8, 3))
    write_colmap(root, RING, points, [range(10)] * 8)


def merged_with_default(file: Path) -> dict[str, Any]:
    """The project's configuration, the file on top."""
    return merge(read_yaml(Path("config/config.yaml")), read_yaml(file))


def resolved(file: Path, name: str) -> ResolvedScene:
    """The scene as the workflow will have it."""
    return resolve(parse(merged_with_default(file), str(file)), name)


# What is written, and what must be found: format, division, K, training and test views.
LAYOUTS: dict[str, tuple[Callable[[Path], object], str, str, int, int, int]] = {
    "photos": (lambda root: write_photos(root, 24), "photos", "louvain", 2, 21, 3),
    "transforms.json": (
        lambda root: write_frames(root, "transforms.json", 72, "images"),
        *("nerfstudio", "louvain", 3, 63, 9),
    ),
    "Blender's": (write_blender, "blender", "azimuth", 3, 60, 5),
    "COLMAP's": (write_model, "colmap", "louvain", 2, 8, 2),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_recognised(layout: str, project: Path, dac: Callable[..., str]) -> None:
    write, format, division, K, train, test = LAYOUTS[layout]
    write(project / "data")
    said = dac("new", "thing", "data")
    scene = resolved(project / "config/thing.yaml", "thing")
    assert (scene.format, scene.division, scene.K, scene.path) == (format, division, K, "data")
    assert f"format {format}." in said
    assert f": {train} to train on, {test} to test on.\n" in said
    assert (
        f"{train + test} of 24 x 20 pixels, {'with' if format == 'blender' else 'without'}" in said
    )
    assert ("structure from motion finds them" in said) == (format == "photos")
    assert f"Division: {division}: " in said and f"K = {K}: " in said
    assert "--cores all --configfile config/thing.yaml\n" in said
    assert read_yaml(project / "config/thing.yaml")["results"] == "results/thing"


def test_a_part_of_ten_views_is_as_given(project: Path) -> None:
    """NeRF++ and NSVF say which views test: 4 to 6 of the ring's ten."""
    write_nerfpp(project / "nerfpp", RING)
    write_nsvf(project / "nsvf", RING)
    for name in ("nerfpp", "nsvf"):
        found = recognise(Path(name))
        assert (found.format, found.train, found.test, found.size) == (name, 7, 3, RING.size)


@pytest.mark.parametrize(
    ("count", "K"), [(10, 2), (24, 2), (60, 2), (69, 3), (91, 3), (92, 4), (182, 7), (400, 8)]
)
def test_the_number_of_groups_grows_with_the_views(
    project: Path, dac: Callable[..., str], count: int, K: int
) -> None:
    """Every 8th view tests, from the first; 20 training views a group, 2 to 8 groups.

    As many as `K: auto` would choose.
    """
    write_photos(project / "data", count, (2, 2))
    said = dac("new", "thing", "data")
    train = count - -(-count // 8)
    assert min(8, max(2, train // 20)) == K
    scene = resolved(project / "config/thing.yaml", "thing")
    assert scene.K == K == choose_groups(scene)
    assert ("8 groups at most unless you say --K" in said) == (K == 8)


@pytest.mark.parametrize(
    ("count", "division", "minimum"), [(24, "louvain", 4), (60, "spectral", 10), (60, "azimuth", 4)]
)
def test_no_community_is_tiny_where_there_are_views_enough(
    project: Path, dac: Callable[..., str], count: int, division: str, minimum: int
) -> None:
    """Of 21 or 52 training views in two groups; sectors are as large as they are."""
    write_photos(project / "data", count, (2, 2))
    dac("new", "thing", "data", "--division", division)
    scene = resolved(project / "config/thing.yaml", "thing")
    assert (scene.K, scene.divide.minimum_views) == (2, minimum)


@pytest.mark.parametrize(("side", "factor"), [(320, 1), (321, 2), (640, 2), (1920, 6)])
def test_the_longer_side_has_at_most_320_pixels(
    project: Path, dac: Callable[..., str], side: int, factor: int
) -> None:
    write_photos(project / "data", 10, (40, side))
    said = dac("new", "thing", "data")
    scene = resolved(project / "config/thing.yaml", "thing")
    assert scene.scene.downscale == factor
    assert (f"reduced by {factor} to {40 // factor} x {side // factor}" in said) == (factor > 1)
    assert ("downscale" in (project / "config/thing.yaml").read_text()) == (factor > 1)


def write_many(root: Path, count: int, size: tuple[int, int]) -> None:
    """Photos that are one file under many names."""
    write_photos(root, 1, size)
    for i in range(1, count):
        (root / f"photo_{i:03}.png").hardlink_to(root / "photo_000.png")


@pytest.mark.parametrize(
    ("count", "size", "factor", "proportions", "advice"),
    [
        # 50 training views of 320 x 240: 4.6 M parameters and 4.1 M rays for 3.84 M pixels.
        (58, (320, 240), 1, "1.2 parameters a training pixel (the paper's model: 0.3), each", None),
        # 100 of 320 x 320 are 10.24 M pixels, more than 8.2 M; of 160 x 160, 2.56 M.
        (115, (320, 320), 2, "1.8 parameters a training pixel (the paper's model: 0.3)", None),
        # 400 of 160 x 160 are 10.24 M: a side is halved once, no further.
        (458, (320, 320), 2, "each seen 0.4 times in 1x", "That is little: raise train.steps"),
    ],
)
def test_the_papers_proportions_are_kept(
    project: Path,
    dac: Callable[..., str],
    count: int,
    size: tuple[int, int],
    factor: int,
    proportions: str,
    advice: str | None,
) -> None:
    write_many(project / "data", count, size)
    said = dac("new", "thing", "data")
    assert resolved(project / "config/thing.yaml", "thing").scene.downscale == factor
    assert proportions in said
    assert ("8.2 million in all the model and its steps" in said) == (factor == 2)
    assert "That is little" not in said if advice is None else advice in said


def test_the_papers_own_proportions_are_near_the_papers() -> None:
    """Sec. 4.1: 34 M parameters, 30,000 steps of 4,096 rays, 180 views of 800 x 800."""
    sizes, pixels = SIZES["paper"], 180 * 800 * 800
    given = Sizes(*("", 1600, *(ROOT / f for f in (sizes.box, sizes.unbounded)), sizes.render))
    paper = given.proportions("blender")
    assert paper.parameters / pixels == pytest.approx(0.3, abs=0.01)
    assert paper.rays / pixels == pytest.approx(1.07, abs=0.01)
    assert paper.most_pixels >= pixels


@pytest.mark.parametrize("scales", [(1,), (1, 2, 4)])
def test_parameters_are_those_of_the_models_planes(scales: tuple[int, ...]) -> None:
    settings = toy.model_settings().model_copy(update={"scales": scales})
    model = build_model(settings, toy.scene().space, seed=0)
    planes = [p for name, p in model.named_parameters() if "planes" in name]
    assert parameters(settings) == sum(p.numel() for p in planes) > 0


def test_specialists_are_proposed(project: Path, dac: Callable[..., str]) -> None:
    """Merged and routed models, whose paths are those of the baselines that they are held against.

    In both sizes; whoever adds a mode of the paper's has what it reads.
    """
    write_photos(project / "data", 40, (2, 2))
    for size, once in (("small", 4000), ("paper", 30_000)):
        said = dac("new", "thing", "data", "--size", size, "--force")
        file = project / "config/thing.yaml"
        settings, scene = parse(merged_with_default(file)), resolved(file, "thing")
        assert settings.modes == ("merged", "routed")
        assert scene.specialists.trunk == 0.25
        merged, routed, distilled = (
            conquered(scene, 0, mode) for mode in ("merged", "routed", "corrected")
        )
        assert (merged.horizon, merged.steps, routed.horizon) == (once, once, once)
        assert (distilled.earlier, distilled.steps) == (once, once)
        assert f"after {2 * once:,} steps and routed" in said and f"after {once:,} steps, " in said


def test_what_is_asked_for_is_written(project: Path, dac: Callable[..., str]) -> None:
    write_photos(project / "data", 40, (2, 2))
    said = dac("new", "thing", "data", "--division", "spectral", "--K", "5", "--out", "mine.yaml")
    scene = resolved(project / "mine.yaml", "thing")
    assert (scene.division, scene.K) == ("spectral", 5)
    assert "K = 5: as you asked; about 7 training views a group" in said
    assert "--configfile mine.yaml" in said and not (project / "config/thing.yaml").exists()
    dac("new", "thing", "data", "--division", "single", "--out", "mine.yaml", "--force")
    assert resolved(project / "mine.yaml", "thing").K == 1


@pytest.mark.parametrize(
    ("write", "overlay"),
    [
        (lambda root: write_photos(root, 40, (4, 2000)), "paper/tanks_and_temples.yaml"),
        (write_blender, "paper/blender.yaml"),
    ],
)
def test_sizes_are_those_of_the_studies(
    project: Path, dac: Callable[..., str], write: Callable[[Path], object], overlay: str
) -> None:
    """`--size paper` is the paper's configuration, and no `--size` the small one."""
    write(project / "data")
    for arguments, name in (([], "sizes/small.yaml"), (["--size", "paper"], overlay)):
        said = dac("new", "thing", "data", *arguments, "--force")
        ours, theirs = read_yaml(project / "config/thing.yaml"), read_yaml(ROOT / "config" / name)
        for section in ("model", "train", "distill", "finetune", "evaluate"):
            assert ours[section] == theirs[section]
        assert f"{theirs['train']['steps']:,} steps of {theirs['train']['rays']:,} rays" in said
    scene = resolved(project / "config/thing.yaml", "thing")
    assert scene.scene.downscale == (2 if "temples" in overlay else 1)  # of 2000 and 24 pixels


@pytest.mark.parametrize(
    ("folder", "scene"),
    [
        ("it's: here #1", "2024"),
        ("null", "no"),
        ("2024-11-25", "1e5"),
        ("? a", "0x1F"),
        ("größe", "null"),
        ("{x}", "a_b"),
    ],
)
def test_names_that_mean_something_in_yaml(
    project: Path, dac: Callable[..., str], folder: str, scene: str
) -> None:
    write_photos(project / folder, 10, (2, 2))
    dac("new", scene, folder, "--out", "mine.yaml")
    assert resolved(project / "mine.yaml", scene).path == folder
    assert yaml.safe_load((project / "mine.yaml").read_text())["results"] == f"results/{scene}"


def test_a_folder_of_images_beside_others_is_preferred(
    project: Path, dac: Callable[..., str]
) -> None:
    write_photos(project / "data/images", 10)
    write_photos(project / "data/images_2", 3, (12, 10))
    said = dac("new", "thing", "data")
    assert resolved(project / "config/thing.yaml", "thing").path == "data/images"
    assert "Not used: 3 more in data, outside of images/.\n" in said


def test_a_blend_file_is_rendered_small(
    project: Path, dac: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "chair.blend").write_bytes(b"BLENDER")
    with pytest.raises(UserError, match=r"no Blender on the PATH.*--blender"):
        monkeypatch.setenv("PATH", str(project))
        dac("new", "chair", "chair.blend")
    program = project / "blender"
    program.write_text("#!/bin/sh\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    said = dac("new", "chair", "chair.blend")
    scene = resolved(project / "config/chair.yaml", "chair")
    assert (scene.format, scene.division, scene.K) == ("blend", "azimuth", 8)
    assert (scene.render.size, scene.render.samples) == (200, 32)
    assert scene.render.executable == "blender" and scene.scene.downscale == 1
    assert "180 to train on, 200 to test on" in said
    dac("new", "chair", "chair.blend", "--size", "paper", "--force")
    scene = resolved(project / "config/chair.yaml", "chair")
    assert (scene.render.size, scene.render.samples) == (800, 128)
    dac("new", "chair", "chair.blend", "--blender", str(program), "--force")
    assert resolved(project / "config/chair.yaml", "chair").render.executable == str(program)


def test_a_video(project: Path, dac: Callable[..., str]) -> None:
    import av

    with av.open("walk.mp4", "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 640, 352
        for i in range(20):
            pixels = np.full((352, 640, 3), 10 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    said = dac("new", "walk", "walk.mp4")
    scene = resolved(project / "config/walk.yaml", "walk")
    assert (scene.format, scene.path, scene.division) == ("video", "walk.mp4", "louvain")
    assert scene.scene.downscale == 2
    assert "lasts 2 s and has 20 frames of 640 x 352 pixels" in said
    assert "about 20 sharp frames" in said and "17 to train on, 3 to test on" in said
    (project / "noise.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match=r"noise.mp4: can't be decoded"):
        dac("new", "noise", "noise.mp4")


def both(root: Path) -> None:
    write_model(root)
    write_frames(root, "transforms.json", 10, "images")


def damaged(root: Path) -> None:
    write_photos(root, 10)
    (root / "photo_003.png").write_bytes(b"no image")


def sizes(root: Path) -> None:
    write_photos(root, 10)
    write_photos(root / "more", 2, (30, 20))


def others(root: Path) -> None:
    root.mkdir()
    for name in ("a.heic", "b.HEIC", "c.txt"):
        (root / name).touch()


def film(root: Path) -> None:
    root.mkdir()
    (root / "walk.mp4").touch()


@pytest.mark.parametrize(
    ("write", "line"),
    [
        (lambda root: root.mkdir(), "data: is empty: looked for photos .*transforms.json; .*"),
        (lambda root: None, "data: no such file or folder; check the path"),
        (lambda root: root.write_text("{}"), "data: is a file, but neither .*name the folder"),
        (others, "data: holds only files of other kinds .2 .heic, 1 .txt.: .*convert them to JPEG"),
        (film, "data: holds no photos but walk.mp4; name data/walk.mp4"),
        (both, "data: may be two data sets.*--format nerfstudio or --format colmap"),
        (damaged, "data/photo_003.png: is no image that can be read"),
        (sizes, "data: more/photo_000.png has 30 x 20 pixels but photo_000.png has 24 x 20"),
        (lambda root: write_photos(root, 6), "data: 5 training views are too few for 2 groups"),
        (
            lambda root: write_frames(root, "transforms.json", 10, "../elsewhere"),
            "data/transforms.json: frame 0 .*leaves the data folder",
        ),
    ],
)
def test_data_that_are_refused(
    project: Path, dac: Callable[..., str], write: Callable[[Path], object], line: str
) -> None:
    write(project / "data")
    with pytest.raises(UserError, match=f"^{line}") as caught:
        dac("new", "thing", "data")
    assert "\n" not in str(caught.value)
    assert [file.name for file in Path("config").iterdir() if file.is_file()] == ["config.yaml"]


def test_the_format_may_be_said(project: Path, dac: Callable[..., str]) -> None:
    both(project / "data")
    dac("new", "thing", "data", "--format", "colmap")
    assert resolved(project / "config/thing.yaml", "thing").format == "colmap"
    dac("new", "thing", "data", "--format", "photos", "--force")
    scene = resolved(project / "config/thing.yaml", "thing")
    assert (scene.format, scene.path) == ("photos", "data/images")


@pytest.mark.parametrize(
    ("scene", "line"),
    [
        ("my-scene", "my-scene: is no name for a scene: .*try my_scene"),
        ("_x", "_x: is no name"),
        ("a" * 65, "no name for a scene"),
        ("a/b", "a/b: is no name"),
        *((name, f"{name}: is no name.*results have folders") for name in ("logs", "tables")),
    ],
)
def test_names_that_are_refused(
    project: Path, dac: Callable[..., str], scene: str, line: str
) -> None:
    write_photos(project / "data", 10, (2, 2))
    with pytest.raises(UserError, match=line):
        dac("new", scene, "data")


def test_no_file_is_replaced_unasked(
    project: Path, dac: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(project / "data", 10, (2, 2))
    mine = project / "config/thing.yaml"
    mine.write_text("mine\n")
    with pytest.raises(UserError, match=r"config/thing\.yaml: exists already.*--force"):
        dac("new", "thing", "data")
    assert mine.read_text() == "mine\n"
    dac("new", "thing", "data", "--force")
    assert resolved(mine, "thing").K == 2
    default = (project / "config/config.yaml").read_text()
    with pytest.raises(UserError, match=r"config\.yaml: exists already; choose another name, .*"):
        dac("new", "config", "data", "--force")
    assert (project / "config/config.yaml").read_text() == default
    with pytest.raises(UserError, match="config: is a folder"):
        dac("new", "other", "data", "--out", "config", "--force")


def test_outside_of_a_project_the_file_lies_here(
    tmp_path: Path, dac: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(tmp_path / "data", 10, (2, 2))
    monkeypatch.chdir(tmp_path)
    said = dac("new", "thing", "data")
    assert f"--configfile thing.yaml --snakefile {ROOT / 'Snakefile'} -n\n" in said
    assert read_yaml(tmp_path / "thing.yaml")["results"] == "results/thing"


def test_a_mistake_is_one_line_on_the_terminal(project: Path) -> None:
    done = run_dac(project, "new", "thing", "nowhere")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "error: nowhere: no such file or folder; check the path\n"


def run_dac(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "dac", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


# A new user's first scenes, and how many jobs of some kinds the workflow must plan for them.
FIRST: dict[str, tuple[str, dict[str, int]]] = {
    "lighthouse": ("scenes/pocket-lighthouse", {"specialist": 8, "baseline": 2, "merge": 1}),
    "square": ("scenes/village-square", {"sfm": 1, "trunk": 1, "specialist": 3}),
    "ball": ("data/ball", {"import_scene": 1, "read_points": 1, "specialist": 2, "route": 1}),
    "chair": ("data/chair.blend", {"render_views": 19, "views": 1, "specialist": 8}),
}


@pytest.mark.slow
def test_the_workflow_plans_what_a_new_user_has(
    tmp_path: Path, write_tiny_scene: Callable[[Path], None]
) -> None:
    base: dict[str, Any] = read_yaml(ROOT / "config" / "config.yaml")
    project = projects.new_project(tmp_path / "dac", write_tiny_scene, base)
    shutil.copytree(ROOT / "config" / "sizes", project.folder / "config" / "sizes")
    (project.folder / "scenes").symlink_to(ROOT / "scenes")
    (project.folder / "data/chair.blend").write_bytes(b"BLENDER")
    for name, (path, jobs) in FIRST.items():
        done = run_dac(project.folder, "new", name, path, "--blender", sys.executable)
        assert done.returncode == 0, done.stderr
        (command,) = [line.split() for line in done.stdout.splitlines() if line.endswith(" -n")]
        assert command[0].endswith("snakemake")
        planned = project.planned(*command[1:-1])
        assert {rule: planned.get(rule) for rule in jobs} == jobs
