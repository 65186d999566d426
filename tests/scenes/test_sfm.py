"""Structure from motion: a room seen by known cameras, and everything that can be wrong."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from textured_room import room_cameras, room_photos, static

from dac.errors import UserError
from dac.scenes.formats.colmap_model import ColmapModel, read_model
from dac.scenes.sfm.inputs import check_sizes, chosen_photos, colmap_folder, decode_photos
from dac.scenes.sfm.pairs import best_pairs, can_list, coarsest
from dac.scenes.sfm.pycolmap_loader import count_rows, load_pycolmap, told_progress
from dac.scenes.sfm.reconstruct import run_sfm
from dac.settings import SfmSettings

Array = NDArray[np.float64]
SETTINGS = SfmSettings(max_features=800, camera_model="SIMPLE_RADIAL")
VIEWS = 8


def poses_of(model: ColmapModel) -> dict[str, Array]:
    """(3, 4) world-from-camera poses by name."""
    poses = {}
    for image in model.images.values():
        rotation = image.cam_from_world[:, :3].T
        poses[image.name] = np.column_stack([rotation, -rotation @ image.cam_from_world[:, 3]])
    return poses


def errors_after_alignment(found: Array, truth: Array) -> tuple[Array, Array]:
    """Errors of (N, 3, 4) poses after a similarity that aligns the centres (Umeyama 1991).

    Returns:
        (N,) centre errors in the truth's unit and (N,) rotation errors in degrees.
    """
    a = found[:, :, 3] - found[:, :, 3].mean(axis=0)
    b = truth[:, :, 3] - truth[:, :, 3].mean(axis=0)
    u, values, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    turn = u @ np.diag(signs) @ vt
    scale = (values * signs).sum() / (a**2).sum()
    apart = turn @ found[:, :, :3] @ truth[:, :, :3].transpose(0, 2, 1)
    cosine = (np.trace(apart, axis1=1, axis2=2) - 1) / 2
    return (
        np.linalg.norm(scale * a @ turn.T - b, axis=1),
        np.degrees(np.arccos(cosine.clip(-1, 1))),
    )


def save_all(folder: Path, photos: dict[str, Image.Image]) -> Path:
    for name, photo in photos.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        photo.save(folder / name)
    return folder


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos/`, and with `work/` and `out/` of a run."""
    folder = tmp_path_factory.mktemp("room")
    photos = room_photos(room_cameras(VIEWS))
    save_all(
        folder / "photos", {f"{i}.png": Image.fromarray(photo) for i, photo in enumerate(photos)}
    )
    with pytest.MonkeyPatch.context() as patch:
        # Ask for progress all the time: counting must not disturb the writing.
        patch.setattr("dac.scenes.sfm.pycolmap_loader._SECONDS_BETWEEN_LINES", 0.01)
        run_sfm(folder / "photos", SETTINGS, folder / "out", folder / "work", threads=2)
    return folder


def test_cameras_of_the_room_are_found(room: Path) -> None:
    model = read_model(room / "out")
    poses = poses_of(model)
    assert sorted(poses) == [f"{i}.png" for i in range(VIEWS)]
    truth = room_cameras(VIEWS)
    centre, angle = errors_after_alignment(
        np.stack([poses[f"{i}.png"] for i in range(VIEWS)]), truth.world_from_camera.numpy()
    )
    # The centres alone align: on an arc they leave the turn about it to a few tenths of a degree.
    assert centre.max() < 0.01 and angle.max() < 0.8
    (camera,) = model.cameras.values()
    assert camera.params[0] == pytest.approx(256.0, rel=0.02)
    assert (model.rgb.std(axis=0) > 5).all()


