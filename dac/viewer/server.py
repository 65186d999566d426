"""The web server of the viewer, and what its pages share. The one file that imports viser."""

from __future__ import annotations

import errno
import io
import ipaddress
import socket
import threading
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from dac.catalogue import choose_model, choose_scene, models_of
from dac.conquer.routed import AnyModel
from dac.errors import UserError
from dac.scenes.points import Points
from dac.scenes.scene import Scene
from dac.viewer.groups import partitions_of
from dac.viewer.models import labels, loaded
from dac.viewer.page import Page, ViewerContext
from dac.viewer.poses import focus_distance, vertical_fov
from dac.viewer.renderer import Renderer
from dac.viewer.resolution import Resolution
from dac.viewer.tasks import Live, Wish

try:
    import viser
except ImportError as error:
    raise UserError("dac view", f"needs viser ({error})", "pip install 'dac-nerf[app]'") from None

_WARM_UP = (320, 200)


def make_context(
    results: Path, scene: str | None = None, model: str | None = None
) -> ViewerContext:
    """What the pages of a scene share; its kernels are loaded and its speed is known.

    Args:
        results: the workflow's results folder.
        scene, model: names as `dac.catalogue` takes them; None: the only one, the last one.

    Raises:
        UserError: there is none of that name; a file is missing or damaged.
    """
    name = choose_scene(results, scene)
    chosen = choose_model(results, name, model)
    folder = results / name
    by_label = labels(models_of(results, name))
    context = ViewerContext(
        scene=Scene.load(folder / "scene"),
        points=load_points(folder / "points" / "points.npz"),
        models=by_label,
        first=next(label for label, found in by_label.items() if found == chosen),
        partitions=partitions_of(folder),
        paths=folder / "camera_paths",
        renderer=Renderer(),
        resolution=Resolution(),
    )
    _warm_up(context, loaded(chosen.folder))
    return context


def load_points(file: Path) -> Points | None:
    """The sparse points, None where a scene has none."""
    if not file.is_file():
        return None
    points = Points.load(file)
    return points if len(points) else None


def _warm_up(context: ViewerContext, model: AnyModel) -> None:
    """Make a picture that nobody sees."""
    cameras, view = context.scene.cameras, context.scene.train[0]
    wish = Wish(
        world_from_camera=cameras.world_from_camera[view].numpy(),
        fov=vertical_fov(cameras, view),
        window=_WARM_UP,
        left=model,
        right=None,
        split=1.0,
        show="RGB",
    )
    task = Live(wish, context.resolution, context.background, lambda rendered, last: None)
    while not task.step():
        pass


class Server:
    """Serves pages until `close`.

    Args:
        context: what is shown.
        host: address to listen at.
        port: 0 takes any.

    Raises:
        UserError: the port is in use, or the address is none of this machine's.
    """

    def __init__(self, context: ViewerContext, host: str, port: int) -> None:
        self._context = context
        self._pages: dict[int, Page] = {}
        self._lock = threading.Lock()
        with redirect_stdout(io.StringIO()):  # viser draws a box
            self._server = viser.ViserServer(host, port, verbose=False)
        self.port: int = self._server.get_port()
        if port not in (0, self.port):  # somebody was faster, and viser took another
            self.close()
            check_address(host, port)
        self._set_up()
        context.renderer.start()
        self._server.on_client_connect(self._open)
        self._server.on_client_disconnect(self._leave)

    def close(self) -> None:
        """End at once."""
        for page in list(self._pages.values()):
            page.close()
        self._context.renderer.stop()
        with redirect_stdout(io.StringIO()):
            self._server.stop()

    def _set_up(self) -> None:
        """The panel's side, and where pages begin: at the first training camera."""
        self._server.gui.configure_theme(
            show_logo=False, show_share_button=False, control_width="large"
        )
        self._server.gui.main_panel.dock_right()
        # viser imports its JPEG encoder for the first picture, which a page would wait for.
        self._server.gui.add_image(np.zeros((8, 8, 3), np.uint8), format="jpeg").remove()
        cameras, view = self._context.scene.cameras, self._context.scene.train[0]
        pose = cameras.world_from_camera[view].numpy()
        camera = self._server.initial_camera
        camera.fov = vertical_fov(cameras, view)
        camera.position = pose[:, 3]
        camera.look_at = pose[:, 3] + focus_distance(cameras, view) * pose[:, 2]

    def _open(self, client: viser.ClientHandle) -> None:
        page = Page(self._context, client)
        try:
            page.build()
        except RuntimeError:
            # viser sets an event of its loop from this thread, which fails where the loop begins to
            # wait for it at that very moment: then all is sent anew.
            page.close()
            client.scene.reset()
            client.gui.reset()
            page = Page(self._context, client)
            page.build()
        with self._lock:
            self._pages[client.client_id] = page
        if client.client_id not in self._server.get_clients():  # it left while it was made
            self._leave(client)

    def _leave(self, client: viser.ClientHandle) -> None:
        with self._lock:
            page = self._pages.pop(client.client_id, None)
        if page is not None:
            page.close()


def check_address(host: str, port: int) -> None:
    """See whether one may listen there.

    Raises:
        UserError: the port is in use or not allowed, or the address is none of this machine's.
    """
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, number) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, OverflowError) as error:
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise UserError(f"port {port}", "is in use", "choose another one: --port") from None
        raise UserError(
            f"{host}:{port}", f"can't be listened at ({error})", "--host, --port"
        ) from None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
