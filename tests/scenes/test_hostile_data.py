"""What the fuzzing found, and the limits that keep it from coming back, one by one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dac.errors import UserError
from dac.scenes.formats.colmap import read_colmap
from dac.scenes.formats.nerfstudio import read_nerfstudio
from dac.scenes.importer import import_scene
from dac.scenes.photos.images import store
from dac.scenes.photos.masks import find_mask
from dac.scenes.sfm.inputs import list_photos
from dac.scenes.views import Finder, checked_lens
from dac.settings import SceneSettings

Writer = Callable[..., Path]
Editor = Callable[[Path, Callable[[Any], object]], None]


def lens(**keys: Any) -> Callable[[Any], object]:
    return lambda data: data.update(keys)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lens(fl_x=10**400), "fl_x is no number"),
        (lens(w=1e300), "the camera has 1e"),
        (lens(w=0), "the camera has 0 x 20 pixels"),
        (lens(h=0.2), "the camera has 24 x 0.2 pixels"),
        (lens(fl_x=1e-300), "a focal length of 1e-300 pixels gives no image"),
        (lens(cx=1e200), r"a lens with the number 1e\+200"),
        (lens(k1=-1e12), r"a lens with the number 1e\+12"),
        (lens(camera_model=["OPENCV"]), r"camera_model \['OPENCV'\] is not supported"),
        (lambda d: d["frames"][2]["transform_matrix"][0].__setitem__(3, 1e200), "frame 2 .* away"),
        (lambda d: d["frames"][2]["transform_matrix"][0].__setitem__(3, 10**400), "no matrix of"),
        (lambda d: d["frames"][2]["transform_matrix"][0].__setitem__(3, "1"), "no matrix of"),
        (lambda d: d["frames"][2].update(file_path="x" * 5000), "frame 2 .*is no file name"),
    ],
)
def test_numbers_that_arithmetic_does_not_survive(
    nerfstudio_set: Writer, edit: Editor, change: Callable[[Any], object], message: str
) -> None:
    root = nerfstudio_set()
    edit(root / "transforms.json", change)
    with pytest.raises(UserError, match=message) as caught:
        read_nerfstudio(root)
    assert str(caught.value).startswith(f"{root}/transforms.json: frame ")


@pytest.mark.parametrize("side", [10**400, float("nan"), float("inf")])
def test_sides_that_no_float_holds(side: float) -> None:
    with pytest.raises(UserError, match="model: the camera has 24 x impossibly many pixels; mend"):
        checked_lens("model", (24, side), [20.0, 20.0, 12.0, 12.0], "mend it")


def test_a_coefficient_without_effect_is_none(nerfstudio_set: Writer) -> None:
    views = read_nerfstudio(nerfstudio_set(k4=5e-324))
    assert not views.distortion[:, 5].any()


def test_a_colmap_name_means_one_file(colmap_set: Writer) -> None:
    root = colmap_set(binary=False)
    file = root / "sparse" / "0" / "images.txt"
    text = file.read_text()
    names = [line.split()[-1] for line in text.splitlines()[4::2]]
    file.write_text(text.replace(names[0], f"./x/../{names[0]}"))
    assert names[0] in read_colmap(root).names
    file.write_text(text.replace(names[1], f"./{names[0]}"))
    with pytest.raises(UserError, match="appears twice"):
        read_colmap(root)


@pytest.mark.parametrize("part", ["images", "sparse", "sparse/0"])
def test_a_data_set_s_folders_lie_in_it(colmap_set: Writer, part: str) -> None:
    root = colmap_set()
    away = root.parent / "away"
    (root / part).rename(away)
    (root / part).symlink_to(away)
    with pytest.raises(UserError, match=rf"{part}.* leaves the data folder"):
        read_colmap(root)


def test_a_transforms_file_lies_in_its_data_set(nerfstudio_set: Writer) -> None:
    root = nerfstudio_set()
    (root / "transforms.json").rename(root.parent / "away.json")
    (root / "transforms.json").symlink_to(root.parent / "away.json")
    with pytest.raises(UserError, match=r"transforms\.json leaves the data folder"):
        read_nerfstudio(root)


def test_masks_lie_in_their_folder(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "masks" / "a.png").symlink_to("../a.png")
    with pytest.raises(UserError, match=r"a\.png leaves the data folder"):
        find_mask(tmp_path / "masks", "a.png")


def test_photos_have_names_that_can_be_written(tmp_path: Path) -> None:
    photo = Image.new("RGB", (8, 8))
    for name in ("a.png", "b.png"):
        photo.save(tmp_path / name)
    (tmp_path / "again").symlink_to(".")
    (tmp_path / "away.txt").symlink_to("/etc/hostname")
    assert list_photos(tmp_path) == ["a.png", "b.png"]
    os.rename(tmp_path / "b.png", os.fsencode(tmp_path) + b"/caf\xe9.png")  # noqa: PTH104
    with pytest.raises(UserError, match=r"'caf\\udce9\.png' is not UTF-8; rename"):
        list_photos(tmp_path)


@pytest.mark.parametrize("link", ["away.png", "folder", "nowhere.jpg"])
def test_photos_are_no_links_out_of_their_folder(tmp_path: Path, link: str) -> None:
    photos, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    photos.mkdir()
    elsewhere.mkdir()
    for folder in (photos, elsewhere):
        Image.new("RGB", (8, 8)).save(folder / "away.png")
    (photos / "away.png").rename(photos / "here.png")
    target = {"away.png": elsewhere / "away.png", "folder": elsewhere}.get(link, tmp_path / "no")
    (photos / link).symlink_to(target)
    with pytest.raises(UserError, match=rf"{link}: is a link that leads out of the photos' folder"):
        list_photos(photos)


def test_a_pipe_is_no_image(nerfstudio_set: Writer) -> None:
    root = nerfstudio_set()
    (root / "transforms.json").unlink()
    os.mkfifo(root / "transforms.json")
    with pytest.raises(UserError, match=r"transforms\.json: is no regular file"):
        import_scene(root, "nerfstudio", SceneSettings(), name="toy")


def test_an_array_of_another_shape_spoils_no_other(tmp_path: Path) -> None:
    def make(index: int) -> np.ndarray:
        return np.full((2, 3) if index == 1 else (3, 2), index, np.uint8)

    with pytest.raises(ValueError, match=r"array 1 has shape \(2, 3\), not \(3, 2\)"):
        store(3, (3, 2), make, tmp_path)


def test_a_list_s_entries_are_found_as_before() -> None:
    names = ["a/x.png", "b/x.png", "x.png", "c/b/x.png"]
    find = Finder(names)
    assert find("x.png") == [0, 1, 2, 3]
    assert find("b/x.png") == find("./b/x.png") == [1, 3]
    assert find("c/b/x.png") == [3]
    assert find("/x.png") == find("png") == find("") == []
