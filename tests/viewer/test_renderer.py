from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
import toy

from dac.evaluation.render import render_view
from dac.fields.model import Model, build_model
from dac.ops.rays import Rendered
from dac.viewer.poses import window_camera
from dac.viewer.renderer import Renderer
from dac.viewer.resolution import Resolution
from dac.viewer.tasks import Live, ProgressiveRender, Wish

SPACE = toy.scene().space
WHITE = torch.ones(3)


class Counted:
    """A task of so many steps that tells what was done."""

    def __init__(self, name: str, steps: int, priority: int, done: list[str]) -> None:
        self.name, self.left, self.priority, self.done = name, steps, priority, done

    def step(self) -> bool:
        self.left -= 1
        self.done.append(self.name)
        return self.left == 0


def test_the_urgent_comes_first_and_equals_take_turns() -> None:
    renderer, done = Renderer(), []
    renderer.submit(1, "live", Counted("fine", 2, 3, done))
    assert renderer.work()
    renderer.submit(2, "live", Counted("a", 2, 0, done))
    renderer.submit(3, "live", Counted("b", 2, 0, done))
    while renderer.work():
        pass
    assert done == ["fine", "a", "b", "a", "b", "fine"]


def test_a_newer_task_takes_the_place_of_refinement_but_not_of_a_begun_urgent_one() -> None:
    renderer, done = Renderer(), []
    renderer.submit(1, "live", Counted("fine", 9, 2, done))
    renderer.work()
    for name in ("first", "second", "third"):
        renderer.submit(1, "live", Counted(name, 3, 0, done))
        renderer.work()
    while renderer.work():
        pass
    assert done == ["fine", *["first"] * 3, *["third"] * 3]


def test_a_page_that_is_gone_costs_nothing() -> None:
    renderer, done = Renderer(), []
    renderer.submit(1, "live", Counted("gone", 9, 2, done))
    renderer.submit(2, "live", Counted("here", 2, 2, done))
    renderer.work()
    renderer.drop(1)
    while renderer.work():
        pass
    assert done == ["gone", "here", "here"]


def test_an_error_ends_its_task_alone(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        priority = 0

        def step(self) -> bool:
            raise RuntimeError("broken")

    renderer, done = Renderer(), []
    renderer.submit(1, "live", Broken())
    renderer.submit(2, "live", Counted("here", 1, 1, done))
    while renderer.work():
        pass
    assert done == ["here"] and "could not be made" in caplog.text


def test_the_thread_works_when_there_is_work_and_ends() -> None:
    ended = threading.Event()

    class Ends(Counted):
        def step(self) -> bool:
            done = super().step()
            if done:
                ended.set()
            return done

    renderer, done = Renderer(), []
    renderer.start()
    renderer.submit(1, "live", Ends("a", 3, 0, done))
    assert ended.wait(30)
    renderer.stop()
    assert done == ["a"] * 3


@pytest.fixture(scope="module")
def models() -> tuple[Model, Model]:
    return build_model(toy.model_settings(), SPACE, 0), build_model(toy.model_settings(), SPACE, 1)


@pytest.mark.parametrize("column", [0, 9, toy.SIZE])
@pytest.mark.parametrize("rays", [50, 1000])
def test_columns_of_two_models_are_those_of_each(
    models: tuple[Model, Model], column: int, rays: int
) -> None:
    cameras = toy.cameras(3)
    rendering = ProgressiveRender(cameras, 1, *models, column, WHITE)
    while not rendering.step(rays):
        pass
    whole = [render_view(model, cameras, 1, WHITE, 1000) for model in models]
    for ours, left, right in zip(rendering.result, *whole, strict=True):
        torch.testing.assert_close(ours[:, :column], left[:, :column])
        torch.testing.assert_close(ours[:, column:], right[:, column:])


def wish(model: Model, **changes: object) -> Wish:
    values = {
        "world_from_camera": toy.cameras(3).world_from_camera[1].numpy(),
        "fov": 0.6,
        "window": (160, 100),
        "left": model,
        "right": None,
        "split": 0.5,
        "show": "RGB",
    }
    return Wish(**{**values, **changes})  # type: ignore[arg-type]


def test_a_live_picture_grows_to_the_window_and_is_its_camera_s(
    models: tuple[Model, Model],
) -> None:
    shown: list[tuple[Rendered, bool]] = []
    resolution = Resolution(1 / (13.5 * 4000))
    task = Live(wish(models[0]), resolution, WHITE, lambda *what: shown.append(what))
    assert task.priority == 0
    while not task.step():
        assert (task.priority == 0) == (not shown)
    assert [tuple(rendered.depth.shape) for rendered, _ in shown] == [(50, 80), (100, 160)]
    assert [last for _, last in shown] == [False, True]
    camera = window_camera(wish(models[0]).world_from_camera, 0.6, (160, 100), (160, 100))
    expected = render_view(models[0], camera, 0, WHITE, 5000)
    torch.testing.assert_close(shown[-1][0].rgb, expected.rgb)


def test_wishes_are_the_same_when_nothing_can_be_seen_to_differ(
    models: tuple[Model, Model],
) -> None:
    one = wish(models[0])
    moved = one.world_from_camera + np.eye(3, 4) * 1e-3
    assert one.same(wish(models[0])) and not one.same(None)
    for change in (
        {"left": models[1]},
        {"right": models[1]},
        {"show": "depth"},
        {"window": (161, 100)},
        {"fov": 0.61},
        {"world_from_camera": moved},
    ):
        assert not one.same(wish(**{"model": models[0], **change}))  # type: ignore[arg-type]
