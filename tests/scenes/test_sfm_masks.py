"""Masks and alpha from photos to a model that trains: what they leave out is never looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy
from numpy.typing import NDArray
from PIL import Image
from test_sfm import errors_after_alignment, poses_of
from textured_room import room_cameras, room_photos, static

from dac.errors import UserError
from dac.scenes.formats.colmap_model import read_model
from dac.scenes.importer import import_scene
from dac.scenes.scene import Scene
from dac.scenes.sfm.inputs import colmap_masks, decode_photos
from dac.scenes.sfm.pycolmap_loader import load_pycolmap
from dac.scenes.sfm.reconstruct import run_sfm
from dac.settings import SceneSettings, SfmSettings
from dac.training.baseline import train_baseline

SETTINGS = SfmSettings(max_features=800, camera_model="SIMPLE_RADIAL")
VIEWS, WIDTH, HEIGHT, BONNET = 6, 320, 240, 150  # rows from here on show the same in all photos
USED = np.arange(HEIGHT)[:, None].repeat(WIDTH, 1) < BONNET


def drive() -> NDArray[np.uint8]:
    """(N, H, W, 3) photos of the room from a car, whose bonnet fills the lower part."""
    photos = room_photos(room_cameras(VIEWS))
    photos[:, BONNET:] = np.asarray(static(7, WIDTH, HEIGHT))[BONNET:]
    return photos


def with_masks(folder: Path) -> Path | None:
    """Photos, and a folder of masks."""
    for i, photo in enumerate(drive()):
        Image.fromarray(photo).save(folder / "photos" / f"{i}.png")
        Image.fromarray((USED * 255).astype(np.uint8)).save(folder / "masks" / f"{i}.png")
    return folder / "masks"


def with_alpha(folder: Path) -> Path | None:
    """Photos with alpha, of which one is stored on its side."""
    for i, photo in enumerate(drive()):
        pixels = np.dstack([photo, USED * np.uint8(255)])
        exif = Image.Exif()
        if i == 2:
            pixels, exif[0x0112] = np.rot90(pixels), 6
        image = Image.fromarray(np.ascontiguousarray(pixels))
        image.save(folder / "photos" / f"{i}.png", exif=exif)
    return None


@pytest.mark.parametrize("write", [with_masks, with_alpha])
def test_from_photos_to_training(write: Callable[[Path], Path | None], tmp_path: Path) -> None:
    for name in ("photos", "masks"):
        (tmp_path / name).mkdir()
    masks, photos = write(tmp_path), tmp_path / "photos"
    model = tmp_path / "sfm"
    report = run_sfm(photos, SETTINGS, model, tmp_path / "work", threads=1, masks=masks)
    assert report["registered"] == VIEWS
    assert "Features were sought only where masks and alpha leave the photos." in report["log"]
    with load_pycolmap().Database.open(tmp_path / "work" / "database.db") as database:
        features = [database.read_keypoints(i) for i in range(1, VIEWS + 1)]
    assert all(len(found) > 100 and found[:, 1].max() < BONNET for found in features)
    poses = poses_of(read_model(model))
    centre, _ = errors_after_alignment(
        np.stack([poses[f"{i}.png"] for i in range(VIEWS)]),
        room_cameras(VIEWS).world_from_camera.numpy(),
    )
    assert centre.max() < 0.02
    settings = SceneSettings(masks=None if masks is None else str(masks), downscale=4)
    import_scene(photos, "photos", settings, name="drive", sfm_model=model).save(tmp_path / "scene")
    scene = Scene.load(tmp_path / "scene")
    first, last = BONNET // 4, BONNET // 4 + 1  # a block between them is used in part
    if masks is None:
        alpha = scene.images[..., 3]
        assert (alpha[:, :first] == 255).all() and (alpha[:, last:] == 0).all()
    else:
        assert scene.masks is not None
        assert (scene.masks[:, :first] == 255).all() and (scene.masks[:, first:] == 0).all()
    # What is left out may show anything: the same model.
    others = np.array(scene.images)
    others[:, last:, :, :3] = np.random.default_rng(0).integers(0, 256, (HEIGHT // 4 - last, 80, 3))
    replace(scene, images=others).save(tmp_path / "other")
    assert trained(tmp_path / "scene") == trained(tmp_path / "other")
    others[:, :first, :, :3] = 255 - others[:, :first, :, :3]
    replace(scene, images=others).save(tmp_path / "inverted")
    assert trained(tmp_path / "scene") != trained(tmp_path / "inverted")


def trained(scene: Path) -> bytes:
    """The model after some steps."""
    train = toy.train_settings(steps=6, rays=64, curve_points=1, curve_rays=64, warmup_steps=1)
    out = scene.with_suffix(".model")
    places = {"out": out, "state": out.with_suffix(".state")}
    train_baseline(scene, toy.model_settings(), train, steps=6, seed=0, **places)
    return (out / "model.safetensors").read_bytes()


def test_masks_and_alpha_are_both_heeded(tmp_path: Path) -> None:
    """A pixel counts where both leave it; photos with neither have no mask."""
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    (photos / "a").mkdir(parents=True)
    masks.mkdir()
    random = np.random.default_rng(0)
    alpha, mask = random.integers(0, 256, (2, 6, 8), np.uint8)
    Image.fromarray(np.dstack([np.zeros((6, 8, 3), np.uint8), alpha])).save(photos / "a" / "1.png")
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(photos / "2.png")
    Image.fromarray(mask).save(masks / "1.png")
    found = decode_photos(photos, ["2.png", "a/1.png"])
    folder = colmap_masks(photos, found, {"a/1.png": masks / "1.png"}, tmp_path / "work")
    assert folder is not None and [f.name for f in folder.rglob("*.png")] == ["1.png.png"]
    made = np.asarray(Image.open(folder / "a" / "1.png.png"))
    np.testing.assert_array_equal(made, 255 * ((alpha >= 128) & (mask >= 128)))
    assert colmap_masks(photos, found[:1], {}, tmp_path / "work") is None
    assert not folder.exists()


def test_wrong_masks_are_one_line(tmp_path: Path) -> None:
    for name in ("photos", "masks"):
        (tmp_path / name).mkdir()
    masks = with_masks(tmp_path)
    assert masks is not None
    arguments = (tmp_path / "photos", SETTINGS, tmp_path / "out", tmp_path / "work")
    Image.new("L", (9, 9)).save(masks / "3.png")
    with pytest.raises(UserError, match=r"3\.png: the mask has 9 x 9 pixels, its image 320 x 240"):
        run_sfm(*arguments, threads=1, masks=masks)
    (masks / "3.png").unlink()
    with pytest.raises(UserError, match=r"masks: holds no mask for 3\.png; add one"):
        run_sfm(*arguments, threads=1, masks=masks)
    assert not (tmp_path / "out").exists()


def test_a_changed_mask_starts_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("photos", "masks"):
        (tmp_path / name).mkdir()
    masks = with_masks(tmp_path)
    assert masks is not None

    class ReachedError(Exception):
        pass

    reached = []

    def extract(*_: object, **__: object) -> None:
        reached.append(True)
        raise ReachedError

    monkeypatch.setattr(load_pycolmap(), "extract_features", extract)
    states = []
    for _ in range(2):
        with pytest.raises(ReachedError):
            run_sfm(
                *(tmp_path / "photos", SETTINGS, tmp_path / "out", tmp_path / "work"),
                threads=1,
                masks=masks,
            )
        states.append((tmp_path / "work" / "state.json").read_text())
        Image.new("L", (WIDTH, HEIGHT), 255).save(masks / "0.png")
    assert len(reached) == 2 and states[0] != states[1]
