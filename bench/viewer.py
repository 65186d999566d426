"""How smooth the viewer is: pictures per second in motion, their size, the first one, its memory.

    python -m bench.viewer results --scene lego

Starts `dac view`, opens its page's web socket as a browser does, and turns the camera around the
scene, 50 poses a second. Prints one line of JSON: `first_picture` is the time in seconds from
opening the socket to the first picture, `refined` from the last pose to the picture that fills the
window (null: none within a minute), `kibibytes` the viewer's resident memory afterwards. What a
browser takes to draw isn't counted.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np
import viser
import zstandard
from PIL import Image
from websockets.sync.client import connect

from dac.viewer.poses import wxyz_of

POSES_PER_SECOND = 50
_WAIT = 60.0


class Client:
    """A page without a browser.

    Args:
        port: of the server on this machine.
        window: width and height of the page, in pixels.
    """

    def __init__(self, port: int, window: tuple[int, int]) -> None:
        self._window = window
        self._socket = connect(
            f"ws://127.0.0.1:{port}",
            subprotocols=[f"viser-v{viser.__version__}"],  # type: ignore[list-item]
            max_size=None,
            compression=None,
        )

    def close(self) -> None:
        """Leave, as a closed tab does."""
        self._socket.close()

    def look_from(self, azimuth: float, distance: float) -> None:
        """Send a pose on a circle around the scene's origin, some degrees above it."""
        centre = distance * np.array(
            [0.9 * np.cos(azimuth), 0.9 * np.sin(azimuth), np.sqrt(1 - 0.81)]
        )
        forward = -centre / distance
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        pose = np.column_stack([right, np.cross(forward, right), forward, centre])
        message = {
            "type": "ViewerCameraMessage",
            "wxyz": wxyz_of(pose).tolist(),
            "position": centre.tolist(),
            "fov": 0.8,
            "near": 0.01,
            "far": 1000.0,
            "image_height": self._window[1],
            "image_width": self._window[0],
            "look_at": [0.0, 0.0, 0.0],
            "up_direction": [0.0, 0.0, 1.0],
        }
        self._socket.send(msgspec.msgpack.encode(message))

    def pictures(self, seconds: float) -> Iterator[tuple[int, int]]:
        """Sizes of the pictures that arrive within so many seconds, as they come."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            try:
                data = self._socket.recv(timeout=left)
            except TimeoutError:
                return
            assert isinstance(data, bytes)
            for jpeg in _jpegs(data):
                yield Image.open(io.BytesIO(jpeg)).size

    def wait_for(self, size: tuple[int, int]) -> float | None:
        """When a picture of that size arrived, as `time.perf_counter`; None: it did not."""
        arrived = (time.perf_counter() for found in self.pictures(_WAIT) if found == size)
        return next(arrived, None)


def _jpegs(data: bytes) -> list[bytes]:
    """The background pictures in a frame of viser's protocol."""
    packed = int.from_bytes(data[8:16], "little")  # what follows are points, as arrays
    unpacked = zstandard.ZstdDecompressor().decompress(data[16 : 16 + packed])
    return [
        message["rgb_data"]
        for message in msgspec.msgpack.decode(unpacked)["messages"]
        if message["type"] == "BackgroundImageMessage" and message["rgb_data"]
    ]


def measure(port: int, window: tuple[int, int], seconds: float, distance: float) -> dict[str, Any]:
    """Turn the camera for some seconds, then let it rest."""
    began = time.perf_counter()
    client = Client(port, window)
    client.look_from(0.0, distance)
    if next(client.pictures(_WAIT), None) is None:
        sys.exit(f"error: no picture came within {_WAIT:.0f} s")
    first = time.perf_counter() - began
    client.wait_for(window)
    poses = int(seconds * POSES_PER_SECOND)
    times, sizes, began = [], [], time.perf_counter()
    for pose in range(poses):
        client.look_from(0.01 * (pose + 1), distance)
        for size in client.pictures(began + (pose + 1) / POSES_PER_SECOND - time.perf_counter()):
            times.append(time.perf_counter())
            sizes.append(size)
    rested = time.perf_counter()
    refined = client.wait_for(window)
    client.close()
    steady = len(times) // 4  # the first ones belong to the controller
    gaps = np.diff(times[steady:])
    areas = sorted(sizes[steady:], key=lambda size: size[0])
    return {
        "first_picture": round(first, 3),
        "per_second": round(1 / float(np.mean(gaps)), 1),
        "longest_gap": round(float(np.max(gaps)), 3),
        "median_gap": round(median(gaps.tolist()), 3),
        "size": list(areas[len(areas) // 2]),
        "window": list(window),
        "refined": None if refined is None else round(refined - rested, 2),
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.viewer", description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--scene", required=True)
    parser.add_argument("--model", default="dac")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--distance", type=float, default=4.0, help="of the camera's circle")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=800)
    options = parser.parse_args(arguments)
    command = [sys.executable, "-m", "dac", "view", str(options.results), "--port", "0"]
    began = time.perf_counter()
    server = subprocess.Popen(
        [*command, "--scene", options.scene, "--model", options.model],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        address = re.search(r"\d+$", server.stdout.readline().strip())
        if address is None:
            sys.exit(server.wait())  # it has said why
        port = int(address[0])
        started = time.perf_counter() - began
        window = (options.width, options.height)
        found = measure(port, window, options.seconds, options.distance)
        status = Path(f"/proc/{server.pid}/status").read_text()
        memory = {
            "kibibytes": int(re.findall(r"VmRSS:\s+(\d+)", status)[0]),
            "peak_kibibytes": int(re.findall(r"VmHWM:\s+(\d+)", status)[0]),
        }
        load = {"cores": os.cpu_count(), "load": os.getloadavg()[0]}
        print(
            json.dumps(
                {"scene": options.scene, "start": round(started, 1), **found, **memory, **load}
            )
        )
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
