"""What is refused at once; the estimate of disk space against what is really written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import toy
from PIL import Image

from dac.configuration import ResolvedScene, parse, resolve
from dac.errors import UserError
from dac.fields.model import build_model
from dac.scenes.scene import Space
from dac.settings import EvaluateSettings, ModelSettings
from dac.workflow import preflight
from dac.workflow.configuration import Configuration
from dac.workflow.preflight import check, disk_space, parameters, small_disk

BOX = Space("box", ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)), 2.0, 6.0)


@pytest.mark.parametrize("model", [toy.model_settings(), ModelSettings(resolution=32)])
def test_parameters_are_those_of_the_planes(model: ModelSettings) -> None:
    real = sum(p.numel() for p in build_model(model, BOX, seed=0).parameters())
    networks = real - parameters(model)
    assert 0 < networks < 30_000


def scene(folder: Path, **changes: object) -> ResolvedScene:
    entry = {
        "name": "ball",
        "path": str(folder),
        "format": "blender",
        "division": "azimuth",
        "K": 4,
    }
    return resolve(parse({"scenes": [entry], **changes}, "config"), "ball")


def test_what_grows_with_the_scene_and_the_model(tmp_path: Path) -> None:
    files = [str(tmp_path / f"{i}.png") for i in range(10)]
    Image.new("RGBA", (40, 20)).save(files[0])
    one = scene(tmp_path, evaluate={"test_views": 3})
    counts = {"trained": 8, "at_once": 6, "evaluated": 4}
    results, states = disk_space(one, [*files, "poses.json"], **counts)
    run = 12 * parameters(one.model)
    assert results == 10 * 800 * 4 + 8 * run + 4 * 3 * 800 * 5
    assert states == 18 * run
    more, _ = disk_space(one, files, trained=16, at_once=12, evaluated=8)
    assert more - results == 8 * run + 4 * 3 * 800 * 5
    small = one.model_copy(update={"evaluate": EvaluateSettings(test_views=None)})
    assert disk_space(small, files, **counts)[0] == results + 4 * 3 * 800 * 5
    assert disk_space(one, [], **counts)[0] == 8 * run


def test_a_video_s_frames_are_counted_before_they_are_chosen(tmp_path: Path) -> None:
    entry = {"name": "walk", "path": "walk.mp4", "format": "video", "division": "azimuth", "K": 4}
    data = {"scenes": [entry], "video": {"frames": 16, "longest_side": 80}}
    one = resolve(parse({**data, "scene": {"downscale": 2}}, "config"), "walk")
    results, _ = disk_space(one, [str(tmp_path / "walk.mp4")], trained=8, at_once=6, evaluated=4)
    arrays, photos = 16 * (80 * 60 // 4) * 3, 16 * 80 * 60 // 2
    assert results == arrays + photos + 8 * 12 * parameters(one.model) + 4 * 3 * 1200 * 5


def test_a_blend_file_s_views_are_counted_before_they_are_rendered(tmp_path: Path) -> None:
    rendering = {"train_views": 6, "test_views": 4, "size": 40}
    entry = {"name": "ball", "path": "ball.blend", "format": "blend"}
    entry |= {"division": "azimuth", "K": 4}
    data = {"scenes": [entry], "render": rendering, "scene": {"downscale": 2}}
    one = resolve(parse(data, "config"), "ball")
    results, _ = disk_space(one, [str(tmp_path / "ball.blend")], trained=8, at_once=6, evaluated=4)
    run = 12 * parameters(one.model)
    assert results == 10 * (400 + 1600) * 4 + 8 * run + 4 * 6 * 400 * 5


def configured(folder: Path, **changes: object) -> Configuration:
    entry = {"name": "ball", "path": str(folder), "format": "blender", "division": "azimuth"}
    data = {"results": str(folder / "results"), "scenes": [{**entry, "K": 4}], **changes}
    return Configuration.checked(data, "config")


def test_what_can_be_run_passes(tmp_path: Path) -> None:
    check(configured(tmp_path), "config")
    check(configured(tmp_path, results=str(tmp_path / "new" / "folder")), "config")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"results": "out/{scene}"}, "c: results: holds one of { } * ?; choose a plain name"),
        ({"results": "{there}/file/results"}, "c: results: {there}/file is no folder; choose"),
        ({"name": "logs"}, "c: scenes.logs: a reserved name; rename the scene"),
        ({"path": "nowhere"}, "c: scenes.ball.path: no such file or folder: nowhere; check"),
        ({"path": "é" * 255}, "c: scenes.ball.path: no such file or folder: é"),
        ({"format": "video"}, "c: scenes.ball.path: {there} is no file; name a video file"),
        (
            {"settings": {"scene": {"masks": "no"}}},
            "c: scenes.ball.settings.scene.masks: no such file or folder: no; check the path",
        ),
    ],
)
def test_what_is_refused_at_once(tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    (tmp_path / "file").touch()
    entry = {"name": "ball", "path": str(tmp_path), "format": "blender", "division": "azimuth"}
    results = changes.pop("results", "results").replace("{there}", str(tmp_path))
    data = {"results": results, "scenes": [{**entry, "K": 4, **changes}]}
    with pytest.raises(UserError) as caught:
        check(Configuration.checked(data), "c")
    assert str(caught.value).startswith(line.replace("{there}", str(tmp_path)))


def test_a_disk_that_is_too_small_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGBA", (40, 20)).save(tmp_path / "0.png")
    one = configured(tmp_path, evaluate={"test_views": 3})
    scene = one.scene("ball")
    # Two baselines, four experts, a distilled and a fine-tuned model; three of them are scored.
    files = [str(tmp_path / "0.png")]
    needed = sum(disk_space(scene, files, trained=8, at_once=6, evaluated=3))
    monkeypatch.setattr(preflight, "free_space", lambda path: needed)
    assert small_disk(one) is None
    monkeypatch.setattr(preflight, "free_space", lambda path: needed - 100)
    size, free = f"{needed / 1e9:.2g}", f"{(needed - 100) / 1e9:.2g}"
    line = f"{tmp_path}/results: will take about {size} GB, {free} GB are free"
    assert small_disk(one) == line
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "there").write_bytes(bytes(100))
    assert small_disk(one) is None
    (tmp_path / "0.png").write_bytes(b"damaged")
    monkeypatch.setattr(preflight, "free_space", lambda path: 0)
    assert small_disk(one) is None
