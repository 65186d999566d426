"""Blender, nerfstudio and COLMAP data sets as views: axes, lenses, splits, and every mistake."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dac.errors import UserError
from dac.scenes.formats.blender import read_blender
from dac.scenes.formats.colmap import read_colmap
from dac.scenes.formats.nerfstudio import read_nerfstudio
from dac.scenes.formats.photos import read_photos
from dac.scenes.views import Views, rigid
from dac.storage.files import inside

Writer = Callable[..., Path]
Editor = Callable[[Path, Callable[[Any], object]], None]


def test_blender_axes_by_hand(blender_set: Writer, edit: Editor) -> None:
    """A Blender camera at (0, -4, 0) that looks along +y, upright: its z axis points back."""
    root = blender_set(train=2)
    pose = [[1, 0, 0, 0], [0, 0, -1, -4], [0, 1, 0, 0], [0, 0, 0, 1]]
    edit(
        root / "transforms_train.json",
        lambda data: data["frames"][0].update(transform_matrix=pose),
    )
    views = read_blender(root)
    i = views.names.index("train/r_0.png")
    right, down, forward, centre = views.poses[i].T
    np.testing.assert_array_equal(right, [1, 0, 0])
    np.testing.assert_array_equal(down, [0, 0, -1])
    np.testing.assert_array_equal(forward, [0, 1, 0])
    np.testing.assert_array_equal(centre, [0, -4, 0])
    focal = 16 / (2 * math.tan(0.6911112070083618 / 2))
    np.testing.assert_allclose(views.intrinsics[i], [focal, focal, 8, 8])
    assert not views.distortion.any()


def test_blender_split_and_names(blender_set: Writer) -> None:
    views = read_blender(blender_set(train=4, test=3))
    assert views.names == tuple(
        [f"train/r_{i}.png" for i in range(4)] + [f"test/r_{i}.png" for i in range(3)]
    )
    assert views.given == ("train",) * 4 + ("test",) * 3
    assert all(file.is_file() for file in views.files)


def test_blender_without_test_file(blender_set: Writer) -> None:
    views = read_blender(blender_set(test=0))
    assert views.given is None
    assert "no transforms_test.json" in views.log[0]


def test_blender_names_with_extension_or_dots(blender_set: Writer, edit: Editor) -> None:
    root = blender_set(train=3, test=0)
    (root / "train" / "r_1.png").rename(root / "train" / "r_1.5.png")
    Image.new("RGB", (16, 16)).save(root / "train" / "r_2.jpg")

    def rename(data: Any) -> None:
        data["frames"][0]["file_path"] = "train/../train/r_0.png"
        data["frames"][1]["file_path"] = "train\\r_1.5"
        data["frames"][2]["file_path"] = "train/r_2.jpg"

    edit(root / "transforms_train.json", rename)
    assert read_blender(root).names == ("train/r_0.png", "train/r_1.5.png", "train/r_2.jpg")


def test_blender_missing_image_is_one_line(blender_set: Writer) -> None:
    root = blender_set()
    (root / "train" / "r_2.png").unlink()
    with pytest.raises(UserError, match=r"frame 2 \(\./train/r_2\): its image is missing"):
        read_blender(root)
    with pytest.raises(UserError, match=r"transforms_train\.json: no such file"):
        read_blender(root / "train")


def test_nerfstudio_lens(nerfstudio_set: Writer) -> None:
    views = read_nerfstudio(nerfstudio_set(applied_transform=[[0, 1, 0, 0]]))
    assert views.model == "perspective" and views.given is None and views.log == ()
    np.testing.assert_array_equal(views.intrinsics, np.tile([30, 31, 11.5, 10.25], (10, 1)))
    np.testing.assert_array_equal(views.distortion[0], [0.05, -0.02, 0.001, -0.002, 0, 0])
    np.testing.assert_array_equal(views.sizes, np.tile([24, 20], (10, 1)))
    # conftest's cameras look at the origin, level.
    forward, centre = views.poses[:, :, 2], views.poses[:, :, 3]
    np.testing.assert_allclose(np.cross(forward, centre), 0, atol=1e-12)
    assert ((forward * centre).sum(1) < 0).all() and (views.poses[:, 2, 1] < 0).all()


def test_nerfstudio_lens_per_frame(nerfstudio_set: Writer, edit: Editor) -> None:
    root = nerfstudio_set()
    edit(root / "transforms.json", lambda d: d["frames"][3].update(fl_x=40, k1=0.2, cy=9))
    views = read_nerfstudio(root / "transforms.json")
    np.testing.assert_array_equal(views.intrinsics[3], [40, 31, 11.5, 9])
    np.testing.assert_array_equal(views.intrinsics[2], [30, 31, 11.5, 10.25])
    assert views.distortion[:, 0].tolist() == [0.05] * 3 + [0.2] + [0.05] * 6


def test_nerfstudio_field_of_view_alone(nerfstudio_set: Writer, edit: Editor) -> None:
    root = nerfstudio_set(camera_angle_x=math.pi / 2)

    def reduce(data: Any) -> None:
        for key in ("fl_x", "fl_y", "cx", "cy", "w", "h"):
            del data[key]

    edit(root / "transforms.json", reduce)
    np.testing.assert_allclose(read_nerfstudio(root).intrinsics[0], [12, 12, 12, 10])
    edit(root / "transforms.json", lambda data: data.update(camera_angle_y=math.pi / 2))
    np.testing.assert_allclose(read_nerfstudio(root).intrinsics[0], [12, 10, 12, 10])


@pytest.mark.parametrize(
    ("keys", "model"),
    [
        ({"camera_model": "OPENCV_FISHEYE", "k3": 0.1, "k4": 0.2}, "fisheye"),
        ({"is_fisheye": True}, "fisheye"),
        ({"camera_model": "PINHOLE"}, "perspective"),
        ({"camera_model": "SIMPLE_RADIAL"}, "perspective"),
    ],
)
def test_nerfstudio_models(nerfstudio_set: Writer, keys: dict[str, Any], model: str) -> None:
    views = read_nerfstudio(nerfstudio_set(**keys))
    assert views.model == model
    assert views.distortion[0, 4:].tolist() == [keys.get("k3", 0), keys.get("k4", 0)]


def test_nerfstudio_given_split(nerfstudio_set: Writer) -> None:
    names = [f"images/{i:04d}.jpg" for i in range(10)]
    root = nerfstudio_set(train_filenames=names[:6], val_filenames=names[6:8])
    views = read_nerfstudio(root)
    assert views.names == tuple(names[:8])
    assert views.given == ("train",) * 6 + ("test",) * 2
    assert views.log == ("2 views in no split are left out.",)


def test_nerfstudio_leaves_missing_images_out_up_to_half(nerfstudio_set: Writer) -> None:
    root = nerfstudio_set()
    for i in range(1, 6):
        (root / "images" / f"{i:04d}.jpg").unlink()
    views = read_nerfstudio(root)
    assert len(views) == 5 and len(views.names) == 5
    assert views.log == ("5 of 10 listed images are missing (first images/0001.jpg) and left out.",)
    (root / "images" / "0000.jpg").unlink()
    with pytest.raises(UserError, match=r"6 of 10 images are missing, first images/0000\.jpg"):
        read_nerfstudio(root)


def set_pose(change: Callable[[Any], Any]) -> Callable[[Any], None]:
    def apply(data: Any) -> None:
        frame = data["frames"][2]
        frame["transform_matrix"] = change(np.array(frame["transform_matrix"]))

    return apply


def with_value(row: int, column: int, value: float) -> Callable[[Any], None]:
    def change(matrix: Any) -> Any:
        matrix[row, column] = value
        return matrix.tolist()

    return set_pose(change)


BAD_FRAMES: list[tuple[Callable[[Any], Any], str]] = [
    (with_value(0, 3, math.nan), "holds NaN"),
    (with_value(1, 1, math.inf), "holds Infinity"),
    (set_pose(lambda m: (m * 1.02).tolist()), r"frame 2 \(.*\): the pose's last row"),
    (set_pose(lambda m: (m * [1.02, 1.02, 1.02, 1]).tolist()), "not orthonormal"),
    (set_pose(lambda m: (m * [-1, 1, 1, 1]).tolist()), "mirrored"),
    (set_pose(lambda m: m[:2].tolist()), "shape"),
    (set_pose(lambda m: [1, [2]]), "no matrix of numbers"),
    (set_pose(lambda m: "identity"), "no matrix of numbers"),
    (set_pose(lambda m: None), "no matrix of numbers"),
    (set_pose(lambda m: m.astype(str).tolist()), "no matrix of numbers"),
    (lambda d: d["frames"].append(d["frames"][1]), "appears twice"),
    (lambda d: d.update(frames=[]), "lists no frames"),
    (lambda d: d.update(frames={"a": 1}), "lists no frames"),
    (lambda d: d["frames"].append(7), "frame 10: has no file_path"),
    (lambda d: d["frames"][0].pop("file_path"), "frame 0: has no file_path"),
    (lambda d: d["frames"][0].update(file_path="../a.jpg"), "leaves the data folder"),
    (lambda d: d["frames"][0].update(file_path="/etc/a.jpg"), "is an absolute path"),
    (lambda d: d["frames"][0].update(file_path="C:\\a.jpg"), "is an absolute path"),
    (lambda d: d["frames"][0].update(file_path=""), "no file name"),
    (lambda d: d["frames"][0].update(file_path="a\0b"), "no file name"),
    (lambda d: d.update(fl_x="30"), r"fl_x is no number \('30'\)"),
    (lambda d: d.update(fl_x=-3), "fl_x is not positive"),
    (lambda d: d.pop("fl_x"), "no focal length"),
    (lambda d: d.update(camera_model="EQUIRECTANGULAR"), "'EQUIRECTANGULAR' is not supported"),
    (lambda d: d["frames"][4].update(camera_model="OPENCV_FISHEYE"), "lenses are mixed"),
    (lambda d: d.update(train_filenames=["a"], test_filenames=["a"]), "listed twice"),
    (lambda d: d.update(train_filenames=3, test_filenames=["a"]), "no list of names"),
]


@pytest.mark.parametrize(("change", "message"), BAD_FRAMES)
def test_nerfstudio_mistakes_are_one_line(
    nerfstudio_set: Writer, edit: Editor, change: Callable[[Any], Any], message: str
) -> None:
    root = nerfstudio_set()
    edit(root / "transforms.json", change)
    with pytest.raises(UserError, match=message) as caught:
        read_nerfstudio(root)
    assert "transforms.json" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", '{"frames": [}', "[" * 100_000, "\udcff"])
def test_broken_json_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "transforms.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"transforms\.json: (broken JSON|JSON nested|is not UTF)"):
        read_nerfstudio(tmp_path)
    (tmp_path / "transforms.json").write_text(json.dumps([1, 2]))
    with pytest.raises(UserError, match="lists no frames"):
        read_nerfstudio(tmp_path)


def test_links_out_of_the_data_folder_are_refused(nerfstudio_set: Writer, tmp_path: Path) -> None:
    root = nerfstudio_set()
    file = root / "images" / "0003.jpg"
    file.rename(tmp_path / "elsewhere.jpg")
    file.symlink_to(tmp_path / "elsewhere.jpg")
    with pytest.raises(UserError, match=r"images/0003\.jpg leaves the data folder"):
        read_nerfstudio(root)


def test_links_inside_and_to_the_data_folder_are_fine(
    nerfstudio_set: Writer, tmp_path: Path
) -> None:
    root = nerfstudio_set()
    file = root / "images" / "0003.jpg"
    file.rename(root / "other.jpg")
    file.symlink_to(root / "other.jpg")
    (tmp_path / "link").symlink_to(root)
    assert len(read_nerfstudio(tmp_path / "link")) == 10


def test_a_relative_data_folder(nerfstudio_set: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    root = nerfstudio_set()
    monkeypatch.chdir(root)
    views = read_nerfstudio(Path())
    assert views.names[0] == "images/0000.jpg" and Path(views.files[0]).is_file()


def test_circular_links_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to(tmp_path / "a.jpg")
    with pytest.raises(UserError, match=r"a\.jpg"):
        path = inside(tmp_path, "a.jpg", "frame 0")
        if not path.is_file():  # Python 3.13 resolves it without complaint
            raise UserError(path, "missing")


def test_small_errors_of_a_rotation_are_mended() -> None:
    pose = np.eye(4) + np.random.default_rng(0).uniform(-1e-3, 1e-3, (4, 4))
    pose[3] = [0, 0, 0, 1]
    mended = rigid(pose.tolist(), "x")
    np.testing.assert_allclose(mended[:, :3] @ mended[:, :3].T, np.eye(3), rtol=0, atol=1e-14)
    np.testing.assert_allclose(mended, pose[:3], atol=2e-3)


def test_colmap_text_equals_binary(colmap_set: Writer) -> None:
    binary, text = read_colmap(colmap_set(True)), read_colmap(colmap_set(False))
    assert binary.names == text.names
    for name in ("sizes", "intrinsics", "distortion", "poses"):
        np.testing.assert_allclose(getattr(binary, name), getattr(text, name), atol=1e-12)


def test_colmap_missing_image_is_one_line(colmap_set: Writer) -> None:
    root = colmap_set()
    first = read_colmap(root).files[0]
    first.unlink()
    with pytest.raises(UserError, match="the image is missing") as caught:
        read_colmap(root)
    assert str(first) in str(caught.value)
    with pytest.raises(UserError, match="no COLMAP model here"):
        read_colmap(root / "images")


def test_colmap_names_stay_inside(colmap_set: Writer) -> None:
    root = colmap_set(binary=False)
    file = root / "sparse" / "0" / "images.txt"
    name = read_colmap(root).names[0]
    file.write_text(file.read_text().replace(name, f"../images/../../{name}"))
    with pytest.raises(UserError, match="leaves the data folder"):
        read_colmap(root)


def test_photos_are_those_that_the_model_holds(colmap_set: Writer) -> None:
    root = colmap_set()
    Image.new("RGB", (32, 24)).save(root / "images" / "extra.png")
    views = read_photos(root / "images", root / "sparse" / "0")
    assert len(views) == 9 and views.upright
    assert views.log == ("Structure from motion registered 9 of 10 photos.",)


def test_selection_renumbers_tracks(colmap_set: Writer) -> None:
    views = read_colmap(colmap_set())
    chosen = views.select([5, 2])
    assert chosen.names == (views.names[5], views.names[2])
    assert views.sparse is not None and chosen.sparse is not None

    def points_seen(data: Views, view: int) -> list[int]:
        assert data.sparse is not None
        return sorted(data.sparse.points[data.sparse.views == view].tolist())

    assert points_seen(chosen, 0) == points_seen(views, 5)
    assert points_seen(chosen, 1) == points_seen(views, 2)
    assert set(chosen.sparse.views.tolist()) <= {0, 1}


def test_an_unreadable_file_list_is_one_line(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "transforms.json").write_text("{}")
    (tmp_path / "transforms.json").chmod(0)
    with pytest.raises(UserError):
        read_nerfstudio(tmp_path)
