"""Films over borders, views away from all others, and what is measured of them."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import toy
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation, Slerp
from toy_models import lively

from bench import unseen, unseen_cameras
from bench.unseen_cameras import along, away_of_object, away_of_place, films, similarity
from bench.unseen_measures import (
    Shot,
    Stretch,
    away_record,
    below_line,
    below_neighbours,
    changes,
    excess,
    film_record,
    largest_step,
    psnrs,
    sentences,
)
from dac.conquer.routed import RoutedModel, save_routed
from dac.divide.azimuth import azimuths
from dac.divide.router import Router
from dac.evaluation.pictures import to_uint8
from dac.evaluation.render import render_view
from dac.export.camera import look_at
from dac.fields.model import save_model
from dac.scenes.normalise import transformed_poses
from dac.scenes.scene import Scene

Array = NDArray[np.float64]
SCENES = Path(__file__).parents[1] / "scenes"
SHAPE = (6, 8, 3)


def ring(count: int, radius: float = 4.0, height: float = 1.0) -> Array:
    """(count, 3, 4) cameras evenly around the z axis, looking at the origin."""
    phi = 2 * np.pi * (np.arange(count) + 0.5) / count
    eyes = np.stack([radius * np.cos(phi), radius * np.sin(phi), np.full(count, height)], axis=1)
    return np.stack([look_at(eye, np.zeros(3)) for eye in eyes])


def sectors(K: int, blend: float = 0.2) -> Router:
    return Router("sectors", K, blend, np.zeros((0, 3, 4)), np.zeros(0, np.int64))


def by_views(K: int, count: int = 30) -> Router:
    return Router("poses", K, 0.2, ring(count), np.arange(count) * K // count)


def a_similarity(rng: np.random.Generator) -> Array:
    made = np.eye(4)
    made[:3, :3] = (
        rng.uniform(0.1, 10) * Rotation.random(random_state=rng.integers(1e6)).as_matrix()
    )
    made[:3, 3] = rng.normal(0, 20, 3)
    return made


@given(st.integers(0, 10**6), st.integers(4, 40))
def test_the_alignment_is_exact_on_similarities(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    points, made = rng.normal(size=(count, 3)), a_similarity(rng)
    found = similarity(points, points @ made[:3, :3].T + made[:3, 3])
    assert np.allclose(found, made, rtol=1e-6, atol=1e-8)


def test_the_alignment_never_mirrors() -> None:
    points = np.random.default_rng(0).normal(size=(20, 3))
    assert np.linalg.det(similarity(points, points * [1, 1, -1])[:3, :3]) > 0


@given(st.integers(0, 10**6))
def test_poses_go_there_and_back(seed: int) -> None:
    made = a_similarity(np.random.default_rng(seed))
    there = transformed_poses(ring(5), made)
    assert np.allclose(there[:, :, :3].swapaxes(1, 2) @ there[:, :, :3], np.eye(3))
    assert np.allclose(transformed_poses(there, np.linalg.inv(made)), ring(5))


def test_a_way_is_straight_and_turns_by_slerp() -> None:
    ends = ring(8)[[0, 3]]
    way = along(ends, 11)
    even = np.linspace(0, 1, 11)[:, None]
    assert np.allclose(way[:, :, 3], ends[0, :, 3] * (1 - even) + ends[1, :, 3] * even)
    turned = Slerp([0, 1], Rotation.from_matrix(ends[:, :, :3]))(even[:, 0]).as_matrix()
    assert np.allclose(way[:, :, :3], turned)


@pytest.mark.parametrize(
    ("router", "borders"),
    [(sectors(2), 2), (sectors(4), 4), (sectors(7), 7), (by_views(2), 1), (by_views(3), 3)],
)
def test_a_film_crosses_its_border_once_in_its_middle(router: Router, borders: int) -> None:
    made = films(router, ring(30))
    assert len(made) == borders
    for name, film in made.items():
        _, first, second = name.split("-")
        shares = np.stack([router.weights(pose) for pose in film])
        assert film.shape == (unseen_cameras.FRAMES, 3, 4)
        assert shares[0, int(first)] == 1 and shares[-1, int(second)] == 1
        owners = shares.argmax(axis=1)
        assert np.count_nonzero(np.diff(owners)) == 1
        middle = unseen_cameras.FRAMES // 2
        stretch = Stretch.of(shares)
        assert 3 < stretch.first <= middle <= stretch.last + 1 < unseen_cameras.FRAMES - 3
        assert (shares[stretch.first : stretch.last + 1].max(axis=1) < 1).all()


def test_films_by_sectors_go_from_middle_to_middle_on_the_cameras_circle() -> None:
    training = np.concatenate([ring(9, 3, 0.5), ring(9, 4, 1.0), ring(9, 5, 2.0)])
    film = films(sectors(4), training)["border-3-0"]
    centres = film[:, :, 3]
    assert np.allclose(np.hypot(centres[:, 0], centres[:, 1]), 4) and np.allclose(centres[:, 2], 1)
    assert np.allclose(np.degrees(azimuths(centres[[0, -1]])), [315, 45])
    ahead = -centres / np.linalg.norm(centres, axis=1, keepdims=True)
    assert np.allclose(film[:, :, 2], ahead)


def test_films_by_views_begin_and_end_a_view_beyond_the_border() -> None:
    router = by_views(5)
    made = films(router, router.poses)
    assert sorted(made) == [f"border-{a}-{b}" for a, b in ((0, 1), (0, 4), (1, 2), (2, 3), (3, 4))]
    assert np.allclose(made["border-1-2"][[0, -1]], router.poses[[10, 13]])
    assert np.allclose(made["border-1-2"][[0, 20, 39, 59]][:, :, 3].mean(axis=0), 
                       router.poses[[10, 11, 12, 13], :, 3].mean(axis=0), atol=0.05)  # fmt: skip


def test_one_group_has_no_border() -> None:
    assert films(sectors(1), ring(9)) == {} == films(by_views(1), ring(9))


def test_views_away_from_an_object_lie_between_and_above_the_training_views() -> None:
    training = np.concatenate([ring(31, 3.9, 0.8), ring(18, 2.5, 3.1)])
    away = away_of_object(training)
    assert np.array_equal(away, away_of_object(training)) and len(away) == unseen_cameras.AWAY
    centres = away[:, :, 3]
    radius = np.median(np.linalg.norm(training[:, :, 3], axis=1))
    distance = np.linalg.norm(centres, axis=1)
    assert ((0.85 * radius <= distance) & (distance <= 1.2 * radius)).all()
    elevation = np.degrees(np.arcsin(centres[:, 2] / distance))
    assert np.count_nonzero((elevation > 78) & (elevation < 88)) == unseen_cameras.NEAR_POLE
    assert np.count_nonzero((elevation > 5) & (elevation < 65)) == len(away) - 4
    phi = np.sort(azimuths(training[:, :, 3]))
    after = np.searchsorted(phi, azimuths(centres))
    gaps = np.diff(phi, append=phi[0] + 2 * np.pi)
    beyond = (azimuths(centres) - phi[after - 1]) % (2 * np.pi)
    assert np.allclose(beyond, gaps[after - 1] / 2)
    assert np.allclose(away[:, :, 2], -centres / distance[:, None])


def test_views_away_from_a_walk_lie_between_and_above_its_photos() -> None:
    photos = ring(40, 6.5, 1.6)
    away = away_of_place(photos)
    assert np.array_equal(away, away_of_place(photos)) and len(away) == unseen_cameras.AWAY
    between = (photos[:-1, :, 3] + photos[1:, :, 3]) / 2
    flat = np.linalg.norm(away[:, None, :2, 3] - between[None, :, :2], axis=-1)
    assert np.allclose(flat.min(axis=1), 0) and len(set(flat.argmin(axis=1))) == len(away)
    rise = away[:, 2, 3] - 1.6
    assert ((rise > 0.3) & (rise < 1.0)).all()
    for pose, first in zip(away, flat.argmin(axis=1), strict=True):
        straight = along(photos[first : first + 2], 3)[1]
        turn = Rotation.from_matrix(pose[:, :3] @ straight[:, :3].T).as_rotvec(degrees=True)
        assert np.abs(turn[2]) <= 15 and np.allclose(turn[:2], 0)


# --- measures


def a_film(frames: int = 20) -> NDArray[np.float32]:
    """Frames that change evenly, by 0.02 in each colour of each pixel."""
    made = np.zeros((frames, *SHAPE), np.float32)
    return made + np.float32(0.02) * np.arange(frames, dtype=np.float32)[:, None, None, None]


def shares_of(frames: int, first: int, last: int) -> Array:
    """Two experts, who blend from one frame to another."""
    second = np.interp(np.arange(frames), [first - 1, last + 1], [0, 1])
    return np.stack([1 - second, second], axis=1)


def test_a_film_changes_no_more_than_itself() -> None:
    film = a_film()
    assert np.allclose(changes(film), 0.02)
    assert excess(changes(film), changes(film))[0] == 0


def test_a_jump_is_found() -> None:
    film = a_film()
    jumped = film.copy()
    jumped[12:] += 0.01
    more, frame = excess(changes(jumped), changes(film))
    assert more == pytest.approx(50, abs=0.01) and frame == 11


def test_where_the_reference_stands_still_nothing_counts() -> None:
    still = a_film()
    still[5:8] = still[5]
    jumped = still.copy()
    jumped[6] += 0.5
    jumped[8:] = still[8:]
    more, frame = excess(changes(jumped[:8]), changes(still[:8]))
    assert more == pytest.approx(0) and frame < 5
    with pytest.raises(ValueError, match="stands still"):
        excess(changes(jumped[5:8]), changes(still[5:8]))


def test_the_stretch_is_where_experts_blend_or_the_switch() -> None:
    assert Stretch.of(shares_of(20, 7, 11)) == Stretch(7, 11)
    switch = np.repeat(np.eye(2), 5, axis=0)
    assert Stretch.of(switch) == Stretch(4, 5)
    with pytest.raises(ValueError, match="one expert"):
        Stretch.of(switch[:5])


def test_a_border_is_held_against_the_frames_around_it() -> None:
    scores = np.full(20, 30.0)
    scores[0], scores[-1] = 10.0, 50.0  # too far away to count
    scores[9] = 29.6
    assert below_neighbours(scores, Stretch(7, 11)) == (pytest.approx(0.4), 9)
    assert below_line(scores, Stretch(7, 11)) == (pytest.approx(0.4), 9)
    scores[9] = 30.1
    assert below_neighbours(scores, Stretch(9, 9)) == (pytest.approx(-0.1), 9)
    assert largest_step(scores) == (20.0, 0)
    with pytest.raises(ValueError, match="begins or ends"):
        below_line(scores, Stretch(0, 9))


def test_a_slope_is_no_dip() -> None:
    scores = np.linspace(34, 32, 20)
    assert below_line(scores, Stretch(7, 12))[0] == pytest.approx(0, abs=1e-9)
    assert below_neighbours(scores, Stretch(7, 12))[0] > 0.2


def a_shot(**by: NDArray[np.float32]) -> Shot:
    film = a_film()
    every = {"routed": film, "hard": film, "baseline": film} | by
    return Shot(ring(20), shares_of(20, 8, 10), every, film)


def test_the_truth_itself_meets_every_threshold() -> None:
    record = film_record(a_shot())
    for way in ("routed", "hard", "baseline"):
        assert record[way]["excess_percent"] == 0 and record[way]["below_line"] == 0
        assert record[way]["mean_psnr"] == 100
    said = sentences({"reference": "truth", "films": {"border-0-1": record}})
    assert len(said) == 3 and all(": met by " in line for line in said)


def test_what_misses_a_threshold_is_said() -> None:
    worse = a_film()
    worse[9] += 0.1
    said = sentences({"reference": "truth", "films": {"a": film_record(a_shot(routed=worse))}})
    assert all(": missed by " in line for line in said)
    assert "up to +500.0 %" in said[0] and "(hard switch +0.0 %" in said[0]


def test_away_views_are_compared_in_pairs() -> None:
    film = a_film()
    noise = np.random.default_rng(0).normal(0, 0.05, film.shape).astype(np.float32)
    record = away_record(a_shot(routed=film + noise / 2, baseline=film + noise), ring(10))
    gain = record["routed_over_baseline"]
    assert gain["mean"] == pytest.approx(20 * np.log10(2), abs=0.01)
    assert gain["views"] == gain["won"] == 20 and record["views_below"] == 0
    assert "met by 6.12 dB" in sentences({"reference": "truth", "films": {}, "away": record})[0]
    assert np.allclose(record["psnr"]["routed"], psnrs(film + noise / 2, film), atol=1e-3)


# --- the commands


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy's scene, routed model and baseline, untrained; films of 12 frames."""
    monkeypatch.setattr(unseen_cameras, "FRAMES", 12)
    monkeypatch.setattr(unseen_cameras, "AWAY", 4)
    monkeypatch.setattr(unseen_cameras, "NEAR_POLE", 1)
    root = tmp_path / "results"
    toy.scene().save(root / "toy" / "scene")
    runs = root / "toy" / "kplanes" / "seed0"
    routed, baseline = runs / "azimuth-2" / "trunk-2-of-8" / "routed", runs / "baseline-8"
    for folder in (routed, baseline):
        folder.mkdir(parents=True)
    save_routed(RoutedModel([lively(0), lively(1)], sectors(2)), routed, None, {})
    save_model(lively(2), baseline, {})
    return root


