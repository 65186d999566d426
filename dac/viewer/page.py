"""One open page: what its panel holds, what it wants to see, and what it is shown."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from dac.catalogue import TrainedModel
from dac.conquer.routed import AnyModel
from dac.divide.partition import Partition
from dac.errors import UserError
from dac.evaluation.metrics import psnr
from dac.evaluation.pictures import to_uint8
from dac.evaluation.truth import background_colour, truth_image, usable_pixels
from dac.ops.rays import Rendered
from dac.scenes.points import Points
from dac.scenes.scene import Scene
from dac.viewer import pictures
from dac.viewer.frusta import Frusta
from dac.viewer.groups import colours
from dac.viewer.models import loaded
from dac.viewer.overlay import Overlay, pyramid_size
from dac.viewer.path_editor import PathEditor
from dac.viewer.poses import Floats, focus_distance, pose_of, vertical_fov, wxyz_of
from dac.viewer.renderer import Renderer
from dac.viewer.resolution import Resolution
from dac.viewer.tasks import Comparison, Live, ProgressiveRender, Wish

if TYPE_CHECKING:
    import viser

_NOTHING = "nothing"
_MOVING_QUALITY, _RESTING_QUALITY = 75, 92  # of JPEG


@dataclass(frozen=True)
class ViewerContext:
    """What all pages share.

    Attributes:
        scene: the trained scene.
        points: its sparse points, or None.
        models: by label.
        first: the label of the model that pages begin with.
        partitions: partition files by name.
        paths: folder of the camera paths.
        renderer, resolution: of all pages.
    """

    scene: Scene
    points: Points | None
    models: Mapping[str, TrainedModel]
    first: str
    partitions: Mapping[str, Path]
    paths: Path
    renderer: Renderer
    resolution: Resolution

    @property
    def background(self) -> Tensor:
        """(3,) the colour behind the scene."""
        return background_colour(self.scene)

    @property
    def first_partition(self) -> str | None:
        """The partition that the first model learnt by, or any."""
        model = self.models[self.first]
        own = f"{model.division}-{model.K}"
        return own if own in self.partitions else next(iter(self.partitions), None)


class Page:
    """One client of the server; `build` fills it."""

    def __init__(self, context: ViewerContext, client: viser.ClientHandle) -> None:
        self._context, self._client = context, client
        self._lock = threading.Lock()
        self._closed = False
        self._left = loaded(context.models[context.first].folder)
        self._right: AnyModel | None = None
        self._wish: Wish | None = None
        self._split, self._show = 0.5, pictures.SHOWS[0]
        self._path: PathEditor | None = None

    def build(self) -> None:
        """Send all that the page holds; its first picture is asked for before anything else."""
        context, client = self._context, self._client
        self.refresh()
        cameras = context.scene.cameras
        aspect = cameras.width / cameras.height
        self._frusta = Frusta(client.scene, pyramid_size(context.scene), aspect)
        self._moved()
        client.camera.on_update(lambda _: self._moved())
        client.gui.set_panel_label(f"DaC: {context.scene.name}")
        tabs = client.gui.add_tab_group()
        with tabs.add_tab("View"):
            self._build_view()
        with tabs.add_tab("Photos"):
            self._build_photos()
        with tabs.add_tab("Path"):
            self._path = PathEditor(client.gui, client.scene, self._frusta, context.paths, self)
        self._overlay = Overlay(
            client.scene, self._frusta, context.scene, context.points, clicked=self._clicked
        )
        self._draw_overlay()

    def close(self) -> None:
        """The page is gone: stop working for it."""
        self._closed = True
        self._context.renderer.drop(self._client.client_id)
        if self._path is not None:
            self._path.close()

    def tell(self, title: str, text: str) -> None:
        """A message that goes away by itself."""
        if not self._closed:
            self._client.add_notification(title, text, auto_close_seconds=8)

    def send(self, name: str, content: bytes) -> None:
        """Have the browser save a file."""
        self._client.send_file_download(name, content, save_immediately=True)

    def camera(self) -> tuple[Floats, float]:
        """The page's: world_from_camera (3, 4), vertical field of view in radians."""
        camera = self._client.camera
        return pose_of(camera.wxyz, camera.position), camera.fov

    def move(self, world_from_camera: Floats, fov: float, distance: float | None = None) -> None:
        """Move the page's camera.

        Args:
            world_from_camera: (3, 4).
            fov: vertical, in radians.
            distance: to what the camera will turn around; None: as it was.
        """
        camera = self._client.camera
        if self._closed:
            return
        with self._client.atomic():
            camera.fov = fov
            camera.position = world_from_camera[:, 3]
            camera.wxyz = wxyz_of(world_from_camera)
            if distance is not None:
                camera.look_at = world_from_camera[:, 3] + distance * world_from_camera[:, 2]

    def refresh(self) -> None:
        """Ask for a picture, if the one that is wanted has changed."""
        camera = self._client.camera
        with self._lock:
            pose, fov = self.camera()
            wish = Wish(
                world_from_camera=pose,
                fov=fov,
                window=(max(camera.image_width, 1), max(camera.image_height, 1)),
                left=self._left,
                right=self._right,
                split=self._split,
                show=self._show,
            )
            if self._closed or wish.same(self._wish):
                return
            self._wish = wish
            context = self._context
            display = partial(self._display, wish)
            task = Live(wish, context.resolution, context.background, display)
            context.renderer.submit(self._client.client_id, "live", task)

    def _moved(self) -> None:
        if self._closed:
            return
        self.refresh()
        self._frusta.look_from(self._client.camera.position)

    def _display(self, wish: Wish, rendered: Rendered, last: bool) -> None:
        """Send a picture; called by the renderer."""
        if self._closed:
            return
        image = pictures.picture(rendered, wish.show)
        if wish.right is not None:
            pictures.draw_split(image, wish.column(image.shape[1]))
        quality = _RESTING_QUALITY if last else _MOVING_QUALITY
        self._client.scene.set_background_image(image, format="jpeg", jpeg_quality=quality)
        self._client.flush()
        if wish.show == "depth":
            self._say_range(pictures.depth_range(rendered))

    def _build_view(self) -> None:
        gui, names = self._client.gui, list(self._context.models)
        self._model = gui.add_dropdown("Model", names, initial_value=self._context.first)
        self._other = gui.add_dropdown("Compare with", [_NOTHING, *names])
        self._slider = gui.add_slider("Split", 0.0, 1.0, 0.01, 0.5, visible=False)
        self._shown = gui.add_dropdown("Show", pictures.SHOWS)
        self._ramp = gui.add_image(pictures.depth_ramp(), format="png", visible=False)
        self._legend = gui.add_markdown("", visible=False)
        self._model.on_update(lambda _: self._switch())
        self._other.on_update(lambda _: self._switch())
        self._slider.on_update(lambda _: self._set_split())
        self._shown.on_update(lambda _: self._set_show())
        gui.add_divider()
        partitions = list(self._context.partitions) or [_NOTHING]
        first, divided = self._context.first_partition or _NOTHING, bool(self._context.partitions)
        self._partition = gui.add_dropdown(
            "Groups", partitions, initial_value=first, visible=divided
        )
        self._cameras = gui.add_checkbox("Cameras", True)
        self._points = gui.add_checkbox("Points", False, visible=self._context.points is not None)
        self._groups: list[viser.GuiCheckboxHandle] = []
        self._group_folder = gui.add_folder("Groups shown", visible=divided)
        with self._group_folder:
            self._colours = gui.add_html("")
        self._partition.on_update(lambda _: self._draw_overlay())
        self._cameras.on_update(lambda _: self._show_overlay())
        self._points.on_update(lambda _: self._show_overlay())

    def _set_split(self) -> None:
        self._split = float(self._slider.value)
        self.refresh()

    def _set_show(self) -> None:
        self._show = self._shown.value
        self._ramp.visible = self._legend.visible = self._show == "depth"
        self.refresh()

    def _say_range(self, found: tuple[float, float] | None) -> None:
        text = "nothing in sight"
        if found is not None:
            text = f"{found[0]:.3g} (left) to {found[1]:.3g} (right) away, even in 1 / distance"
        if text != self._legend.content:
            self._legend.content = text

    def _switch(self) -> None:
        """Show the chosen models, once they are loaded."""
        chosen = (self._model.value, self._other.value)
        labels = [label for label in chosen if label != _NOTHING]
        message = self._client.add_notification(
            "Loading", " and ".join(labels), loading=True, with_close_button=False
        )
        try:
            models = [loaded(self._context.models[label].folder) for label in labels]
        except UserError as error:
            self.tell("This model can't be shown", str(error))
            return
        finally:
            message.remove()
        if chosen != (self._model.value, self._other.value):
            return  # something else was chosen meanwhile
        changed = models[0] is not self._left
        self._left, self._right = models[0], models[1] if len(models) > 1 else None
        self._slider.visible = self._right is not None
        self.refresh()
        if changed and self._photo.value != _NOTHING:
            self._compare()

    def _draw_overlay(self) -> None:
        """Draw cameras and points in the chosen partition's groups."""
        name = self._partition.value
        try:
            partition = None if name == _NOTHING else Partition.load(self._context.partitions[name])
        except UserError as error:
            self.tell("These groups can't be shown", str(error))
            return
        with self._lock:
            for box in self._groups:
                box.remove()
            self._groups = []
            self._colours.content = "" if partition is None else _legend(partition)
            with self._group_folder:
                for group, members in enumerate(partition.groups if partition else ()):
                    label = f"{partition.word if partition else ''} {group}: {len(members)} views"
                    box = self._client.gui.add_checkbox(label, True)
                    box.on_update(lambda _: self._show_overlay())
                    self._groups.append(box)
            self._overlay.draw(partition)
        self._show_overlay()

    def _show_overlay(self) -> None:
        groups = [box.value for box in self._groups]
        self._overlay.show(self._cameras.value, self._points.value, groups)

    def _build_photos(self) -> None:
        gui, scene = self._client.gui, self._context.scene
        kinds = {**dict.fromkeys(scene.train, "training"), **dict.fromkeys(scene.test, "test")}
        self._views = {
            f"{scene.names[view]} ({kinds[view]})": view for view in [*scene.train, *scene.test]
        }
        self._photo: Any = gui.add_dropdown("Photo", [_NOTHING, *self._views])
        self._score = gui.add_markdown("Choose a photo here, or click a camera.")
        blank = np.full((2, 3, 3), 255, np.uint8)
        self._images = [
            gui.add_image(blank, label=label, format="jpeg", jpeg_quality=90, visible=False)
            for label in ("Photo", "Render", f"|Difference|, {pictures.ERROR_GAIN} times")
        ]
        self._photo.on_update(lambda _: self._go_to_photo())

    def _clicked(self, view: int) -> None:
        """A camera was clicked; viser opens no tab for us."""
        self.tell(
            self._context.scene.names[view], "Its photo and its render are in the tab Photos."
        )
        self._choose(view)

    def _choose(self, view: int) -> None:
        """Go to a view, and compare it with its photo."""
        label = next(label for label, index in self._views.items() if index == view)
        if self._photo.value == label:
            self._go_to_photo()
        else:
            self._photo.value = label  # which calls `_go_to_photo`

    def _go_to_photo(self) -> None:
        view = self._views.get(self._photo.value)
        if view is None:
            return
        cameras = self._context.scene.cameras
        pose = cameras.world_from_camera[view].numpy()
        self.move(pose, vertical_fov(cameras, view), focus_distance(cameras, view))
        self._compare()

    def _compare(self) -> None:
        """Have the chosen view rendered beside its photo."""
        context, view = self._context, self._views[self._photo.value]
        self._score.content = f"Rendering {self._model.value} ..."
        rendering = ProgressiveRender(
            context.scene.cameras,
            view,
            self._left,
            None,
            context.scene.cameras.width,
            context.background,
        )
        show = partial(self._display_comparison, view, self._model.value)
        task = Comparison(rendering, context.resolution, show)
        context.renderer.submit(self._client.client_id, "comparison", task)

    def _display_comparison(self, view: int, model: str, rendered: Rendered) -> None:
        """Show photo, render and error; called by the renderer."""
        if self._closed:
            return
        scene = self._context.scene
        truth, usable = truth_image(scene, view), usable_pixels(scene, view)
        render = rendered.rgb.clamp(0, 1)
        shown = [to_uint8(truth), to_uint8(render), pictures.error_picture(render, truth)]
        for handle, image in zip(self._images, shown, strict=True):
            handle.image = image
            handle.visible = True
        self._score.content = f"**{psnr(render, truth, usable):.2f} dB** PSNR, {model}"


def _legend(partition: Partition) -> str:
    """HTML: a coloured square for each group, and for what is in none."""
    names = [*map(str, range(partition.count)), "none"]
    squares = [
        f'<span style="white-space: nowrap"><b style="color: rgb{colour}">&#9632;</b> {name}</span>'
        for name, colour in zip(names, colours(partition.count), strict=True)
    ]
    style = "padding: 0 0.8em; font-size: 0.9em"
    return f'<div style="{style}">{" &nbsp; ".join(squares)}</div>'
