"""The path editor through its handlers, on viser's own handles, without a browser."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dac.export.keyframes import interpolate, read_keyframes
from dac.viewer import path_editor
from dac.viewer.frusta import Frusta
from dac.viewer.path_editor import PathEditor
from dac.viewer.poses import Floats

FPS = 24000 / 1001


class Gui:
    """viser's, remembering the handles by label."""

    def __init__(self, gui: Any) -> None:
        self._gui, self.handles = gui, {}

    def __getattr__(self, name: str) -> Any:
        def add(*rest: Any, **named: Any) -> Any:
            handle = getattr(self._gui, name)(*rest, **named)
            if rest:
                self.handles[rest[0]] = handle
            return handle

        return add


class Desk:
    """An editor, and its screen: the camera that it sees and moves, what it says and sends."""

    def __init__(self, client: Any, folder: Path) -> None:
        self.gui, self.scene, self.folder = Gui(client.gui), client.scene, folder
        self.frusta = Frusta(self.scene, 0.1, 1.5)
        self.at = (pose(0), 0.7)
        self.moves: list[tuple[Floats, float]] = []
        self.said: list[str] = []
        self.sent: list[tuple[str, bytes]] = []
        self.editor = PathEditor(self.gui, self.scene, self.frusta, folder, self)  # type: ignore[arg-type]

    def camera(self) -> tuple[Floats, float]:
        return self.at

    def move(self, world_from_camera: Floats, fov: float) -> None:
        self.moves.append((world_from_camera, fov))

    def tell(self, title: str, text: str) -> None:
        self.said.append(f"{title}: {text}")

    def send(self, name: str, content: bytes) -> None:
        self.sent.append((name, content))

    def press(self, label: str, option: str = "") -> None:
        for callback in self.gui.handles[label]._impl.update_cb:
            callback(SimpleNamespace(target=SimpleNamespace(value=option)))

    def set(self, label: str, value: Any) -> None:
        self.gui.handles[label].value = value

    def shown(self, label: str) -> Any:
        return self.gui.handles[label].value

    def add(self, *turns: float) -> None:
        for turn in turns:
            self.at = (pose(turn), 0.7 + turn / 100)
            self.press("Add keyframe here")

    def load(self, name: str) -> None:
        self.set("Name", name)
        self.press("With the results", "Load")

    def saved(self, name: str) -> Any:
        self.set("Name", name)
        self.press("With the results", "Save")
        return read_keyframes(self.folder / f"{name}.json")


def pose(turn: float) -> Floats:
    rotation = Rotation.from_rotvec([0.1 * turn, 0.3, turn]).as_matrix()
    return np.column_stack([rotation, [turn, turn**2, -1.0]])


@pytest.fixture
def desk(viser_server: Any, tmp_path: Path) -> Desk:
    return Desk(viser_server, tmp_path)


def path_file(file: Path, *, closed: bool) -> None:
    turns = [0.0, 0.4, 1.1, 0.0 if closed else 1.3]
    frames = [
        {"world_from_camera": pose(turn).tolist(), "fov_degrees": 40 + turn, "seconds": at}
        for turn, at in zip(turns, (0.5, 0.8, 2.1234, 2.5), strict=True)
    ]
    file.write_text(json.dumps({"version": 1, "fps": FPS, "keyframes": frames}))