def write_truth(scene: Scene, model: RoutedModel, file: dict[str, Any], folder: Path) -> None:
    """The frames as a model shows them, twice as large."""
    for frame in file["frames"]:
        pose = torch.tensor(frame["camera_to_world"])[:3] @ torch.diag(
            torch.tensor([1.0, -1, -1, 1])
        )
        cameras = toy.cameras(1).select([0])
        cameras.world_from_camera[0] = pose
        picture = to_uint8(render_view(model, cameras, 0, torch.ones(3), 4096).rgb)
        path = folder / frame["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.repeat(2, axis=0).repeat(2, axis=1)).convert("RGBA").save(path)


def test_from_a_results_folder_to_a_record(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the routed model's own pictures for truth."""
    cameras, out, strip = tmp_path / "cams.json", tmp_path / "unseen.json", tmp_path / "strip.png"
    chosen = [str(results), "--scene", "toy"]
    unseen.main(["cameras", *chosen, "--out", str(cameras)])
    file = json.loads(cameras.read_text())
    assert [file["width"], file["height"]] == [24, 24]
    assert file["focal_pixels"] == pytest.approx(38.4)
    assert len(file["frames"]) == 2 * 12 + 4
    routed = RoutedModel([lively(0), lively(1)], sectors(2))
    write_truth(toy.scene(), routed, file, tmp_path / "truth")
    more = ["--cameras", str(cameras), "--truth", str(tmp_path / "truth"), "--strip", str(strip)]
    unseen.main(["measure", *chosen, *more, "--out", str(out)])
    record = json.loads(out.read_text())
    assert record["model"] == "toy/kplanes/seed0/azimuth-2/trunk-2-of-8/routed"
    assert record["baseline"] == "toy/kplanes/seed0/baseline-8"
    for film in record["films"].values():
        assert min(film["routed"]["psnr"]) > 50
        assert abs(film["routed"]["excess_percent"]) < 3 < film["hard"]["excess_percent"]
    assert record["away"]["routed_over_baseline"]["low"] > 10
    assert Image.open(strip).size == (7 * 144, 3 * 144)
    assert capsys.readouterr().out.count(": met by ") >= 2 * 1 + 1


def test_without_a_truth_films_are_held_against_the_baseline(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cameras, out = tmp_path / "cams.json", tmp_path / "unseen.json"
    chosen = [str(results), "--scene", "toy"]
    unseen.main(["cameras", *chosen, "--out", str(cameras)])
    more = ["--cameras", str(cameras), "--truth", "none", "--out", str(out)]
    unseen.main(["measure", *chosen, *more])
    record = json.loads(out.read_text())
    assert record["reference"] == "baseline" and "away" not in record
    for film in record["films"].values():
        assert film["baseline"]["excess_percent"] == 0 and "psnr" not in film["routed"]
    assert capsys.readouterr().out.count("over the baseline's") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scene", "nothing"], "holds no scene nothing"),
        (["--scene", "toy", "--model", "baseline"], "is not routed"),
        (["--scene", "toy", "--truth-cameras", "{truth}"], "lacks view00"),
    ],
)
def test_a_mistake_is_one_line(
    results: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"frames": []}))
    given = [argument.format(truth=truth) for argument in arguments]
    with pytest.raises(SystemExit, match=words):
        unseen.main(["cameras", str(results), *given, "--out", str(tmp_path / "cams.json")])
    assert not (tmp_path / "cams.json").exists()


