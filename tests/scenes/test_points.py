"""Sparse points: files, tracks of models, triangulation against known surfaces."""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from textured_room import distance_to_room, room_cameras, room_photos

from dac.cameras import Cameras
from dac.errors import UserError
from dac.scenes.formats.colmap_model import ColmapCamera, ColmapImage, ColmapModel, read_model
from dac.scenes.points import Points, points_from_model, triangulate, triangulate_scene
from dac.scenes.scene import Scene, Space
from dac.scenes.sfm.pycolmap_loader import load_pycolmap
from dac.scenes.sfm.triangulation import epipolar_error, ideal_pixels, near_pairs
from dac.settings import PointsSettings

Array = NDArray[np.float64]
SIMILARITY = np.array([[0, -2, 0, 0.5], [2, 0, 0, -1], [0, 0, 2, 3], [0, 0, 0, 1.0]])


def scene_of(
    names: tuple[str, ...],
    cameras: Cameras | None = None,
    images: NDArray[np.uint8] | None = None,
    train: tuple[int, ...] | None = None,
    world_from_data: Array | None = None,
    masks: NDArray[np.uint8] | None = None,
) -> Scene:
    cameras = room_cameras(len(names), 8, 6) if cameras is None else cameras
    blank = np.zeros((len(names), cameras.height, cameras.width, 3), np.uint8)
    return Scene(
        name="scene",
        names=names,
        cameras=cameras,
        images=blank if images is None else images,
        masks=masks,
        train=tuple(range(len(names))) if train is None else train,
        test=(),
        background="white",
        space=Space("box", ((-1.0,) * 3, (1.0,) * 3), 0.1, 10.0),
        world_from_data=np.eye(4) if world_from_data is None else world_from_data,
    )


def model_of(
    names: dict[int, str], tracks: list[list[int]], xyz: Array | None = None
) -> ColmapModel:
    pose = np.eye(4)[:3]
    points = np.arange(3.0 * len(tracks)).reshape(-1, 3) if xyz is None else xyz
    return ColmapModel(
        cameras={1: ColmapCamera("PINHOLE", 8, 6, (5.0, 5.0, 4.0, 3.0))},
        images={i: ColmapImage(name, 1, pose) for i, name in names.items()},
        xyz=points,
        rgb=np.arange(3 * len(tracks), dtype=np.uint8).reshape(-1, 3),
        errors=np.arange(len(tracks)) / 4,
        track_offsets=np.cumsum([0, *map(len, tracks)]).astype(np.int64),
        track_image_ids=np.array([i for track in tracks for i in track], np.int64),
    )


def tracks_of(points: Points) -> list[list[int]]:
    return [track.tolist() for track in np.split(points.views, points.offsets[1:-1])]


def test_tracks_become_views() -> None:
    # Ids are neither ordered nor contiguous; image 9 is no view of the scene; 7 comes twice.
    model = model_of(
        {70: "b.png", 7: "c.png", 1000: "a.png", 9: "other.png"},
        [[7, 1000, 7], [9, 9], [70], [1000, 9, 70, 7], [9]],
    )
    points = points_from_model(
        model, scene_of(("a.png", "b.png", "c.png"), world_from_data=SIMILARITY)
    )
    assert tracks_of(points) == [[0, 2], [1], [0, 1, 2]]
    kept = [0, 2, 3]
    np.testing.assert_array_equal(points.rgb, model.rgb[kept])
    np.testing.assert_array_equal(points.error, model.errors[kept].astype(np.float32))
    expected = [SIMILARITY[:3] @ [*model.xyz[i], 1.0] for i in kept]
    np.testing.assert_allclose(points.xyz, expected)
    dtypes = (points.xyz.dtype, points.rgb.dtype, points.offsets.dtype, points.views.dtype)
    assert dtypes == (np.float32, np.uint8, np.int64, np.int32)


def test_tracks_against_a_slow_loop() -> None:
    for seed in range(20):
        random = np.random.default_rng(seed)
        ids = random.choice(500, random.integers(2, 12), replace=False).tolist()
        names = {i: f"{i}.png" for i in ids}
        views = random.permutation([f"{i}.png" for i in ids[: len(ids) - 1]]).tolist()
        tracks = [random.choice(ids, random.integers(0, 6)).tolist() for _ in range(30)]
        model, scene = model_of(names, tracks), scene_of(tuple(views))
        slow = [sorted({views.index(names[i]) for i in t if names[i] in views}) for t in tracks]
        points = points_from_model(model, scene)
        assert tracks_of(points) == [track for track in slow if track]
        seen = [i for i, track in enumerate(slow) if track]
        np.testing.assert_array_equal(points.xyz, model.xyz[seen].astype(np.float32))


def test_synthetic_model_of_pycolmap(tmp_path: Path) -> None:
    pycolmap = load_pycolmap()
    pycolmap.set_random_seed(3)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 2, 4, 60
    options.track_length = 4
    truth = pycolmap.synthesize_dataset(options)
    truth.write_binary(tmp_path)
    names = sorted(image.name for image in truth.images.values())[1:]
    points = points_from_model(read_model(tmp_path), scene_of(tuple(names)))
    expected = {}
    for point in truth.points3D.values():
        seen = {truth.images[e.image_id].name for e in point.track.elements} & set(names)
        if seen:
            expected[tuple(np.float32(point.xyz).tolist())] = sorted(map(names.index, seen))
    found = dict(zip(map(tuple, points.xyz.tolist()), tracks_of(points), strict=True))
    assert found == expected and len(found) > 50