@pytest.mark.parametrize("closed", [False, True])
def test_the_preview_moves_as_the_video(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    """Pose after pose is that of a video of 30 frames a second; a loop's ends where it began."""
    clock = SimpleNamespace(now=0.0)
    time = SimpleNamespace(
        perf_counter=lambda: clock.now,
        sleep=lambda seconds: setattr(clock, "now", clock.now + seconds),
    )
    monkeypatch.setattr(path_editor, "time", time)
    path_file(desk.folder / "a.json", closed=closed)
    desk.load("a")
    desk.press("Play")
    keys = read_keyframes(desk.folder / "a.json")
    frames = round(30 * keys.duration) + (not closed)
    video = interpolate(keys, frames)
    moved = np.stack([at for at, _ in desk.moves])
    fov = [math.degrees(angle) for _, angle in desk.moves]
    assert keys.closed == closed and len(moved) in (61, 62)  # the sum of 60 ticks may miss 2 s
    np.testing.assert_allclose(moved[:frames], video.poses, atol=1e-9)
    np.testing.assert_allclose(fov[:frames], video.fov_degrees, atol=1e-9)
    np.testing.assert_allclose(moved[-1], keys.poses[-1], atol=1e-9)


def test_what_is_saved_is_what_the_exporter_reads(desk: Desk) -> None:
    desk.add(0.0, 0.4, 1.1)
    keys = desk.saved("a")
    assert [frame.world_from_camera for frame in keys.keyframes] == [
        pose(turn).tolist() for turn in (0.0, 0.4, 1.1)
    ]
    assert keys.fov_degrees.tolist() == [math.degrees(0.7 + t / 100) for t in (0.0, 0.4, 1.1)]
    assert keys.seconds.tolist() == [0, 2, 4] and keys.fps == 30
    assert desk.said == [f"Saved: {desk.folder / 'a.json'}"]


def test_what_is_loaded_is_saved_to_the_last_bit(desk: Desk) -> None:
    path_file(desk.folder / "a.json", closed=True)
    desk.load("a")
    assert desk.shown("Pictures/s") == FPS
    assert desk.shown("Keyframe") == "1: 0.5 s" and desk.shown("Seconds") == 0.5
    assert desk.saved("b") == read_keyframes(desk.folder / "a.json")


def test_load_says_what_is_wrong_and_keeps_what_is_there(desk: Desk) -> None:
    desk.add(0.0, 0.4)
    desk.load("none")
    assert "none.json: no such file" in desk.said.pop()
    (desk.folder / "odd.json").write_text('{"version": 2, "keyframes": []}')
    desk.load("odd")
    assert "odd.json: version" in desk.said.pop()
    desk.load("../odd")
    assert "is no name for a path" in desk.said.pop()
    assert len(desk.saved("a").keyframes) == 2


def test_replace_takes_the_pose_and_keeps_the_time(desk: Desk) -> None:
    desk.add(0.0, 0.4, 1.1)
    desk.set("Keyframe", "2: 2 s")
    desk.at = (pose(0.9), 0.5)
    desk.press("Selected", "Replace")
    keys = desk.saved("a")
    assert keys.seconds.tolist() == [0, 2, 4] and desk.shown("Keyframe") == "2: 2 s"
    np.testing.assert_allclose(keys.poses, [pose(0.0), pose(0.9), pose(1.1)], atol=1e-12)
    assert keys.fov_degrees[1] == math.degrees(0.5)


def test_delete_takes_the_chosen_one_until_there_is_none(desk: Desk) -> None:
    desk.add(0.0, 0.4, 1.1)
    desk.set("Keyframe", "2: 2 s")
    desk.press("Selected", "Delete")
    np.testing.assert_allclose(desk.saved("a").poses, [pose(0.0), pose(1.1)], atol=1e-12)
    desk.said.clear()
    assert desk.shown("Keyframe") == "1: 0 s" and desk.shown("Seconds") == 0
    for _ in range(3):
        desk.press("Selected", "Delete")
    assert desk.shown("Keyframe") == "none yet"
    desk.press("Play")
    desk.press("With the results", "Save")
    assert desk.said == ["That didn't work: Camera path: has no keyframe yet; add one"] * 2


def test_another_time_sorts_anew(desk: Desk) -> None:
    desk.add(0.0, 0.4, 1.1)
    desk.set("Keyframe", "1: 0 s")
    desk.set("Seconds", 3.25)
    assert desk.shown("Keyframe") == "2: 3.25 s"
    keys = desk.saved("a")
    assert keys.seconds.tolist() == [2, 3.25, 4]
    np.testing.assert_allclose(keys.poses, [pose(0.4), pose(0.0), pose(1.1)], atol=1e-12)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (4.0, "another keyframe is at 4 s"),
        (4.0004, "another keyframe is at 4 s"),
        (1e6, "keyframe: seconds"),
    ],
)
def test_a_time_that_cannot_be_is_taken_back(desk: Desk, seconds: float, said: str) -> None:
    desk.add(0.0, 0.4, 1.1)
    desk.set("Keyframe", "2: 2 s")
    desk.set("Seconds", seconds)
    assert said in desk.said.pop() and desk.shown("Seconds") == 2
    assert desk.saved("a").seconds.tolist() == [0, 2, 4]


