"""The viewer's page in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import (
    Visit,
    chromium,
    colour_at,
    look_at,
    on_screen,
    opened,
    pictures_shown,
    serving,
    until,
    yellow,
)

from dac.evaluation.metrics import psnr
from dac.evaluation.render import render_view
from dac.evaluation.truth import truth_image
from dac.export.keyframes import (
    make_keyframe,
    make_keyframes,
    motion,
    read_keyframes,
    write_keyframes,
)
from dac.fields.model import load_model
from dac.scenes.scene import Scene
from dac.viewer import pictures
from dac.viewer.overlay import Overlay

sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("viser")
pytestmark = pytest.mark.slow

TRAINED, UNTRAINED = "baseline, 150 steps", "expert 0 (azimuth, K = 2)"
CLOSE = 4.0  # mean difference of 8-bit colours that JPEG and the browser's texture may make
SMALL = 3 * CLOSE  # the same of a picture of some pixels, where JPEG halves the colours' resolution


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    executable = chromium()
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable,
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def visit(browser: Any, toy_results: Path) -> Iterator[Visit]:
    with serving(toy_results) as server:
        yield opened(browser, server, toy_results)


def test_the_page_shows_what_its_camera_sees(visit: Visit) -> None:
    visit.browser.get_by_label("Cameras", exact=True).uncheck()
    expected = visit.expected("RGB", "baseline-150")
    until(lambda: visit.differs(expected) < CLOSE)
    assert visit.seen().std() > 20
    assert visit.differs(expected[:, ::-1]) > 3 * CLOSE
    assert visit.errors == []


def test_another_model_another_picture(visit: Visit) -> None:
    before = visit.expected("RGB", "baseline-150")
    visit.choose("Model", UNTRAINED)
    expected = visit.expected("RGB", "azimuth-2/expert0")
    assert np.abs(before - expected).mean() > 2 * CLOSE
    until(lambda: visit.differs(expected) < CLOSE)
    visit.choose("Model", TRAINED)
    until(lambda: visit.differs(before) < CLOSE)


def test_side_by_side(visit: Visit) -> None:
    visit.choose("Compare with", UNTRAINED)
    until(lambda: visit.page._wish.right is not None)
    expected = visit.expected("RGB", "baseline-150", "azimuth-2/expert0")
    until(lambda: visit.differs(expected) < CLOSE)
    visit.choose("Compare with", "nothing")
    until(lambda: visit.page._wish.right is None)


def test_depth_and_its_legend(visit: Visit) -> None:
    visit.choose("Show", "depth")
    until(lambda: visit.page._wish.show == "depth")
    expected = visit.expected("depth", "baseline-150")
    until(lambda: visit.differs(expected) < CLOSE)
    until(lambda: visit.browser.get_by_text("even in 1 / distance").count() == 1)
    visit.choose("Show", "accumulation")
    until(lambda: visit.page._wish.show == "accumulation")
    expected = visit.expected("accumulation", "baseline-150")
    until(lambda: visit.differs(expected) < CLOSE)
    visit.choose("Show", "RGB")


def test_a_photo_beside_its_render(visit: Visit) -> None:
    scene = Scene.load(visit.results / "toy" / "scene")
    visit.browser.get_by_role("tab", name="Photos").click()
    visit.choose("Photo", f"{scene.names[5]} (test)")
    until(lambda: visit.browser.get_by_text("dB").count() >= 1)
    assert visit.browser.get_by_role("img").count() >= 3
    pose = scene.cameras.world_from_camera[5].numpy()
    until(lambda: np.allclose(visit.page._wish.world_from_camera, pose, atol=1e-3))
    visit.page._choose(scene.train[3])
    pose = scene.cameras.world_from_camera[scene.train[3]].numpy()
    until(lambda: np.allclose(visit.page._wish.world_from_camera, pose, atol=1e-3))
    expected = visit.expected("RGB", "baseline-150")
    until(lambda: visit.differs(expected) < CLOSE)


def test_a_click_on_a_camera_shows_its_photo(visit: Visit) -> None:
    """The camera is behind the sphere, whose picture is drawn below it."""
    scene = visit.page._context.scene
    model = load_model(visit.results / "toy/kplanes/seed0/baseline-150")
    visit.browser.get_by_role("tab", name="View").click()
    visit.browser.get_by_label("Cameras", exact=True).check()
    view = 2  # of the blue group
    pose = scene.cameras.world_from_camera[view].numpy()
    look_at(visit, -1.4 * pose[:, 3], np.array([0.3, 0.2, 0.1]))
    where = on_screen(visit, pose @ [0.04, 0, 0.2, 1])  # of no line of the pyramid
    until(lambda: visit.page._context.renderer._begun == {})
    before = yellow(visit, where)
    visit.browser.mouse.move(*where)
    until(lambda: yellow(visit, where) > before + 40)
    visit.browser.mouse.click(*where)
    until(lambda: np.allclose(visit.page._wish.world_from_camera, pose, atol=1e-3))
    visit.browser.get_by_text(scene.names[view], exact=True).wait_for()
    visit.browser.get_by_role("tab", name="Photos").click()
    rendered = render_view(model, scene.cameras, view, visit.page._context.background, 8192).rgb
    truth = truth_image(scene, view)
    visit.browser.get_by_text(f"{psnr(rendered.clamp(0, 1), truth):.2f} dB").wait_for()
    error = (rendered.clamp(0, 1) - truth).abs() * pictures.ERROR_GAIN
    until(lambda: len(pictures_shown(visit)) == 3)
    wanted = [255 * image.clamp(0, 1).numpy() for image in (truth, rendered, error)]
    shown = pictures_shown(visit)
    assert max(np.abs(a - b).mean() for a, b in zip(shown, wanted, strict=True)) < SMALL
    photos = [255 * truth_image(scene, other).numpy() for other in scene.train]
    for image in shown[:2]:
        nearest = np.argmin([np.abs(image - photo).mean() for photo in photos])
        assert scene.train[nearest] == view
    # One stands in the camera now: it is out of the way.
    picture = visit.expected("RGB", "baseline-150")
    until(lambda: visit.differs(picture) < CLOSE)
    visit.browser.get_by_role("tab", name="View").click()
    visit.browser.get_by_label("Cameras", exact=True).uncheck()


def test_a_path_is_made_played_and_kept(visit: Visit) -> None:
    scene = Scene.load(visit.results / "toy" / "scene")
    visit.browser.get_by_role("tab", name="Path").click()
    for view in (0, 2):
        visit.page._choose(view)
        pose = scene.cameras.world_from_camera[view].numpy()
        until(lambda pose=pose: np.allclose(visit.page._wish.world_from_camera, pose, atol=1e-3))
        visit.browser.get_by_role("button", name="Add keyframe here").click()
        count = 1 + (view > 0)
        until(lambda count=count: len(visit.page._path._keyframes) == count)
    visit.browser.get_by_role("button", name="Save", exact=True).click()
    file = visit.results / "toy" / "camera_paths" / "path.json"
    until(file.is_file)
    path = read_keyframes(file)
    assert [frame.seconds for frame in path.keyframes] == [0, 2]
    for frame, view in zip(path.keyframes, (0, 2), strict=True):
        expected = scene.cameras.world_from_camera[view].numpy()
        np.testing.assert_allclose(frame.pose, expected, atol=1e-3)
    visit.page._choose(10)
    visit.browser.get_by_role("button", name="Play").click()
    last = path.keyframes[-1].pose
    until(lambda: np.allclose(visit.page._wish.world_from_camera, last, atol=1e-3))


def test_a_loaded_path_is_saved_unchanged(visit: Visit) -> None:
    """The browser shows rounded numbers and must not send them back."""
    poses = Scene.load(visit.results / "toy" / "scene").cameras.world_from_camera.numpy()
    frames = [make_keyframe(poses[i], 40.0123, 1.23456 * i) for i in range(3)]
    path = make_keyframes(frames, 24000 / 1001)
    folder = visit.results / "toy" / "camera_paths"
    write_keyframes(folder / "film.json", path)
    editor = visit.page._path
    visit.browser.get_by_role("tab", name="Path").click()
    editor._files._name.value = "film"
    visit.browser.get_by_role("button", name="Load", exact=True).click()
    until(lambda: len(editor._keyframes) == 3)
    for place in (3, 2):
        name = f"{place}: {frames[place - 1].seconds:g} s"
        visit.choose("Keyframe", name)
        until(lambda name=name: editor._list.value == name)
    editor._files._name.value = "copy"
    visit.browser.get_by_role("button", name="Save", exact=True).click()
    until((folder / "copy.json").is_file)
    assert read_keyframes(folder / "copy.json") == path
    visit.browser.get_by_role("button", name="Delete").click()
    until(lambda: [frame.seconds for frame in editor._keyframes] == [0, 2 * 1.23456])


def test_a_keyframe_is_drawn_and_can_be_clicked(visit: Visit) -> None:
    """Where the path goes, the picture is the path's colour; with the checkbox off, it isn't."""
    scene, editor = visit.page._context.scene, visit.page._path
    poses = scene.cameras.world_from_camera.numpy()
    frames = [make_keyframe(poses[view], 40.0, seconds) for view, seconds in ((1, 0.0), (5, 1.5))]
    path = make_keyframes(frames, 30)
    editor._put_path(path)
    centre = motion(path)(np.array([0.75])).poses[0, :, 3]
    look_at(visit, 1.5 * centre, np.array([0.0, 0.0, 0.1]))
    where = on_screen(visit, centre)

    def magenta() -> bool:
        red, green, blue = colour_at(visit, where)
        return min(red, blue) - green > 50

    visit.browser.get_by_role("tab", name="Path").click()
    until(magenta)
    visit.browser.get_by_label("Show path", exact=True).uncheck()
    until(lambda: not magenta())
    visit.browser.get_by_label("Show path", exact=True).check()
    until(magenta)
    assert editor._list.value == "1: 0 s"
    look_at(visit, -1.4 * poses[5, :, 3], np.array([0.3, 0.2, 0.1]))
    visit.browser.mouse.click(*on_screen(visit, poses[5] @ [0.04, 0, 0.2, 1]))
    until(lambda: (editor._list.value, editor._seconds.value) == ("2: 1.5 s", 1.5))


def test_a_path_goes_to_the_visitor_s_machine_and_back(visit: Visit, tmp_path: Path) -> None:
    editor = visit.page._path
    visit.browser.get_by_role("tab", name="Path").click()
    with visit.browser.expect_download() as download:
        visit.browser.get_by_role("button", name="Download").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    kept = list(editor._keyframes)
    assert list(read_keyframes(file).keyframes) == kept and len(kept) > 0
    other = tmp_path / "other.json"
    write_keyframes(other, make_keyframes(kept[:1], 24))

    def upload(chosen: Path) -> None:
        with visit.browser.expect_file_chooser() as chooser:
            visit.browser.get_by_role("button", name="Upload").click()
        chooser.value.set_files(chosen)

    upload(other)
    until(lambda: (editor._keyframes, editor._fps.value) == (kept[:1], 24))
    other.write_text("{}")
    upload(other)
    visit.browser.get_by_text("other.json: version: missing").wait_for()
    upload(file)
    until(lambda: editor._keyframes == kept)


def test_two_tabs_don_t_meddle_with_each_other(browser: Any, visit: Visit) -> None:
    visit.browser.get_by_role("tab", name="View").click()
    mine = visit.expected("RGB", "baseline-150")
    until(lambda: visit.differs(mine) < CLOSE)
    wish, said = visit.page._wish, list(visit.page._path._keyframes)
    other = opened(browser, visit.server, visit.results, width=640, height=400)
    other.browser.get_by_label("Cameras", exact=True).uncheck()
    other.choose("Model", UNTRAINED)
    look_at(other, np.array([3.0, 2.0, 1.5]), np.zeros(3), fov=0.5)
    expected = other.expected("RGB", "azimuth-2/expert0")
    until(lambda: other.differs(expected) < CLOSE)
    assert other.differs(other.expected("RGB", "baseline-150")) > 2 * CLOSE
    other.browser.get_by_role("tab", name="Path").click()
    other.browser.get_by_role("button", name="Add keyframe here").click()
    until(lambda: len(other.page._path._keyframes) == 1)
    assert visit.page._wish.left is wish.left and visit.page._path._keyframes == said
    np.testing.assert_array_equal(visit.page._wish.world_from_camera, wish.world_from_camera)
    until(lambda: visit.differs(mine) < CLOSE)
    look_at(visit, np.array([-3.0, 2.0, 1.5]), np.zeros(3))
    until(lambda: other.differs(expected) < CLOSE)
    assert visit.errors == other.errors == []
    renderer, gone = visit.server._context.renderer, other.page._client.client_id
    other.browser.close()
    until(lambda: list(visit.server._pages.values()) == [visit.page])
    until(lambda: all(key[0] != gone for key in [*renderer._served, *renderer._wanted]))
    moved = visit.expected("RGB", "baseline-150")
    until(lambda: visit.differs(moved) < CLOSE)


def test_a_scene_without_points_on_a_phone(browser: Any, toy_results: Path, tmp_path: Path) -> None:
    """The panel has no control for them, and can be closed to see the whole picture."""
    shutil.copytree(toy_results / "toy", tmp_path / "toy")
    shutil.rmtree(tmp_path / "toy" / "points")
    with serving(tmp_path) as server:
        phone = opened(browser, server, tmp_path, width=390, height=844)
        cameras = phone.browser.get_by_label("Cameras", exact=True)
        cameras.uncheck()
        assert phone.browser.get_by_label("Points", exact=True).count() == 0
        assert phone.browser.get_by_text("Groups shown").is_visible()
        title = phone.browser.get_by_text("DaC: toy")
        assert title.bounding_box()["y"] < 700
        title.click()
        until(lambda: not cameras.is_visible() and title.bounding_box()["y"] > 780)
        expected = phone.expected("RGB", "baseline-150")
        assert expected.shape == (844, 390, 3)
        until(lambda: np.abs(phone.seen() - expected)[180:780].mean() < CLOSE)
        title.click()
        until(cameras.is_visible)
        assert phone.errors == []
        phone.browser.close()


def test_a_scene_without_groups(browser: Any, toy_results: Path, tmp_path: Path) -> None:
    shutil.copytree(toy_results / "toy", tmp_path / "toy")
    (tmp_path / "toy" / "azimuth-2" / "partition.json").unlink()
    with serving(tmp_path) as server:
        visit = opened(browser, server, tmp_path, width=640, height=400)
        visit.browser.get_by_label("Points", exact=True).check()
        assert visit.browser.get_by_label("Groups", exact=True).count() == 0
        assert visit.browser.get_by_text("Groups shown").count() == 0
        until(lambda: visit.page._overlay._nodes["points", 0].visible)
        assert visit.errors == []
        visit.browser.close()


def test_nothing_was_asked_of_another_host_and_nothing_went_wrong(visit: Visit) -> None:
    assert visit.hosts - {""} == {f"127.0.0.1:{visit.server.port}"}
    assert visit.errors == []


def test_a_page_that_could_not_be_sent_is_sent_anew(
    browser: Any, toy_results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, drawn = Overlay.draw, []

    def draw(overlay: Overlay, partition: Any) -> None:
        real(overlay, partition)
        drawn.append(overlay)
        if len(drawn) == 1:
            raise RuntimeError("deque mutated during iteration")

    monkeypatch.setattr(Overlay, "draw", draw)
    with serving(toy_results) as server:
        visit = opened(browser, server, toy_results)
        assert len(drawn) == 2 and len(server._pages) == 1
        visit.browser.get_by_label("Cameras", exact=True).uncheck()
        expected = visit.expected("RGB", "baseline-150")
        until(lambda: visit.differs(expected) < CLOSE)
        assert visit.browser.get_by_text("Path", exact=True).count() == 1, "the panel stands twice"
        visit.browser.close()


def test_a_closed_tab_costs_nothing(visit: Visit) -> None:
    visit.browser.close()
    until(lambda: not visit.server._pages)
    renderer = visit.server._context.renderer
    until(lambda: not renderer._wanted and not renderer._begun)
