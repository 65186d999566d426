"""The part of the path's tab that keeps paths: beside the results, or on the visitor's machine."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from dac.errors import UserError
from dac.export.keyframes import LARGEST, Keyframes, read_keyframes, write_keyframes
from dac.storage.artifacts import write_file
from dac.viewer.poses import Floats

if TYPE_CHECKING:
    import viser

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Screen(Protocol):
    """The page, as the path's tab sees it."""

    def camera(self) -> tuple[Floats, float]:
        """Its world_from_camera (3, 4) and its vertical field of view in radians."""
        ...

    def move(self, world_from_camera: Floats, fov: float) -> None:
        """Take the same, and move the camera."""
        ...

    def tell(self, title: str, text: str) -> None:
        """Show a message."""
        ...

    def send(self, name: str, content: bytes) -> None:
        """Have the browser save a file."""
        ...


def explained(screen: Screen, action: Callable[[], None]) -> None:
    """Do something that may fail for a reason to be told."""
    try:
        action()
    except UserError as error:
        screen.tell("That didn't work", str(error))


class PathFiles:
    """The buttons and what they do.

    Args:
        gui: of viser, within the tab.
        folder: where paths are kept, as NAME.json.
        screen: the page.
        get: gives the path, or raises a `UserError`.
        put: takes one.
    """

    def __init__(
        self,
        gui: viser.GuiApi,
        folder: Path,
        screen: Screen,
        get: Callable[[], Keyframes],
        put: Callable[[Keyframes], None],
    ) -> None:
        self._folder, self._screen, self._get, self._put = folder, screen, get, put
        self._name: Any = gui.add_text("Name", "path")
        kept = gui.add_button_group("With the results", ["Save", "Load"])
        gui.add_html(
            '<div style="padding: 0 1em 0.4em; font-size: 0.8em; overflow-wrap: anywhere">'
            f"as {html.escape(str(folder))}/NAME.json</div>"
        )
        download = gui.add_button("Download", hint="The path, to your own machine")
        upload = gui.add_upload_button(
            "Upload", hint="A path, from your own machine", mime_type="application/json"
        )
        by_name = {"Save": self._save, "Load": self._load}
        kept.on_click(lambda event: explained(screen, by_name[event.target.value]))
        download.on_click(lambda _: explained(screen, self._download))
        upload.on_upload(lambda event: explained(screen, lambda: self._upload(event.target.value)))

    def _file(self) -> Path:
        name = self._name.value.strip()
        if not _NAME.fullmatch(name):
            what = "is no name for a path"
            raise UserError(repr(name), what, "letters, digits, - and _, at most 64")
        return self._folder / f"{name}.json"

    def _save(self) -> None:
        file = self._file()
        write_keyframes(file, self._get())
        self._screen.tell("Saved", str(file))

    def _load(self) -> None:
        self._put(read_keyframes(self._file()))

    def _download(self) -> None:
        name, path = self._file().name, self._get()
        with TemporaryDirectory() as folder:
            file = Path(folder) / name
            write_keyframes(file, path)
            self._screen.send(name, file.read_bytes())

    def _upload(self, sent: viser.UploadedFile) -> None:
        if len(sent.content) > LARGEST:
            what = f"has {len(sent.content)} bytes, and at most {LARGEST} are read"
            raise UserError(sent.name, what, "is it the right file?")
        with TemporaryDirectory() as folder:
            file = Path(folder) / "path.json"
            write_file(file, lambda temporary: temporary.write_bytes(sent.content))
            try:
                path = read_keyframes(file)
            except UserError as error:
                where = error.where.replace(str(file), sent.name)
                raise UserError(where, error.what, error.fix) from None
        self._put(path)