def test_report_and_files(room: Path) -> None:
    names = {file.name for file in (room / "out").iterdir()}
    assert names == {"cameras.bin", "images.bin", "points3D.bin", "report.json"}
    report = json.loads((room / "out" / "report.json").read_text())
    assert (report["images"], report["registered"], report["unregistered"]) == (VIEWS, VIEWS, [])
    assert report["models"] == [VIEWS]
    assert report["points"] == len(read_model(room / "out").xyz) > 200
    assert report["mean_reprojection_error"] < 0.5 and report["mean_track_length"] > 2
    assert set(report["seconds"]) == {"reading", "features", "matches", "mapping"}
    assert report["cameras"][0]["model"] == "SIMPLE_RADIAL"
    assert report["log"] == [
        "Matched all 28 pairs of 8 photos.",
        "Structure from motion made one model, of 8 of 8 photos.",
    ]


def test_second_run_takes_the_database_over(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pycolmap = load_pycolmap()
    for name in ("extract_features", "match_exhaustive", "match_sequential"):
        monkeypatch.setattr(pycolmap, name, None)
    settings = SETTINGS.model_copy(update={"mapping": "global"})
    report = run_sfm(room / "photos", settings, tmp_path / "out", room / "work", threads=2)
    assert report["log"][:2] == [
        "Features were extracted by an earlier run.",
        "Features were matched by an earlier run.",
    ]
    assert report["registered"] == VIEWS
    poses = poses_of(read_model(tmp_path / "out"))
    centre, angle = errors_after_alignment(
        np.stack([poses[f"{i}.png"] for i in range(VIEWS)]),
        room_cameras(VIEWS).world_from_camera.numpy(),
    )
    assert centre.max() < 0.02 and angle.max() < 0.8


def test_progress_is_told(
    room: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    database = room / "work" / "database.db"
    assert count_rows(database, "keypoints") == VIEWS
    assert count_rows(room / "no.db", "keypoints") is None
    counts = iter([2, None, 2, 5, *[8] * 1000])
    monkeypatch.setattr("dac.scenes.sfm.pycolmap_loader._SECONDS_BETWEEN_LINES", 0.01)
    monkeypatch.setattr("dac.scenes.sfm.pycolmap_loader.count_rows", lambda *_: next(counts))
    with (
        caplog.at_level(logging.INFO, "dac.sfm"),
        told_progress(database, "keypoints", "photos have features", VIEWS),
    ):
        while len(caplog.messages) < 3:
            time.sleep(0.01)
    assert caplog.messages[0] == "2 photos have features"
    assert caplog.messages[1] == "5 of 8 photos have features, about 0 s left"


class ReachedError(Exception):
    """Raised in place of a long step."""


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"max_features": 801}, "extract_features"),
        ({"camera_model": "OPENCV"}, "extract_features"),
        ({"matching": "sequential"}, "match_sequential"),
        ({"seed": 1}, "match_exhaustive"),
        ({"mapping": "global"}, "calibrate_view_graph"),
        ({"minimum_registered": 0.1}, "incremental_mapping"),
    ],
)
def test_what_changed_runs_again(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, step: str
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for name in ("database.db", "state.json"):
        (work / name).write_bytes((room / "work" / name).read_bytes())

    def reach(*_: object, **__: object) -> None:
        raise ReachedError(step)

    pycolmap = load_pycolmap()
    steps = ("extract_features", "match_exhaustive", "match_sequential", "calibrate_view_graph")
    for name in (*steps, "incremental_mapping"):
        monkeypatch.setattr(pycolmap, name, reach if name == step else None)
    settings = SETTINGS.model_copy(update=change)
    with pytest.raises(ReachedError):
        run_sfm(room / "photos", settings, tmp_path / "out", work, threads=1)
    assert not (tmp_path / "out").exists()


def test_a_changed_photo_starts_over(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for name in ("database.db", "state.json"):
        (work / name).write_bytes((room / "work" / name).read_bytes())
    photos = save_all(
        tmp_path / "photos",
        {f"{i}.png": Image.open(room / "photos" / f"{i}.png") for i in range(VIEWS)},
    )
    static(99, 320, 240).save(photos / "3.png")

    def reach(database: Path, *_: object, **__: object) -> None:
        assert not database.exists()
        raise ReachedError

    monkeypatch.setattr(load_pycolmap(), "extract_features", reach)
    with pytest.raises(ReachedError):
        run_sfm(photos, SETTINGS, tmp_path / "out", work, threads=1)


def test_too_few_registered(tmp_path: Path) -> None:
    width, height = 200, 150
    seen = room_photos(room_cameras(3, width, height))
    photos = {f"room/{i}.png": Image.fromarray(photo) for i, photo in enumerate(seen)}
    photos |= {f"static/{i:02}.png": static(100 + i, width, height) for i in range(17)}
    folder = save_all(tmp_path / "photos", photos)
    with pytest.raises(UserError) as caught:
        run_sfm(folder, SETTINGS, tmp_path / "out", tmp_path / "work", threads=2)
    assert str(caught.value) == (
        f"{folder}: structure from motion registered 3 of 20 photos, fewer than the 10 that "
        "sfm.minimum_registered asks for; not registered: static/00.png, static/01.png, "
        "static/02.png, static/03.png, static/04.png and 12 more; try sharper photos with more "
        "overlap, sfm.matching: sequential (for a video's frames), more sfm.max_features"
    )
    assert not (tmp_path / "out").exists()


def test_promising_pairs_are_enough(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dac.scenes.sfm.reconstruct._ALL_PAIRS_UP_TO", 4)
    monkeypatch.setattr("dac.scenes.sfm.pairs.BEST", 3)
    work = tmp_path / "work"
    work.mkdir()
    (work / "database.db").write_bytes((room / "work" / "database.db").read_bytes())
    state = json.loads((room / "work" / "state.json").read_text())
    state = {key: state[key] for key in ("features", "extracted")}  # matches are made again
    (work / "state.json").write_text(json.dumps(state))
    report = run_sfm(room / "photos", SETTINGS, tmp_path / "out", work, threads=2)
    assert report["registered"] == VIEWS
    pairs = [tuple(line.split()) for line in (work / "pairs.txt").read_text().splitlines()]
    assert VIEWS * 3 / 2 <= len(set(pairs)) == len(pairs) < 28
    # Cameras stand on an arc: the most alike photos are neighbours.
    steps = [abs(int(first[0]) - int(second[0])) for first, second in pairs]
    assert max(steps) <= 4 and steps.count(1) == VIEWS - 1
    assert f"matched {len(pairs)} in full" in report["log"][1]

    # Killed while it matched: the pairs are not sought again.
    state = json.loads((work / "state.json").read_text())
    (work / "state.json").write_text(json.dumps({k: v for k, v in state.items() if k != "matched"}))
    monkeypatch.setattr("dac.scenes.sfm.reconstruct.promising_pairs", None)
    shutil.rmtree(work / "finished")
    again = run_sfm(room / "photos", SETTINGS, tmp_path / "again", work, threads=2)
    assert again["registered"] == VIEWS and again["log"] == report["log"]


def test_best_pairs_by_hand() -> None:
    alike = {(1, 2): 9, (1, 3): 8, (2, 3): 7, (3, 4): 3, (1, 4): 2}
    assert best_pairs(alike, 1) == [(1, 2), (1, 3), (3, 4)]
    assert best_pairs(alike, 2) == [(1, 2), (1, 3), (2, 3), (3, 4)]
    assert best_pairs({}, 3) == []


def test_coarsest_features() -> None:
    shapes = np.zeros((4, 6), np.float32)
    shapes[:, 2] = shapes[:, 5] = [1, 3, 2, 0.5]  # scales, each turned by 30 degrees
    turned = np.radians(30)
    shapes[:, 3] = -shapes[:, 2] * np.sin(turned)
    shapes[:, 4] = shapes[:, 2] * np.sin(turned)
    shapes[:, [2, 5]] *= np.cos(turned)
    assert coarsest(shapes, 2).tolist() == [1, 2]
    assert coarsest(shapes, 9).tolist() == [1, 2, 0, 3]


def test_names_with_spaces_cannot_be_listed() -> None:
    assert can_list(["a.jpg", "b/c.jpg"])
    assert not can_list(["a.jpg", "b c.jpg"])


@pytest.mark.slow
def test_largest_of_two_models_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    photos = {}
    for name, seed, count in (("large", 0, 6), ("small", 50, 4)):
        for i, photo in enumerate(room_photos(room_cameras(count), seed)):
            photos[f"{name}/{i}.png"] = Image.fromarray(photo)
    folder = save_all(tmp_path / "photos", photos)
    settings = SETTINGS.model_copy(update={"matching": "sequential", "camera": "per-folder"})
    with caplog.at_level(logging.INFO, "dac.sfm"):
        report = run_sfm(folder, settings, tmp_path / "out", tmp_path / "work", threads=2)
    assert report["models"] == [6, 4] and report["registered"] == 6
    assert report["unregistered"] == [f"small/{i}.png" for i in range(4)]
    kept = "Structure from motion made 2 models, of 6, 4 photos: kept the largest, 6 of 10 photos."
    assert kept in report["log"] and kept in caplog.messages
    assert sorted(poses_of(read_model(tmp_path / "out"))) == [f"large/{i}.png" for i in range(6)]


def grey(width: int = 8, height: int = 6) -> Image.Image:
    return Image.new("RGB", (width, height), (100, 110, 120))


def refused(folder: Path, tmp_path: Path, settings: SfmSettings = SETTINGS, **more: Any) -> str:
    """The message of a run that fails and leaves no output."""
    with pytest.raises(UserError) as caught:
        run_sfm(folder, settings, tmp_path / "out", tmp_path / "work", threads=1, **more)
    assert not (tmp_path / "out").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_folder_no_photo_one_photo(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    assert refused(folder, tmp_path) == f"{folder}: no such folder; check the path"
    folder.mkdir()
    (folder / "notes.txt").write_text("no photo")
    assert refused(folder, tmp_path).startswith(f"{folder}: holds no photos; they end in .jpg, ")
    save_all(folder, {"a.png": grey()})
    two = "structure from motion needs two, better twenty"
    assert refused(folder, tmp_path) == f"{folder}: holds one photo; {two}"
    save_all(folder, {"b.png": grey(), "c.png": grey()})
    message = refused(folder, tmp_path, exclude=("b.png", "c.png"))
    assert message == f"{folder}: holds one photo but for 2 excluded; {two}"


def test_hidden_and_excluded_photos_are_left_out(tmp_path: Path) -> None:
    names = ["b/1.JPG", "a.png", ".hidden.png", "b/2.jpg", "c.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert chosen_photos(tmp_path, ["a.png", "not there.png"]) == ["b/1.JPG", "b/2.jpg"]


def test_truncated_photo(tmp_path: Path) -> None:
    folder = save_all(tmp_path / "photos", {"a.jpg": static(1, 64, 64), "b.jpg": grey(64, 64)})
    whole = (folder / "a.jpg").read_bytes()
    (folder / "a.jpg").write_bytes(whole[: len(whole) // 2])
    assert refused(folder, tmp_path).startswith(f"{folder / 'a.jpg'}: truncated or damaged")


def test_photos_of_two_sizes(tmp_path: Path) -> None:
    folder = save_all(
        tmp_path / "photos", {"a.png": grey(), "b.png": grey(), "sub/c.png": grey(6, 8)}
    )
    assert refused(folder, tmp_path).startswith(
        f"{folder}: a.png has 8 x 6 pixels but sub/c.png has 6 x 8, and sfm.camera single"
    )
    photos = decode_photos(folder, chosen_photos(folder, []))
    check_sizes(folder, photos, "per-folder")
    save_all(folder, {"sub/d.png": grey()})
    per_folder = SETTINGS.model_copy(update={"camera": "per-folder"})
    assert refused(folder, tmp_path, per_folder).startswith(
        f"{folder}: sub/c.png has 6 x 8 pixels but sub/d.png has 8 x 6, and sfm.camera per-folder"
    )


def test_no_room_for_the_output(tmp_path: Path) -> None:
    folder = save_all(tmp_path / "photos", {"a.png": grey(), "b.png": grey()})
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="a file stands where a folder is needed"):
        run_sfm(folder, SETTINGS, tmp_path / "out", tmp_path / "file" / "work", threads=1)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_colmap_sees_upright_pixels(tmp_path: Path, orientation: int, suffix: str) -> None:
    from PIL import ImageOps

    stored = static(orientation, 40, 30)
    exif = stored.getexif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0x920A] = 35.0  # focal length
    exif.get_ifd(0x8769)[0xA405] = 35  # the same on 35 mm film
    folder, work = tmp_path / "photos", tmp_path / "work"
    save_all(folder, {f"sub/upright.{suffix}": static(0, 40, 30)})
    stored.save(folder / f"turned.{suffix}", exif=exif)
    photos = decode_photos(folder, chosen_photos(folder, []))
    seen = colmap_folder(folder, photos, work)
    assert seen == work / "upright"
    bitmap = load_pycolmap().Bitmap
    for photo in photos:
        with Image.open(folder / photo.name) as image:
            expected = np.asarray(ImageOps.exif_transpose(image))
        found = bitmap.read(seen / photo.name, True).to_array()
        assert found.shape == expected.shape == (photo.height, photo.width, 3)
        if photo.name.startswith("turned") or suffix == "png":
            np.testing.assert_array_equal(found, expected)
    focal = bitmap.read(seen / f"turned.{suffix}", True).exif_focal_length()
    assert focal == bitmap.read(folder / f"turned.{suffix}", True).exif_focal_length() > 0


def test_upright_photos_are_used_where_they_are(tmp_path: Path) -> None:
    folder = save_all(tmp_path / "photos", {"a.png": grey(), "b.png": grey()})
    photos = decode_photos(folder, ["a.png", "b.png"])
    assert colmap_folder(folder, photos, tmp_path / "work") == folder


def test_webp_is_converted(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    static(3, 40, 30).save(folder / "a.webp", lossless=True)
    seen = colmap_folder(folder, decode_photos(folder, ["a.webp"]), tmp_path / "work")
    found = load_pycolmap().Bitmap.read(seen / "a.webp", True).to_array()
    np.testing.assert_array_equal(found, np.asarray(static(3, 40, 30)))


@pytest.fixture
def data() -> Path:
    if "DAC_DATA" not in os.environ:
        pytest.skip("DAC_DATA is not set")
    return Path(os.environ["DAC_DATA"])


@pytest.mark.data
@pytest.mark.slow
def test_fountain_is_within_two_centimetres(data: Path, tmp_path: Path) -> None:
    root = data / "fountain_p11"
    run_sfm(root / "images", SfmSettings(), tmp_path / "out", tmp_path / "work", threads=2)
    poses = poses_of(read_model(tmp_path / "out"))
    assert len(poses) == 11
    truth = []
    for name in poses:
        # 3 x 3 intrinsics, 3 of distortion, 3 x 3 camera-to-world rotation, centre, size.
        numbers = (root / "gt_dense_cameras" / f"{name}.camera").read_text().split()
        values = np.array(numbers, np.float64)
        truth.append(np.column_stack([values[12:21].reshape(3, 3), values[21:24]]))
    centre, angle = errors_after_alignment(np.stack(list(poses.values())), np.stack(truth))
    assert centre.max() < 0.02 and angle.max() < 1.0


@pytest.mark.data
@pytest.mark.slow
def test_fox_is_registered_whole(data: Path, tmp_path: Path) -> None:
    exclude = (data / "fox" / "extra17_from_history_3aeb1cf.txt").read_text().split()
    report = run_sfm(
        data / "fox" / "images",
        SfmSettings(max_image_size=960, max_features=2048),
        tmp_path / "out",
        tmp_path / "work",
        threads=2,
        exclude=exclude,
    )
    assert report["images"] == report["registered"] == 50