def test_model_without_tracks_keeps_its_points() -> None:
    points = points_from_model(model_of({4: "a.png"}, [[], []]), scene_of(("a.png",)))
    assert len(points) == 2 and len(points.views) == 0
    np.testing.assert_array_equal(points.offsets, [0, 0, 0])


def test_model_of_other_images_is_refused() -> None:
    with pytest.raises(UserError, match=r"^scene: no image of the sparse model is a view"):
        points_from_model(model_of({4: "x.png"}, [[4]]), scene_of(("a.png",)))


def some_points() -> Points:
    model = model_of({1: "a.png", 2: "b.png"}, [[1, 2], [2], [1]])
    return points_from_model(model, scene_of(("a.png", "b.png")))


def test_points_file_round_trip(tmp_path: Path) -> None:
    path, points = tmp_path / "points" / "points.npz", some_points()
    points.save(path)
    loaded = Points.load(path)
    for name in ("xyz", "rgb", "offsets", "views", "error"):
        saved, read = getattr(points, name), getattr(loaded, name)
        assert saved.dtype == read.dtype
        np.testing.assert_array_equal(saved, read)
    assert [file.name for file in path.parent.iterdir()] == ["points.npz"]


def test_damaged_points_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "points.npz"
    with pytest.raises(UserError, match="holds no points"):
        Points.load(path)
    some_points().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="holds no points"):
        Points.load(path)
    np.savez(path, xyz=np.zeros((2, 3)))
    with pytest.raises(UserError, match="holds no points"):
        Points.load(path)
    good = some_points()
    arrays = {name: getattr(good, name) for name in ("xyz", "rgb", "offsets", "views", "error")}
    np.savez(path, **(arrays | {"offsets": arrays["offsets"][:-1]}))
    with pytest.raises(UserError, match="don't belong together"):
        Points.load(path)
    np.savez(path, **(arrays | {"xyz": np.array([{}] * 3, dtype=object)}))
    with pytest.raises(UserError, match="holds no points"):
        Points.load(path)


LENSES = {
    "ideal": ("perspective", (0.0,) * 6),
    "distorted": ("perspective", (-0.12, 0.03, 0.002, -0.001, 0.005, 0.001)),
    "fisheye": ("fisheye", (-0.04, 0.01, 0.0, 0.0, -0.002, 0.0005)),
}


@pytest.mark.parametrize("lens", LENSES)
def test_triangulated_points_lie_on_the_walls(lens: str, tmp_path: Path) -> None:
    model, distortion = LENSES[lens]
    cameras = room_cameras(7, 200, 150, model, distortion)
    photos = room_photos(cameras)
    train = (0, 1, 2, 4, 5, 6)
    scene = scene_of(tuple(f"{i}.png" for i in range(7)), cameras, photos, train)
    points = triangulate(scene, PointsSettings(neighbours=4), tmp_path)
    assert len(points) > 150
    distance = distance_to_room(points.xyz.astype(np.float64))
    assert np.median(distance) < 0.01 and np.quantile(distance, 0.95) < 0.06
    assert points.error.mean() < 0.6
    tracks = tracks_of(points)
    assert all(track == sorted(set(track)) and len(track) >= 2 for track in tracks)
    assert set(points.views.tolist()) == set(train)
    colours = points.rgb.astype(np.float64)
    for view in train:
        seen = [i for i, track in enumerate(tracks) if view in track]
        pixels, _ = cameras.project(view, torch.from_numpy(points.xyz[seen]))
        x, y = pixels.numpy().T
        assert ((x > -2) & (x < 202) & (y > -2) & (y < 152)).all()
        there = photos[view, y.astype(int).clip(0, 149), x.astype(int).clip(0, 199)]
        assert np.abs(there - colours[seen]).mean() < 12


def test_alpha_and_masks_bound_the_features(tmp_path: Path) -> None:
    cameras = room_cameras(6, 200, 150)
    photos = room_photos(cameras)
    inside = np.zeros(photos.shape[:3], bool)
    inside[:, 30:120, 40:160] = True
    names = tuple(f"{i}.png" for i in range(6))
    rgba = np.concatenate([photos, inside[..., None] * np.uint8(255)], axis=3)
    settings = PointsSettings(neighbours=3)
    by_alpha = triangulate(scene_of(names, cameras, rgba), settings, tmp_path / "alpha")
    masks = inside * np.uint8(255)
    by_mask = triangulate(scene_of(names, cameras, photos, masks=masks), settings, tmp_path / "m")
    for points in (by_alpha, by_mask):
        assert len(points) > 30
        for view in range(6):
            seen = [i for i, track in enumerate(tracks_of(points)) if view in track]
            x, y = cameras.project(view, torch.from_numpy(points.xyz[seen]))[0].numpy().T
            assert ((x > 38) & (x < 162) & (y > 28) & (y < 122)).all()


