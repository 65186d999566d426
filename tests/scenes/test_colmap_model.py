"""COLMAP models: text and binary agree with pycolmap; damage is one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dac.errors import UserError
from dac.scenes.formats.colmap import lens_of, read_colmap
from dac.scenes.formats.colmap_model import ColmapCamera, ColmapModel, read_model

CAMERAS = """# Camera list
5 PINHOLE 32 24 30 31 16 12
2 SIMPLE_RADIAL 32 24 30 16 12 0.05
"""
IMAGES = """# Image list with two lines of data per image
40 1 0 0 0 0.5 -0.25 2 5 b/with space.png
1.5 2.5 100 3 4 -1 5 6 100
7 0.7071067811865476 0 0 0.7071067811865476 1 2 3 2 a.png

300 0 1 0 0 0 0 4 5 c.png
1 1 9
"""
POINTS = """# 3D point list
100 1 2 3 255 0 7 0.5 40 0 40 2 300 0
9 -1 0.5 4 1 2 3 -1 7 0
12 0 0 5 0 0 0 0.25
"""


@pytest.fixture
def text_model(tmp_path: Path) -> Path:
    folder = tmp_path / "text"
    folder.mkdir()
    for name, text in (("cameras", CAMERAS), ("images", IMAGES), ("points3D", POINTS)):
        (folder / f"{name}.txt").write_text(text)
    return folder


def same(a: ColmapModel, b: ColmapModel) -> None:
    assert a.cameras == b.cameras
    assert {i: (x.name, x.camera_id) for i, x in a.images.items()} == {
        i: (x.name, x.camera_id) for i, x in b.images.items()
    }
    for i, image in a.images.items():
        np.testing.assert_allclose(
            image.cam_from_world, b.images[i].cam_from_world, rtol=0, atol=1e-12
        )
    # The order of points is the writer's: sort by place.
    orders = [np.lexsort(model.xyz.T) for model in (a, b)]
    for name in ("xyz", "rgb", "errors"):
        first, second = (getattr(m, name)[o] for m, o in zip((a, b), orders, strict=True))
        np.testing.assert_allclose(first, second, rtol=1e-12)
    tracks = [
        [sorted(m.track_image_ids[m.track_offsets[i] : m.track_offsets[i + 1]]) for i in order]
        for m, order in zip((a, b), orders, strict=True)
    ]
    assert tracks[0] == tracks[1]


def test_a_text_model_by_hand(text_model: Path) -> None:
    model = read_model(text_model)
    assert model.cameras[2] == ColmapCamera("SIMPLE_RADIAL", 32, 24, (30.0, 16.0, 12.0, 0.05))
    assert {i: image.name for i, image in model.images.items()} == {
        40: "b/with space.png",
        7: "a.png",
        300: "c.png",
    }
    quarter = [[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3]]  # 90 degrees about z, then (1, 2, 3)
    np.testing.assert_allclose(model.images[7].cam_from_world, quarter, atol=1e-15)
    np.testing.assert_array_equal(model.xyz, [[1, 2, 3], [-1, 0.5, 4], [0, 0, 5]])
    np.testing.assert_array_equal(model.rgb[0], [255, 0, 7])
    assert model.errors.tolist() == [0.5, -1.0, 0.25]
    assert model.track_offsets.tolist() == [0, 3, 4, 4]
    assert model.track_image_ids.tolist() == [40, 40, 300, 7]


@pytest.mark.parametrize("model", ["PINHOLE", "OPENCV"])
def test_text_equals_binary_equals_pycolmap(colmap_set: Callable[..., Path], model: str) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    binary, text = (colmap_set(kind, model=model) / "sparse" / "0" for kind in (True, False))
    assert (binary / "rigs.bin").exists()  # newer files are there, and are not read
    mine = read_model(binary)
    same(mine, read_model(text))
    theirs = pycolmap.Reconstruction(str(binary))
    assert set(mine.images) == set(theirs.images)
    for i, image in theirs.images.items():
        assert mine.images[i].name == image.name
        np.testing.assert_allclose(
            mine.images[i].cam_from_world, image.cam_from_world().matrix(), rtol=0, atol=1e-12
        )
    assert len(mine.xyz) == theirs.num_points3D()
    assert len(mine.track_image_ids) == theirs.compute_num_observations()


def test_a_model_without_points_is_read(text_model: Path) -> None:
    (text_model / "points3D.txt").unlink()
    assert len(read_model(text_model).xyz) == 0


@pytest.mark.parametrize("part", ["cameras", "images", "points3D"])
def test_truncated_binary_files_are_one_line(colmap_set: Callable[..., Path], part: str) -> None:
    folder = colmap_set(points=20, frames=3) / "sparse" / "0"
    file = folder / f"{part}.bin"
    whole = file.read_bytes()
    for length in (0, 7, 8, 20, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(UserError, match="truncated or damaged") as caught:
            read_model(folder)
        assert str(caught.value).startswith(str(file)) and "\n" not in str(caught.value)
    file.write_bytes(whole + b"more")
    with pytest.raises(UserError, match="4 bytes too many"):
        read_model(folder)


@pytest.mark.parametrize(
    ("part", "old", "new", "message"),
    [
        ("cameras", "30 31 16 12", "30 31 16", "PINHOLE with 3 parameters"),
        ("cameras", "5 PINHOLE", "6 PINHOLE", "has no camera 5"),
        ("images", "40 1 0 0 0 0.5", "40 nan 0 0 0 0.5", "no rotation"),
        ("images", "40 1 0 0 0 0.5", "40 0 0 0 0 0.5", "no rotation"),
        ("images", "40 1 0 0 0 0.5", "40 1 0 0 0 inf", "no rotation"),
        ("images", "c.png", "a.png", "a.png appears twice"),
        ("images", "\n1 1 9\n", "", "ends after c.png"),
        ("points3D", "300 0\n", "301 0\n", "image 301, which is missing"),
        ("points3D", "300 0\n", "300\n", "truncated or damaged"),
        ("points3D", "9 -1 0.5", "9 nan 0.5", "not finite"),
    ],
)
def test_damaged_text_files_are_one_line(
    text_model: Path, part: str, old: str, new: str, message: str
) -> None:
    file = text_model / f"{part}.txt"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        read_model(text_model)


def test_no_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no COLMAP model here"):
        read_model(tmp_path)


LENSES = {
    "SIMPLE_PINHOLE": [30.0, 16, 12],
    "PINHOLE": [30.0, 31, 16, 12],
    "SIMPLE_RADIAL": [30.0, 16, 12, 0.05],
    "RADIAL": [30.0, 16, 12, 0.05, -0.02],
    "OPENCV": [30.0, 31, 16, 12, 0.05, -0.02, 0.003, -0.004],
    "FULL_OPENCV": [30.0, 31, 16, 12, 0.05, -0.02, 0.003, -0.004, 0.01, 0, 0, 0],
    "SIMPLE_FISHEYE": [30.0, 16, 12],
    "FISHEYE": [30.0, 31, 16, 12],
    "SIMPLE_RADIAL_FISHEYE": [30.0, 16, 12, 0.05],
    "RADIAL_FISHEYE": [30.0, 16, 12, 0.05, -0.02],
    "OPENCV_FISHEYE": [30.0, 31, 16, 12, 0.05, -0.02, 0.003, -0.004],
    "THIN_PRISM_FISHEYE": [30.0, 31, 16, 12, 0.05, -0.02, 0, 0, 0.003, -0.004, 0, 0],
}


@pytest.mark.parametrize("name", LENSES)
def test_every_lens_projects_as_pycolmap_does(name: str) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    torch = pytest.importorskip("torch")
    from dac.cameras import Cameras

    params = tuple(LENSES[name])
    kind, lens, distortion = lens_of(ColmapCamera(name, 32, 24, params), Path("x"))
    pose = torch.eye(4, dtype=torch.float64)[None, :3]
    cameras = Cameras(kind, 32, 24, torch.tensor([lens]), torch.tensor([distortion]), pose)
    theirs = pycolmap.Camera(model=name, width=32, height=24, params=list(params))
    points = np.random.default_rng(0).uniform(-0.6, 0.6, (100, 3))
    points[:, 2] = 1.0
    mine, _ = cameras.project(0, torch.from_numpy(points))
    np.testing.assert_allclose(mine.numpy(), theirs.img_from_cam(points), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("FULL_OPENCV", (30.0, 31, 16, 12, 0, 0, 0, 0, 0, 0.1, 0, 0), "term that is not supported"),
        ("FOV", (30.0, 31, 16, 12, 0.5), "FOV is not supported"),
        ("PINHOLE", (-30.0, 31, 16, 12), "not positive"),
        ("PINHOLE", (float("nan"), 31, 16, 12), "not finite"),
    ],
)
def test_other_lenses_are_refused(name: str, params: tuple[float, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        lens_of(ColmapCamera(name, 32, 24, params), Path("model"))


def test_views_hold_the_models_points_and_poses(colmap_set: Callable[..., Path]) -> None:
    root = colmap_set()
    model, views = read_model(root / "sparse" / "0"), read_colmap(root)
    assert list(views.names) == sorted(image.name for image in model.images.values())
    by_name = {image.name: (i, image) for i, image in model.images.items()}
    sparse = views.sparse
    assert sparse is not None
    for view, name in enumerate(views.names):
        i, image = by_name[name]
        pose = np.vstack([views.poses[view], [0, 0, 0, 1]])
        np.testing.assert_allclose(image.cam_from_world @ pose, np.eye(4)[:3], rtol=0, atol=1e-12)
        seen = sorted(
            p
            for p in range(len(model.xyz))
            if i in model.track_image_ids[model.track_offsets[p] : model.track_offsets[p + 1]]
        )
        assert sorted(set(sparse.points[sparse.views == view].tolist())) == seen


@pytest.mark.parametrize("place", ["sparse/0", "sparse", "."])
def test_the_model_may_lie_in_three_places(
    colmap_set: Callable[..., Path], tmp_path: Path, place: str
) -> None:
    root = colmap_set()
    moved = tmp_path / "moved"
    (moved / place).mkdir(parents=True)
    (root / "images").rename(moved / "images")
    for file in (root / "sparse" / "0").iterdir():
        file.rename(moved / place / file.name)
    assert len(read_colmap(moved)) == 9
