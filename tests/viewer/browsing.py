"""A page of the viewer in a real browser, headless; DAC_CHROMIUM may name one."""

from __future__ import annotations

import base64
import io
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from dac.evaluation.render import render_view
from dac.fields.model import load_model
from dac.viewer import pictures
from dac.viewer.page import Page
from dac.viewer.poses import window_camera

SECONDS = 60.0


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
    page: Page
    server: Any
    results: Path
    errors: list[str]
    hosts: set[str]

    def seen(self) -> np.ndarray:
        """(H, W, 3) the 3D view, as floats of 0 to 255."""
        box = self.browser.locator("canvas").first.bounding_box()
        png = self.browser.screenshot(clip=box)
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.float64)

    def expected(self, show: str, left: str, right: str | None = None) -> np.ndarray:
        """What the page's camera sees, rendered whole; as `seen`."""

        def told() -> bool:
            height, width, _ = self.seen().shape
            return bool(np.isclose(np.divide(*self.page._wish.window), width / height, atol=0.01))

        # The page tells its shape some time after it has changed. Its size may stay smaller: where
        # drawing is slow, viser draws fewer pixels than the window has.
        until(told)
        wish, (height, width, _) = self.page._wish, self.seen().shape
        camera = window_camera(wish.world_from_camera, wish.fov, wish.window, (width, height))
        column = wish.column(width)
        background = self.page._context.background
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


@contextmanager
def serving(results: Path) -> Iterator[Any]:
    from dac.viewer.server import Server, make_context

    server = Server(make_context(results, model="baseline"), "127.0.0.1", 0)
    yield server
    server.close()


def opened(browser: Any, server: Any, results: Path, width: int = 800, height: int = 500) -> Visit:
    """A new page of a server."""
    before, errors, hosts = set(server._pages), [], set()
    tab = browser.new_page(viewport={"width": width, "height": height})
    tab.set_default_timeout(120_000)  # a machine that does other work takes its time
    tab.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    tab.on("websocket", lambda socket: hosts.add(urlsplit(socket.url).netloc))
    tab.goto(f"http://127.0.0.1:{server.port}")
    until(lambda: len(server._pages) > len(before))
    (new,) = set(server._pages) - before
    return Visit(tab, server._pages[new], server, results, errors, hosts)


def on_screen(visit: Visit, point: np.ndarray) -> tuple[float, float]:
    """Where in the browser's window a point (3,) of the scene is seen."""
    camera = visit.page._client.camera
    box = visit.browser.locator("canvas").first.bounding_box()
    x, y, z = Rotation.from_quat(np.roll(camera.wxyz, -1)).inv().apply(point - camera.position)
    assert z > 0
    focal = box["height"] / 2 / math.tan(camera.fov / 2)
    where = (
        box["x"] + box["width"] / 2 + focal * x / z,
        box["y"] + box["height"] / 2 + focal * y / z,
    )
    assert 0 < where[0] - box["x"] < box["width"] and 200 < where[1] < box["height"]
    return where


def look_at(visit: Visit, eye: np.ndarray, target: np.ndarray, fov: float = 0.9) -> None:
    """Move the page's camera, and wait until its picture is asked for."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.column_stack([right, np.cross(forward, right), forward, eye])
    visit.page.move(pose, fov, float(np.linalg.norm(target - eye)))
    until(lambda: np.allclose(visit.page._wish.world_from_camera, pose, atol=1e-3))


def colour_at(visit: Visit, where: tuple[float, float]) -> tuple[float, float, float]:
    """Red, green and blue, 0 to 255, of the picture at a place."""
    spot = {"x": where[0] - 1, "y": where[1] - 1, "width": 2, "height": 2}
    png = visit.browser.screenshot(clip=spot)
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.float64).reshape(-1, 3)
    red, green, blue = np.median(pixels, axis=0).tolist()
    return red, green, blue


def yellow(visit: Visit, where: tuple[float, float]) -> float:
    """How yellow the picture is at a place: viser's colour of what the pointer is on."""
    red, green, blue = colour_at(visit, where)
    return (red + green) / 2 - blue


def pictures_shown(visit: Visit) -> list[np.ndarray]:
    """The panel's pictures in their own size, as floats of 0 to 255."""
    read = """image => {
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        canvas.getContext("2d").drawImage(image, 0, 0);
        return canvas.toDataURL();
    }"""
    images = [image for image in visit.browser.get_by_role("img").all() if image.is_visible()]
    urls = [image.evaluate(read) for image in images if image.evaluate("i => i.naturalWidth > 1")]
    files = [io.BytesIO(base64.b64decode(url.split(",")[1])) for url in urls]
    return [np.asarray(Image.open(file).convert("RGB"), np.float64) for file in files]