def test_cameras_from_photos_are_brought_into_the_true_frame(results: Path) -> None:
    """A place whose true cameras are the scene's under a known similarity."""
    scene = toy.scene()
    made = a_similarity(np.random.default_rng(3))
    true = transformed_poses(scene.cameras.world_from_camera.numpy(), made)
    frames = [
        {"file": f"images/{name}", "camera_to_world": unseen._opengl(pose).tolist()}
        for name, pose in zip(scene.names, true, strict=True)
    ]
    truth = {"width": 48, "height": 48, "focal_pixels": 76.8, "frames": frames}
    poses = scene.cameras.world_from_camera.numpy()[list(scene.train)]
    router = Router("poses", 2, 0.2, poses, np.arange(12) // 6)
    model = RoutedModel([lively(0), lively(1)], router)
    file = unseen.camera_file(scene, model, truth)
    assert [file["width"], file["focal_pixels"]] == [48, 76.8]
    assert file["alignment"]["largest_distance"] < 1e-4 > file["alignment"]["median_degrees"]
    assert np.allclose(np.linalg.inv(file["scene_from_file"]), made)
    back = unseen._poses(file)
    assert set(back) == {"border-0-1", "away"}
    assert np.allclose(back["border-0-1"], films(router, poses)["border-0-1"])
    away = np.array([f["camera_to_world"] for f in file["frames"] if f["file"].startswith("away/")])
    assert np.allclose(away[:, :3] @ np.diag([1.0, -1, -1, 1]), away_of_place(true))


def test_the_scene_scripts_render_the_cameras_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bpy", "mathutils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules["mathutils"], "Matrix", None, raising=False)
    monkeypatch.syspath_prepend(SCENES)
    common = importlib.import_module("blender_common")
    monkeypatch.delitem(sys.modules, "blender_common")
    poses = [unseen._opengl(pose).tolist() for pose in ring(3)]
    frames = [{"file": f"a/{i}.png", "camera_to_world": pose} for i, pose in enumerate(poses)]
    file, out = tmp_path / "cams.json", tmp_path / "out"
    size = {"width": 64, "height": 48, "focal_pixels": 50.0}
    file.write_text(json.dumps({**size, "frames": frames}))
    (out / "a").mkdir(parents=True)
    (out / "a" / "1.png").touch()
    pixels, focal, missing = common.missing_cameras(file, out, 0.5)
    assert pixels == (32, 24) and focal == 25.0
    assert [path for path, _ in missing] == [out / "a" / "0.png", out / "a" / "2.png"]
    assert np.array_equal(missing[1][1], poses[2])
    file.write_text(json.dumps({**size, "frames": [{**frames[0], "file": "../0.png"}]}))
    with pytest.raises(ValueError, match="not below"):
        common.missing_cameras(file, out)