def test_go_to_moves_the_camera(desk: Desk) -> None:
    desk.add(0.0, 0.4)
    desk.set("Keyframe", "2: 2 s")
    desk.press("Selected", "Go to")
    ((at, fov),) = desk.moves
    np.testing.assert_allclose(at, pose(0.4), atol=1e-12)
    assert fov == pytest.approx(0.704)


def drawn(desk: Desk) -> list[tuple[Floats, tuple[int, ...], str]]:
    """Position, colour and label of the keyframes in the 3D scene."""
    nodes = []
    while node := desk.scene.get_handle_by_name(f"/path/{len(nodes)}"):
        label = desk.scene.get_handle_by_name(f"{node.name}/number").text
        nodes.append((node.position, tuple(node.color), label))
    return nodes


def check_drawn(desk: Desk) -> None:
    """The 3D scene shows the editor's keyframes, the selected one in its own colour."""
    keyframes, nodes = desk.editor._keyframes, drawn(desk)
    assert len(nodes) == len(keyframes)
    for keyframe, (position, _, _) in zip(keyframes, nodes, strict=True):
        np.testing.assert_array_equal(position, keyframe.pose[:, 3])
    if nodes:
        text = desk.shown("Keyframe")
        chosen = int(text.split(":")[0]) - 1
        numbers = [str(place + 1) for place in range(len(nodes))]
        numbers[chosen] = text
        assert [number for _, _, number in nodes] == numbers
        same = [colour == nodes[chosen][1] for _, colour, _ in nodes]
        assert same == [place == chosen for place in range(len(nodes))]
    curve = desk.scene.get_handle_by_name("/path/curve")
    assert (curve is not None) == (len(keyframes) > 1)
    if curve is not None:
        corners = np.concatenate([curve.points[:1, 0], curve.points[:, 1]])
        distance = np.linalg.norm(corners[:, None] - [position for position, _, _ in nodes], axis=2)
        assert distance.min(axis=0).max() < 1e-5


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_done_is_drawn(desk: Desk, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def select() -> None:
        desk.set("Keyframe", str(rng.choice(desk.gui.handles["Keyframe"].options)))

    def add() -> None:
        desk.at = (pose(rng.uniform(-2, 2)), rng.uniform(0.01, 3))
        desk.press("Add keyframe here")

    def retime() -> None:
        desk.set("Seconds", float(rng.integers(0, 12)))

    def replace() -> None:
        desk.at = (pose(rng.uniform(-2, 2)), 0.7)
        desk.press("Selected", "Replace")

    def delete() -> None:
        desk.press("Selected", "Delete")

    desk.add(0.0, 0.5, 0.9)
    for action in rng.choice([select, add, add, retime, replace, delete], 25):  # type: ignore[arg-type]
        action()
        check_drawn(desk)


def test_a_click_on_a_drawn_keyframe_selects_it(desk: Desk) -> None:
    desk.add(0.0, 0.4, 1.1)
    for place, name in ((1, "2: 2 s"), (0, "1: 0 s"), (2, "3: 4 s")):
        (entry,) = desk.scene.get_handle_by_name(f"/path/{place}")._impl.click_cb
        entry.callback(SimpleNamespace())
        assert desk.shown("Keyframe") == name and desk.shown("Seconds") == 2 * place
        check_drawn(desk)


def test_the_path_is_hidden_when_it_is_played_or_not_wanted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = desk.scene.get_handle_by_name("/path")
    desk.add(0.0, 0.4)
    desk.set("Seconds", 0.1)
    assert root.visible
    seen = []
    monkeypatch.setattr(desk, "move", lambda at, fov: seen.append(root.visible))
    desk.press("Play")
    assert set(seen) == {False} and root.visible
    desk.set("Show path", False)
    assert not root.visible
    desk.press("Play")
    assert not root.visible
    desk.set("Show path", True)
    assert root.visible


def test_a_path_takes_no_more_keyframes_than_a_file(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(path_editor, "MOST", 3)
    desk.add(0.0, 0.4, 1.1, 1.2)
    assert desk.said == ["That didn't work: Camera path: has 3 keyframes, the most; delete one"]
    check_drawn(desk)
    assert len(desk.saved("a").keyframes) == 3
