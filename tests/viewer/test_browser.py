"""The viewer's page in a real browser, headless; DAC_CHROMIUM may name one."""

from __future__ import annotations

import io
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from dac.evaluation.render import render_view
from dac.fields.model import load_model
from dac.scenes.scene import Scene
from dac.viewer import pictures
from dac.viewer.page import Page
from dac.viewer.poses import window_camera

sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("viser")
pytestmark = pytest.mark.slow

TRAINED, UNTRAINED = "baseline, 150 steps", "expert 0 (azimuth, K = 2)"
SECONDS = 60.0
CLOSE = 4.0  # mean difference of 8-bit colours that JPEG and the browser's texture may make


def chromium() -> str:
    names = [os.environ.get("DAC_CHROMIUM"), "/usr/bin/chromium", "chromium", "google-chrome"]
    found = [path for name in names if name and (path := shutil.which(name))]
    if not found:
        pytest.skip("no chromium was found; DAC_CHROMIUM may name one")
    return found[0]


@dataclass
class Visit:
    """A page in the browser, and the server's side of it."""

    browser: Any
    server: Any
    results: Path
    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    @property
    def page(self) -> Page:
        until(lambda: len(self.server._pages) == 1)
        return next(iter(self.server._pages.values()))

    def seen(self) -> np.ndarray:
        """(H, W, 3) the 3D view, as floats of 0 to 255."""
        box = self.browser.locator("canvas").first.bounding_box()
        png = self.browser.screenshot(clip=box)
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.float64)

    def expected(self, show: str, left: str, right: str | None = None) -> np.ndarray:
        """What the page's camera sees, rendered whole; as `seen`."""
        # The page tells its size some time after it has changed.
        until(lambda: self.seen().shape[:2] == tuple(self.page._wish.window)[::-1])
        wish = self.page._wish
        camera = window_camera(wish.world_from_camera, wish.fov, wish.window, wish.window)
        column = wish.column(wish.window[0])
        background = self.page._place.background
        parts = [
            pictures.picture(
                render_view(
                    load_model(self.results / "toy/kplanes/seed0" / name),
                    camera,
                    0,
                    background,
                    8192,
                ),
                show,  # type: ignore[arg-type]
            )
            for name in (left, right or left)
        ]
        whole = np.concatenate([parts[0][:, :column], parts[1][:, column:]], axis=1)
        return whole.astype(np.float64)

    def differs(self, expected: np.ndarray) -> float:
        seen = self.seen()
        assert seen.shape == expected.shape
        # The browser's own messages lie over the top, the panel's shadow over the right edge.
        return float(np.abs(seen - expected)[180:, :-12].mean())

    def choose(self, label: str, option: str) -> None:
        self.browser.get_by_label(label, exact=True).first.click()
        self.browser.get_by_role("option", name=option, exact=True).click()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, "it didn't happen in time"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def visit(toy_results: Path) -> Iterator[Visit]:
    from dac.viewer.server import Server, make_place

    executable = chromium()
    server = Server(make_place(toy_results, model="baseline"), "127.0.0.1", 0)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable,
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        )
        tab = browser.new_page(viewport={"width": 800, "height": 500})
        tab.set_default_timeout(120_000)  # a machine that does other work takes its time
        visit = Visit(tab, server, toy_results)
        tab.on("console", lambda m: visit.errors.append(m.text) if m.type == "error" else None)
        tab.on("pageerror", lambda error: visit.errors.append(str(error)))
        tab.on("request", lambda request: visit.hosts.add(urlsplit(request.url).netloc))
        tab.on("websocket", lambda socket: visit.hosts.add(urlsplit(socket.url).netloc))
        tab.goto(f"http://127.0.0.1:{server.port}")
        yield visit
        browser.close()
    server.close()


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


def test_a_path_is_made_played_and_kept(visit: Visit) -> None:
    from dac.export.keyframes import read_keyframes

    scene = Scene.load(visit.results / "toy" / "scene")
    visit.browser.get_by_role("tab", name="Path").click()
    for view in (0, 2):
        visit.page._choose(view)
        pose = scene.cameras.world_from_camera[view].numpy()
        until(lambda pose=pose: np.allclose(visit.page._wish.world_from_camera, pose, atol=1e-3))
        visit.browser.get_by_role("button", name="Add keyframe here").click()
        count = 1 + (view > 0)
        until(lambda count=count: len(visit.page._path._keyframes) == count)
    visit.browser.get_by_role("button", name="Save").click()
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
    from dac.export.keyframes import make_keyframe, make_keyframes, read_keyframes, write_keyframes

    poses = Scene.load(visit.results / "toy" / "scene").cameras.world_from_camera.numpy()
    frames = [make_keyframe(poses[i], 40.0123, 1.23456 * i) for i in range(3)]
    path = make_keyframes(frames, 24000 / 1001)
    folder = visit.results / "toy" / "camera_paths"
    write_keyframes(folder / "film.json", path)
    editor = visit.page._path
    visit.browser.get_by_role("tab", name="Path").click()
    editor._name.value = "film"
    visit.browser.get_by_role("button", name="Load").click()
    until(lambda: len(editor._keyframes) == 3)
    for place in (3, 2):
        name = f"{place}: {frames[place - 1].seconds:g} s"
        visit.choose("Keyframe", name)
        until(lambda name=name: editor._list.value == name)
    editor._name.value = "copy"
    visit.browser.get_by_role("button", name="Save").click()
    until((folder / "copy.json").is_file)
    assert read_keyframes(folder / "copy.json") == path
    visit.browser.get_by_role("button", name="Delete").click()
    until(lambda: [frame.seconds for frame in editor._keyframes] == [0, 2 * 1.23456])


def test_nothing_was_asked_of_another_host_and_nothing_went_wrong(visit: Visit) -> None:
    assert visit.hosts - {""} == {f"127.0.0.1:{visit.server.port}"}
    assert visit.errors == []


def test_a_closed_tab_costs_nothing(visit: Visit) -> None:
    visit.browser.close()
    until(lambda: not visit.server._pages)
    renderer = visit.server._place.renderer
    until(lambda: not renderer._wanted and not renderer._begun)
