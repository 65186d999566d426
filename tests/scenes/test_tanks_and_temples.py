"""The layouts of NeRF++ and NSVF, and COLMAP's as 3D Gaussian splatting has it: read as written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import (
    COUNT,
    HEIGHT,
    WIDTH,
    Known,
    encoded,
    flat,
    known_ring,
    looking_at_origin,
    pixels,
    write_colmap,
    write_nerfpp,
    write_nsvf,
)
from PIL import Image
from scipy.spatial.transform import Rotation

from dac.errors import UserError
from dac.scenes.formats.nerfpp import read_nerfpp
from dac.scenes.formats.nsvf import read_nsvf
from dac.scenes.importer import import_scene
from dac.scenes.views import Views
from dac.settings import SceneSettings

READERS: dict[str, Callable[[Path], Views]] = {"nerfpp": read_nerfpp, "nsvf": read_nsvf}
WRITERS: dict[str, Callable[[Path, Known], list[str]]] = {
    "nerfpp": write_nerfpp,
    "nsvf": write_nsvf,
}


@pytest.fixture(params=["nerfpp", "nsvf"])
def format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def assert_comes_back(root: Path, format: str, truth: Known, names: list[str]) -> None:
    views = READERS[format](root)
    order = [views.names.index(name) for name in names]
    assert len(views) == len(names)
    np.testing.assert_allclose(views.poses[order], truth.poses[:, :3], rtol=0, atol=1e-9)
    np.testing.assert_allclose(views.intrinsics[order], truth.lenses, rtol=0, atol=1e-12)
    assert views.given is not None and not views.distortion.any()
    assert [views.given[i] for i in order] == [
        "test" if i in truth.test else "train" for i in range(len(truth))
    ]


def test_as_written(tmp_path: Path, format: str) -> None:
    assert_comes_back(tmp_path, format, known_ring(), WRITERS[format](tmp_path, known_ring()))
    views = READERS[format](tmp_path)
    assert views.model == "perspective" and views.sparse is None and views.masks is None


numbers = st.floats(-100.0, 100.0)


@settings(max_examples=20, deadline=None)
@given(
    turns=st.lists(st.tuples(numbers, numbers, numbers), min_size=COUNT, max_size=COUNT),
    centres=st.lists(st.tuples(numbers, numbers, numbers), min_size=COUNT, max_size=COUNT),
    lens=st.tuples(*[st.floats(0.1, 1e5)] * 2, *[st.floats(-1e3, 1e3)] * 2),
)
def test_any_cameras_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    turns: list[tuple[float, ...]],
    centres: list[tuple[float, ...]],
    lens: tuple[float, ...],
) -> None:
    poses = np.tile(np.eye(4), (COUNT, 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(np.array(turns)).as_matrix()
    poses[:, :3, 3] = centres
    for format, write in WRITERS.items():
        root = tmp_path_factory.mktemp(format)
        assert_comes_back(
            root, format, known_ring(poses, lens), write(root, known_ring(poses, lens))
        )


def test_each_view_of_nerfpp_has_its_own_lens(tmp_path: Path) -> None:
    truth = known_ring()
    truth.lenses[:, 0] += np.arange(COUNT)
    assert_comes_back(tmp_path, "nerfpp", truth, write_nerfpp(tmp_path, truth))


def test_nerfpp_leaves_validation_and_camera_path_out(tmp_path: Path) -> None:
    write_nerfpp(tmp_path, known_ring())
    assert (tmp_path / "validation" / "rgb" / "000005.png").is_file()
    views = read_nerfpp(tmp_path)
    assert {name.split("/")[0] for name in views.names} == {"train", "test"}
    assert "validation/ and camera_path/, if any, are left out" in views.log[0]


def test_nsvf_leaves_other_test_views_out(tmp_path: Path) -> None:
    write_nsvf(tmp_path, known_ring())
    for part, suffix in (("rgb", "png"), ("pose", "txt")):
        content = (tmp_path / part / f"1_000005.{suffix}").read_bytes()
        (tmp_path / part / f"2_000001.{suffix}").write_bytes(content)
    views = read_nsvf(tmp_path)
    assert len(views) == COUNT
    assert views.log == ("1 views whose names begin with 2_ are left out.",)


@pytest.mark.parametrize("form", ["matrix", "flat", "3x3", "first line"])
def test_forms_of_nsvf_s_intrinsics(tmp_path: Path, form: str) -> None:
    assert_comes_back(tmp_path, "nsvf", known_ring(), write_nsvf(tmp_path, known_ring(), form))


def test_the_split_is_as_given_and_the_world_is_known(tmp_path: Path, format: str) -> None:
    names = WRITERS[format](tmp_path, known_ring())
    scene = import_scene(tmp_path, format, SceneSettings(), name="toy")
    order = [scene.names.index(name) for name in names]
    assert [scene.names[i] for i in scene.test] == names[4:7]
    assert scene.space.kind == "contraction"
    moved = scene.world_from_data @ known_ring().poses
    np.testing.assert_allclose(scene.cameras.centres[order], moved[:, :3, 3], atol=1e-6)
    for i, name in enumerate(scene.names):
        np.testing.assert_array_equal(scene.images[i], np.asarray(Image.open(tmp_path / name)))


def test_published_coordinates_can_be_kept(tmp_path: Path, format: str) -> None:
    names = WRITERS[format](tmp_path, known_ring())
    kept = SceneSettings(recentre=False, orientation="keep")
    scene = import_scene(tmp_path, format, kept, name="toy")
    np.testing.assert_array_equal(scene.world_from_data, np.eye(4))
    order = [scene.names.index(name) for name in names]
    found = scene.cameras.world_from_camera[order]
    np.testing.assert_allclose(found, known_ring().poses[:, :3], atol=1e-9)


def test_nerfpp_s_own_masks_are_used(tmp_path: Path) -> None:
    """Those of the training views alone, then a folder that the settings name in their place."""
    names = write_nerfpp(tmp_path, known_ring())
    folders = {"own": tmp_path / "train" / "mask", "named": tmp_path.parent / "masks"}
    for i, name in enumerate(names):
        mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
        mask[: i + 1] = 0
        if name.startswith("train"):
            folders["own"].mkdir(exist_ok=True)
            Image.fromarray(mask).save(folders["own"] / Path(name).name)
        file = folders["named"] / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - mask).save(file)
    scene = import_scene(tmp_path, "nerfpp", SceneSettings(), name="toy")
    assert scene.masks is not None
    assert any("the data set's own masks leave out" in line for line in scene.log)
    for i, name in enumerate(names):
        used = scene.masks[scene.names.index(name), :, 0] > 0
        assert used.sum() == (HEIGHT - i - 1 if name.startswith("train") else HEIGHT)
    named = SceneSettings(masks=str(folders["named"]))
    scene = import_scene(tmp_path, "nerfpp", named, name="toy")
    assert scene.masks is not None and not any("own masks" in line for line in scene.log)
    for i, name in enumerate(names):
        assert (scene.masks[scene.names.index(name), :, 0] > 0).sum() == i + 1
    (folders["own"] / "000001.png").unlink()
    with pytest.raises(UserError, match=r"train/mask: holds no mask for 000001\.png"):
        read_nerfpp(tmp_path)


def test_splatting_s_model_of_larger_images(tmp_path: Path) -> None:
    """Every 8th view tests; lenses are scaled to the images that are there."""
    truth = known_ring()
    xyz = np.random.default_rng(0).uniform(-1, 1, (30, 3))
    write_colmap(tmp_path, truth, xyz, [[i % COUNT, (i + 1) % COUNT] for i in range(30)])
    scene = import_scene(tmp_path, "colmap", SceneSettings(), name="toy")
    assert scene.test == (0, 8) and scene.names[8] == "000009.png"
    np.testing.assert_allclose(scene.cameras.intrinsics, truth.lenses, rtol=1e-12)
    moved = scene.world_from_data @ truth.poses
    np.testing.assert_allclose(scene.cameras.centres, moved[:, :3, 3], atol=1e-9)
    assert any("made for 47 x 39: intrinsics are scaled" in line for line in scene.log)


# --- Mistakes -----------------------------------------------------------------------------------

Change = Callable[[Path], object]


def value(at: int, number: str) -> Callable[[str], str]:
    """Another number in a text of numbers."""

    def change(text: str) -> str:
        words = text.split()
        words[at] = number
        return " ".join(words)

    return change


def text(change: Callable[[str], str]) -> Change:
    return lambda file: file.write_text(change(file.read_text()))


def pose_text(matrix: np.ndarray) -> Change:
    return lambda file: file.write_text(flat(matrix))


def scaled(text: str) -> str:
    return flat(np.array(text.split(), np.float64).reshape(4, 4) * [1.1, 1.1, 1.1, 1])


def mirrored(text: str) -> str:
    return flat(np.array(text.split(), np.float64).reshape(4, 4) * [-1, 1, 1, 1])


POSE: list[tuple[Change, str]] = [
    (Path.unlink, "no such file"),
    (text(lambda t: t + " 1"), "holds 17 numbers, not the 16 of a 4 x 4 matrix"),
    (text(lambda t: " ".join(t.split()[:12])), "holds 12 numbers, not the 16"),
    (text(lambda t: ""), "holds 0 numbers"),
    (text(value(3, "nan")), "holds NaN or infinity"),
    (text(value(3, "1e999")), "holds NaN or infinity"),
    (text(value(5, "x" * 5000)), "'xxx.* is no number"),
    (text(value(3, "1e15")), "the camera stands further than"),
    (text(value(12, "0.5")), "the pose's last row is not 0, 0, 0, 1"),
    (text(scaled), "the rotation is not orthonormal"),
    (text(mirrored), "the rotation is mirrored"),
    (text(lambda t: t * 2000), "bytes, and at most 65536 are read"),
    (lambda file: file.write_bytes(b"\xff\xfe1"), "is not UTF-8 text"),
    (lambda file: file.rename(file.with_name(file.name[:2] + "999999.txt")), "its image is miss"),
]


@pytest.mark.parametrize(("change", "message"), POSE)
def test_mistakes_in_a_pose_are_one_line(
    tmp_path: Path, format: str, change: Change, message: str
) -> None:
    WRITERS[format](tmp_path, known_ring())
    folder, stem = ("train/pose", "000003") if format == "nerfpp" else ("pose", "0_000003")
    change(tmp_path / folder / f"{stem}.txt")
    with pytest.raises(UserError, match=message) as caught:
        READERS[format](tmp_path)
    assert f"{tmp_path}/{folder}/" in str(caught.value) and ".txt" in caught.value.where
    assert "\n" not in str(caught.value)


LENS: list[tuple[Change, str]] = [
    (Path.unlink, "no such file"),
    (text(value(0, "0")), "fl_x is not positive"),
    (text(value(5, "-30")), "fl_y is not positive"),
    (text(value(2, "NaN")), "holds NaN or infinity"),
    (text(value(2, "1e12")), "a lens with the number 1e\\+12"),
    (text(value(0, "1e-9")), "gives no image"),
    (text(value(1, "3")), r"the pixels are skewed \(by 3\)"),
    (text(value(4, "3")), "is no matrix of intrinsics"),
    (text(value(10, "2")), "is no matrix of intrinsics"),
    (text(value(3, "2")), "is no matrix of intrinsics"),
    (text(lambda t: t + "1"), "holds 17 numbers|neither a 4 x 4 matrix nor"),
    (text(lambda t: "30 31"), "holds 2 numbers|neither a 4 x 4 matrix nor"),
    (text(lambda t: "30 12 10 5\n" * 2), "holds 8 numbers|neither a 4 x 4 matrix nor"),
    (text(lambda t: ""), "holds 0 numbers|neither a 4 x 4 matrix nor"),
]


@pytest.mark.parametrize(("change", "message"), LENS)
def test_mistakes_in_a_lens_are_one_line(
    tmp_path: Path, format: str, change: Change, message: str
) -> None:
    WRITERS[format](tmp_path, known_ring())
    file = "test/intrinsics/000005.txt" if format == "nerfpp" else "intrinsics.txt"
    (tmp_path / file).write_text((tmp_path / file).read_text().replace("\n", " "))
    change(tmp_path / file)
    with pytest.raises(UserError, match=message) as caught:
        READERS[format](tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/{file}: ")


def leads_out(file: Path) -> None:
    file.unlink()
    file.symlink_to("/etc/hostname")


def as_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    ("format", "file", "change", "message"),
    [
        ("nerfpp", "train/rgb/000002.png", Path.unlink, r"train/pose/000002\.txt: its image is"),
        ("nsvf", "rgb/1_000005.png", Path.unlink, r"pose/1_000005\.txt: its image is missing"),
        ("nerfpp", "test/intrinsics/000006.txt", Path.unlink, r"test/intrinsics/000006\.txt: no"),
        ("nsvf", "rgb/0_000001.png", lambda f: f.rename(f.with_suffix(".tif")), "0_000001"),
        ("nsvf", "rgb/0_000001.png", lambda f: f.rename(f.with_name("3_1.png")), "neither 0_"),
        ("nsvf", "rgb/0_000001.png", lambda f: f.with_suffix(".jpg").touch(), "the same stem"),
        ("nerfpp", "test/rgb/000005.png", leads_out, "leaves the"),
        ("nerfpp", "train/pose/000001.txt", leads_out, "leaves the"),
        ("nsvf", "rgb/0_000001.png", as_folder, r"0_000001\.png: is no file"),
    ],
)
def test_files_that_are_missing_or_elsewhere(
    tmp_path: Path, format: str, file: str, change: Change, message: str
) -> None:
    WRITERS[format](tmp_path, known_ring())
    change(tmp_path / file)
    with pytest.raises(UserError, match=message) as caught:
        import_scene(tmp_path, format, SceneSettings(), name="toy")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("format", "folder"), [("nerfpp", "test/rgb"), ("nerfpp", "train/pose"), ("nsvf", "pose")]
)
def test_folders_that_are_missing_empty_or_elsewhere(
    tmp_path: Path, format: str, folder: str
) -> None:
    root = tmp_path / "data"
    WRITERS[format](root, known_ring())
    (root / folder).rename(tmp_path / "away")
    with pytest.raises(UserError, match=rf"{folder}: can't be listed \(No such file"):
        READERS[format](root)
    (root / folder).symlink_to(tmp_path / "away")
    with pytest.raises(UserError, match=f"{folder} leaves the data folder"):
        READERS[format](root)
    (root / folder).unlink()
    (root / folder).mkdir()
    with pytest.raises(UserError, match=r"holds no images|no such file|its image is missing"):
        READERS[format](root)


def test_another_format_s_folder_is_one_line(tmp_path: Path) -> None:
    write_nerfpp(tmp_path, known_ring())
    with pytest.raises(UserError, match=r"rgb: can't be listed .* check the data set's layout"):
        read_nsvf(tmp_path)
    for file in (tmp_path / "train" / "rgb").iterdir():
        file.rename(file.with_suffix(".tiff"))
    with pytest.raises(UserError, match=r"train/rgb: holds no images; they end in \.png, \.jpg"):
        read_nerfpp(tmp_path)


def test_images_of_one_scene_have_one_size(tmp_path: Path, format: str) -> None:
    names = WRITERS[format](tmp_path, known_ring())
    (tmp_path / names[3]).write_bytes(encoded(pixels(0, 2 * WIDTH, 2 * HEIGHT)))
    with pytest.raises(UserError, match=rf"{names[3]}: has 48 x 40 pixels, but .* has 24 x 20"):
        import_scene(tmp_path, format, SceneSettings(), name="toy")


def test_small_errors_of_printed_rotations_are_mended(tmp_path: Path, format: str) -> None:
    truth = known_ring(np.round(looking_at_origin(COUNT), 5))
    names = WRITERS[format](tmp_path, truth)
    views = READERS[format](tmp_path)
    order = [views.names.index(name) for name in names]
    rotations = views.poses[order][:, :, :3]
    np.testing.assert_allclose(
        rotations @ rotations.swapaxes(1, 2), np.tile(np.eye(3), (COUNT, 1, 1)), atol=1e-12
    )
    assert np.abs(rotations - truth.poses[:, :3, :3]).max() < 1e-4