def test_nothing_to_triangulate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ("a.png", "b.png", "c.png")
    flat = scene_of(names, room_cameras(3, 64, 48), np.full((3, 48, 64, 3), 90, np.uint8))
    with caplog.at_level(logging.WARNING, "dac.points"):
        assert len(triangulate(flat, PointsSettings(), tmp_path)) == 0
    assert "no point could be triangulated from 3 views" in caplog.text
    with pytest.raises(UserError, match=r"^scene: one training view; triangulation needs two"):
        triangulate(scene_of(names, train=(1,)), PointsSettings(), tmp_path)


def test_a_finished_triangulation_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cameras = room_cameras(4, 60, 45)
    scene_of(("a", "b", "c", "d"), cameras, room_photos(cameras)).save(tmp_path / "scene")
    settings, out, work = PointsSettings(max_features=64), tmp_path / "points", tmp_path / "work"
    triangulate_scene(tmp_path / "scene", settings, out, work)
    before = (out / "points.npz").read_bytes()
    assert len(Points.load(out / "points.npz")) > 0
    monkeypatch.setattr("dac.scenes.points.triangulate_tracks", None)
    (out / "points.npz").unlink()
    triangulate_scene(tmp_path / "scene", settings, out, work)
    assert (out / "points.npz").read_bytes() == before
    more = settings.model_copy(update={"max_features": 65})
    with pytest.raises(TypeError, match="not callable"):
        triangulate_scene(tmp_path / "scene", more, out, work)


def test_no_room_is_said_before_any_feature_is_sought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cameras = room_cameras(4, 60, 45)
    scene = scene_of(("a", "b", "c", "d"), cameras, room_photos(cameras))
    usage = shutil.disk_usage(tmp_path)._replace(free=100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match="of disk space"):
        triangulate(scene, PointsSettings(max_features=64), tmp_path)


def test_few_points_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cameras = room_cameras(4, 60, 45)
    scene = scene_of(("a", "b", "c", "d"), cameras, room_photos(cameras))
    with caplog.at_level(logging.WARNING, "dac.points"):
        points = triangulate(scene, PointsSettings(max_features=64), tmp_path)
    assert 1 <= len(points) < 50
    assert re.search(r"scene: only \d+ points could be triangulated", caplog.text)


def test_epipolar_error() -> None:
    baseline = np.array([2.0, 0, 0])
    ray = np.array([[0.0, 0, 1]])
    for angle in (0.0, 0.01, 0.3):
        # The second ray leaves the plane y = 0 by `angle`, turned within it by 0.4.
        other = np.array([[-np.sin(0.4) * np.cos(angle), np.sin(angle), np.cos(0.4)]])
        other[0, 2] *= np.cos(angle)
        first_off = np.arcsin(np.abs(other[0, 1]))
        found = epipolar_error(baseline, ray, other)[0]
        assert found >= first_off - 1e-12
        assert found == pytest.approx(epipolar_error(-baseline, other, ray)[0], abs=1e-12)
        if angle == 0.0:
            assert found == pytest.approx(0.0, abs=1e-12)
    along = np.array([[1.0, 0, 0]])
    assert np.isinf(epipolar_error(baseline, along, ray)[0])


@pytest.mark.parametrize("model", ["perspective", "fisheye"])
def test_ideal_pixels_are_those_of_a_lens_without_distortion(model: str) -> None:
    cameras = room_cameras(3, 200, 150, model)
    random = np.random.default_rng(0)
    pixels = random.uniform([0, 0], [200, 150], (50, 2))
    x, y = torch.from_numpy(pixels).unbind(1)
    _, rays = cameras.rays(torch.full((50,), 2), x, y)
    found = ideal_pixels(cameras, 2, rays.double().numpy())
    np.testing.assert_allclose(found, pixels, atol=1e-3)


def test_near_pairs_on_a_ring() -> None:
    count = 12
    angle = 2 * np.pi * np.arange(count) / count
    poses = np.zeros((count, 3, 4))
    for i, a in enumerate(angle):
        forward = -np.array([np.cos(a), np.sin(a), 0])
        right = np.cross(forward, [0, 0, 1.0])
        centre = -3 * forward
        poses[i] = np.column_stack([right, np.cross(forward, right), forward, centre])
    lens = torch.tensor([[50.0, 50, 32, 24]], dtype=torch.float64).repeat(count, 1)
    cameras = Cameras("perspective", 64, 48, lens, torch.zeros(count, 6), torch.from_numpy(poses))
    expected = {tuple(sorted((i, (i + k) % count))) for i in range(count) for k in (1, 2)}
    assert near_pairs(cameras, 4) == sorted(expected)
    assert len(near_pairs(cameras, 50)) == count * (count - 1) // 2
    # Two views from one place that look away from each other are not near.
    poses[6, :, 3] = poses[0, :, 3] + 0.01
    turned = Cameras("perspective", 64, 48, lens, torch.zeros(count, 6), torch.from_numpy(poses))
    assert (0, 6) not in near_pairs(turned, 2)
