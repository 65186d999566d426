"""Importing whole data sets; what the user gets wrong is one line and leaves nothing behind."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dac.errors import UserError
from dac.scenes.importer import import_scene
from dac.scenes.scene import Scene
from dac.settings import SceneSettings

Writer = Callable[..., Path]
Editor = Callable[[Path, Callable[[Any], object]], None]


def load(path: Path, format: str, **settings: Any) -> Scene:
    work = path.parent / "work"
    try:
        return import_scene(path, format, SceneSettings(**settings), name="toy", work=work)
    finally:
        assert not work.exists() or list(work.iterdir()) == []


def test_no_room_is_said_before_any_pixel_is_decoded(
    blender_set: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = blender_set(train=6, test=3)
    usage = shutil.disk_usage(root)
    needed = 2 * 9 * 16 * 16 * 4
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed))
    assert load(root, "blender").images.shape == (9, 16, 16, 4)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed - 1))
    monkeypatch.setattr("dac.scenes.importer.decode", None)
    with pytest.raises(UserError, match="of disk space"):
        load(root, "blender")


def test_blender_scene(blender_set: Writer) -> None:
    root = blender_set(train=6, test=3)
    scene = load(root, "blender")
    assert scene.images.shape == (9, 16, 16, 4) and scene.has_alpha
    assert [scene.names[i] for i in scene.test] == [f"test/r_{i}.png" for i in range(3)]
    assert scene.masks is None and scene.space.kind == "box"
    for i, name in enumerate(scene.names):
        np.testing.assert_array_equal(scene.images[i], np.asarray(Image.open(root / name)))
    assert any(line.startswith("Split: as the data set gives it") for line in scene.log)


def test_blender_without_test_views_is_split(blender_set: Writer) -> None:
    scene = load(blender_set(train=9, test=0), "blender")
    assert scene.test == (0, 8) and len(scene.train) == 7


def test_a_new_split_takes_the_validation_views_too(blender_set: Writer) -> None:
    root = blender_set(train=5, test=4)
    (root / "test").rename(root / "val")
    listed = (root / "transforms_test.json").read_text().replace("./test/", "./val/")
    (root / "transforms_test.json").unlink()
    (root / "transforms_val.json").write_text(listed)
    settings = SceneSettings(split="farthest-point", train_views=4, test_views=3)
    scene = import_scene(root, "blender", settings, name="toy")
    assert len(scene.names) == len(scene.images) == 7
    assert sorted(scene.train + scene.test) == list(range(7)) and len(scene.train) == 4
    assert any(name.startswith("val/") for name in scene.names)
    # Every view kept its own pixels and camera.
    given = import_scene(root, "blender", SceneSettings(split="fraction"), name="toy")
    for i, name in enumerate(scene.names):
        if name in given.names:
            j = given.names.index(name)
            assert (scene.images[i] == given.images[j]).all()
            assert torch.equal(
                scene.cameras.world_from_camera[i], given.cameras.world_from_camera[j]
            )
    assert len(given.names) == 5  # the validation views are left out otherwise


def test_a_scene_survives_saving(nerfstudio_set: Writer, tmp_path: Path) -> None:
    scene = load(nerfstudio_set(), "nerfstudio", downscale=2)
    scene.save(tmp_path / "scene")
    again = Scene.load(tmp_path / "scene")
    assert isinstance(again.images, np.memmap)
    np.testing.assert_array_equal(again.images, scene.images)
    np.testing.assert_array_equal(again.world_from_data, scene.world_from_data)
    assert again.cameras.to_json() == scene.cameras.to_json()
    for key in ("name", "names", "train", "test", "background", "space", "log", "masks"):
        assert getattr(again, key) == getattr(scene, key)
    assert (scene.cameras.width, scene.cameras.height) == (12, 10) == scene.images.shape[2:0:-1]


@pytest.mark.parametrize("file", ["scene.json", "images.npy", "masks.npy"])
def test_a_damaged_scene_is_one_line(nerfstudio_set: Writer, tmp_path: Path, file: str) -> None:
    load(nerfstudio_set(), "nerfstudio").save(tmp_path / "scene")
    path = tmp_path / "scene" / file
    whole = path.read_bytes()
    for content in (None, b"", whole[: len(whole) - 40], b"{}"):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        with pytest.raises(UserError):
            Scene.load(tmp_path / "scene")


def test_a_write_that_stops_half_way_has_its_reason(nerfstudio_set: Writer, tmp_path: Path) -> None:
    scene = load(nerfstudio_set(), "nerfstudio")  # 14,400 bytes of pixels
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, hard))
    try:
        with pytest.raises(UserError, match="the file would pass the limit on file sizes"):
            scene.save(tmp_path / "scene")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "scene").exists()


def test_colmap_scene_uses_its_points(colmap_set: Writer) -> None:
    scene = load(colmap_set(), "colmap")
    assert len(scene.train) + len(scene.test) == 9 and scene.space.kind == "contraction"
    assert any("from the nearest points" in line for line in scene.log)


def test_photos_need_a_model(colmap_set: Writer) -> None:
    root = colmap_set()
    with pytest.raises(UserError, match="run structure from motion first"):
        load(root / "images", "photos")
    scene = import_scene(
        root / "images", "photos", SceneSettings(), name="toy", sfm_model=root / "sparse" / "0"
    )
    assert len(scene.names) == 9


def test_excluded_views_are_gone(nerfstudio_set: Writer, tmp_path: Path) -> None:
    (tmp_path / "exclude.txt").write_text("0003.jpg\nimages/0007.jpg\nabsent.jpg\n")
    scene = load(nerfstudio_set(), "nerfstudio", exclude=str(tmp_path / "exclude.txt"))
    kept = [i for i in range(10) if i not in (3, 7)]
    assert scene.names == tuple(f"images/{i:04d}.jpg" for i in kept)
    assert any(line.startswith("Excluded: 2 views by the 3 names") for line in scene.log)


def test_user_masks_are_read(nerfstudio_set: Writer, tmp_path: Path) -> None:
    root = nerfstudio_set()
    for i in range(10):
        mask = np.full((20, 24), 255, np.uint8)
        mask[:, :i] = 0
        (tmp_path / "masks" / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "masks" / "images" / f"{i:04d}.png")
    scene = load(root, "nerfstudio", masks=str(tmp_path / "masks"))
    assert scene.masks is not None and scene.masks.shape == (10, 20, 24)
    assert [int((mask[0] == 0).sum()) for mask in scene.masks] == list(range(10))


def test_pixels_behind_a_lens_fold_are_masked(nerfstudio_set: Writer) -> None:
    scene = load(nerfstudio_set(k1=-1.5, k2=0.0), "nerfstudio")
    assert scene.masks is not None
    assert scene.masks[0, 10, 11] == 255 and scene.masks[0, 0, 0] == 0
    assert any("folds back" in line for line in scene.log)


def test_mixed_alpha_becomes_rgba(blender_set: Writer) -> None:
    root = blender_set()
    Image.new("RGB", (16, 16), (9, 8, 7)).save(root / "train" / "r_1.png")
    scene = load(root, "blender")
    assert scene.images[scene.names.index("train/r_1.png"), 0, 0].tolist() == [9, 8, 7, 255]


def test_names_sort_the_views(nerfstudio_set: Writer, edit: Editor) -> None:
    root = nerfstudio_set()
    before = load(root, "nerfstudio")
    edit(root / "transforms.json", lambda data: data["frames"].reverse())
    after = load(root, "nerfstudio")
    assert before.names == after.names and before.test == after.test
    np.testing.assert_array_equal(before.images, after.images)


def truncate(root: Path) -> None:
    file = root / "images" / "0004.jpg"
    file.write_bytes(file.read_bytes()[:400])


def resize(root: Path) -> None:
    Image.new("RGB", (48, 40)).save(root / "images" / "0004.jpg")


def reshape(root: Path) -> None:
    Image.new("RGB", (20, 24)).save(root / "images" / "0004.jpg")


def keep(count: int) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        data = json.loads((root / "transforms.json").read_text())
        data["frames"] = data["frames"][:count]
        (root / "transforms.json").write_text(json.dumps(data))

    return change


MISTAKES: list[tuple[Callable[[Path], None], str]] = [
    (truncate, r"images/0004\.jpg: truncated or damaged"),
    (resize, r"images/0004\.jpg: has 48 x 40 pixels, but images/0000\.jpg has 24 x 20"),
    (reshape, r"images/0004\.jpg: the image has 20 x 24 pixels, its camera 24 x 20"),
    (keep(0), "lists no frames"),
    (keep(1), "holds 1 usable image"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES)
def test_mistakes_are_one_line(
    nerfstudio_set: Writer, change: Callable[[Path], None], message: str
) -> None:
    root = nerfstudio_set()
    change(root)
    with pytest.raises(UserError, match=message) as caught:
        load(root, "nerfstudio")
    assert "\n" not in str(caught.value)


def test_no_data_set_no_format_no_pixels(nerfstudio_set: Writer, tmp_path: Path) -> None:
    root = nerfstudio_set()
    with pytest.raises(UserError, match="no such data set"):
        load(tmp_path / "absent", "blender")
    with pytest.raises(UserError, match="unknown format 'llff'"):
        load(root, "llff")
    with pytest.raises(UserError, match=r"scene\.downscale: 30 leaves no pixels"):
        load(root, "nerfstudio", downscale=30)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no photo"):
        import_scene(
            tmp_path / "empty", "photos", SceneSettings(), name="x", sfm_model=tmp_path / "sfm"
        )


def test_a_missing_mask_is_one_line(nerfstudio_set: Writer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no mask for images/0000\.jpg"):
        load(nerfstudio_set(), "nerfstudio", masks=str(tmp_path))
