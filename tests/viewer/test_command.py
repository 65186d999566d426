from __future__ import annotations

import builtins
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dac.errors import UserError
from dac.scenes.points import Points
from dac.viewer.groups import partitions_of


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """The one line that the command ends with."""
    from dac.cli.main import main

    monkeypatch.setattr(sys, "argv", ["dac", "view", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return str(ended.value.code)


def test_a_port_in_use_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("viser")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = run(monkeypatch, str(tmp_path), "--port", str(port))
    assert line == f"error: port {port}: is in use; choose another one: --port"


def test_an_address_of_another_machine_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("viser")
    line = run(monkeypatch, str(tmp_path), "--host", "192.0.2.1", "--port", "8124")
    assert line.startswith("error: 192.0.2.1:8124: can't be listened at")


def test_no_such_scene_or_model_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, toy_scene: Path
) -> None:
    pytest.importorskip("viser")
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "scene").symlink_to(toy_scene)
    free = ("--port", "0")
    assert "holds no scene ship; there is: toy" in run(
        monkeypatch, str(tmp_path), "--scene", "ship", *free
    )
    assert "holds no trained model yet" in run(monkeypatch, str(tmp_path), *free)


def test_without_viser_the_fix_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def without_viser(name: str, *rest: Any, **named: Any) -> Any:
        if name == "viser":
            raise ImportError("No module named 'viser'")
        return real(name, *rest, **named)

    monkeypatch.delitem(sys.modules, "dac.viewer.server", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_viser)
    line = run(monkeypatch, str(tmp_path))
    assert "needs viser" in line and "dac-nerf[app]" in line


def test_loopback_addresses() -> None:
    pytest.importorskip("viser")
    from dac.viewer.server import check_address, is_loopback

    assert all(map(is_loopback, ("127.0.0.1", "::1", "localhost", "127.8.8.8")))
    assert not any(map(is_loopback, ("0.0.0.0", "192.168.0.2", "::", "example.org")))
    check_address("127.0.0.1", 0)
    with pytest.raises(UserError, match="can't be listened at"):
        check_address("no such host", 80)


def test_partitions_are_found_by_their_folder(tmp_path: Path) -> None:
    for name in ("azimuth-4", "louvain-3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "partition.json").touch()
    (tmp_path / "random-2").mkdir()
    assert list(partitions_of(tmp_path)) == ["azimuth-4", "louvain-3"]


def test_a_scene_whose_points_file_is_empty_has_no_points(tmp_path: Path) -> None:
    pytest.importorskip("viser")
    from dac.viewer.server import load_points

    file = tmp_path / "points.npz"
    assert load_points(file) is None
    for count in (0, 3):
        none = np.zeros((count, 3), np.float32)
        points = Points(
            xyz=none,
            rgb=none.astype(np.uint8),
            offsets=np.zeros(count + 1, np.int64),
            views=np.zeros(0, np.int32),
            error=none[:, 0],
        )
        points.save(file)
        found = load_points(file)
        assert (found is None) == (count == 0)
    file.write_bytes(b"no points")
    with pytest.raises(UserError, match="holds no points"):
        load_points(file)
