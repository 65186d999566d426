"""A scene as training reads it: one folder of arrays, memory-mapped.

`scene.json` holds the cameras, splits and space; `images.npy` the pixels (N, H, W, 3 or 4) uint8;
`masks.npy` (N, H, W) uint8 with 255 where a pixel may be used, or (0, H, W) where all may.

Notation: N views, H x W pixels; world coordinates are the scene's normalised ones, +z up.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dac.cameras import Cameras
from dac.errors import UserError
from dac.storage.artifacts import new_folder, read_json, write_json

SCENE_FILES = ("scene.json", "images.npy", "masks.npy")


@dataclass(frozen=True)
class Space:
    """Where the scene lies.

    Attributes:
        kind: `box`: everything is inside `box`; `contraction`: unbounded, L-inf contracted from the
            cube [-1, 1]^3 outwards.
        box: (2, 3) lower and upper corner (for `contraction`, the cube that stays uncontracted).
        near, far: distances along a ray between which it is sampled, before clipping to the box.
    """

    kind: Literal["box", "contraction"]
    box: tuple[tuple[float, float, float], tuple[float, float, float]]
    near: float
    far: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "kind": self.kind,
            "box": [list(corner) for corner in self.box],
            "near": self.near,
            "far": self.far,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Space:
        """Read what `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        (a, b, c), (d, e, f) = data["box"]
        return cls(data["kind"], ((a, b, c), (d, e, f)), float(data["near"]), float(data["far"]))


@dataclass(frozen=True)
class Scene:
    """Views with their cameras, pixels and splits.

    Attributes:
        name: as in the configuration.
        names: N distinct view names, the images' paths relative to the data set, POSIX style.
        cameras: N cameras, in the world frame below.
        images: (N, H, W, 3 or 4) uint8, memory-mapped; straight (not premultiplied) RGBA.
        masks: (N, H, W) uint8 or None.
        train, test: view indices, ascending.
        background: behind RGBA images when a view is scored.
        space: bounds.
        world_from_data: (4, 4) similarity from the data set's frame to the world frame.
        log: what was decided automatically, one sentence each.
    """

    name: str
    names: tuple[str, ...]
    cameras: Cameras
    images: NDArray[np.uint8]
    masks: NDArray[np.uint8] | None
    train: tuple[int, ...]
    test: tuple[int, ...]
    background: Literal["white", "black"]
    space: Space
    world_from_data: NDArray[np.float64]
    log: tuple[str, ...] = ()

    @property
    def has_alpha(self) -> bool:
        """Whether the images carry an alpha channel."""
        return bool(self.images.shape[-1] == 4)

    def usable(self, view: int) -> NDArray[np.bool_] | None:
        """(H, W) the pixels that a view's mask leaves; None where the scene has no masks."""
        return None if self.masks is None else np.asarray(self.masks[view]) > 127

    def indices(self, names: tuple[str, ...] | list[str]) -> list[int]:
        """View indices of the given names.

        Raises:
            KeyError: a name is no view of this scene.
        """
        index = {name: i for i, name in enumerate(self.names)}
        return [index[name] for name in names]

    def save(self, folder: Path) -> None:
        """Write the three files, whole or not at all."""
        height, width = self.images.shape[1:3]
        masks = np.empty((0, height, width), np.uint8) if self.masks is None else self.masks
        with new_folder(folder) as part:
            _save_array(part / "images.npy", self.images)
            _save_array(part / "masks.npy", masks)
            write_json(part / "scene.json", self._metadata())

    def _metadata(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "names": list(self.names),
            "cameras": self.cameras.to_json(),
            "train": list(self.train),
            "test": list(self.test),
            "background": self.background,
            "space": self.space.to_json(),
            "world_from_data": self.world_from_data.tolist(),
            "log": list(self.log),
        }

    @classmethod
    def load(cls, folder: Path) -> Scene:
        """Read what `save` wrote; the pixels stay on disk until they are used.

        Raises:
            UserError: a file is missing or damaged.
        """
        data = read_json(folder / "scene.json")
        try:
            images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
            masks = np.load(folder / "masks.npy", mmap_mode="r", allow_pickle=False)
            scene = cls(
                name=data["name"],
                names=tuple(data["names"]),
                cameras=Cameras.from_json(data["cameras"]),
                images=images,
                masks=masks if len(masks) else None,
                train=tuple(data["train"]),
                test=tuple(data["test"]),
                background=data["background"],
                space=Space.from_json(data["space"]),
                world_from_data=np.asarray(data["world_from_data"], np.float64),
                log=tuple(data["log"]),
            )
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise UserError(folder, f"is no scene ({error})", "delete it, run again") from None
        cameras = scene.cameras
        shape = (len(scene.names), cameras.height, cameras.width)
        if scene.images.shape[:3] != shape or len(cameras) != len(scene.names):
            raise UserError(folder, "images.npy and scene.json disagree", "delete it, run again")
        return scene


def _save_array(path: Path, array: NDArray[np.uint8]) -> None:
    """Write a .npy file, one view at a time.

    `np.save` reports a file that stops growing half-way without an error number, which would leave
    `artifacts` a guess at the reason.
    """
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": array.shape}
        )
        for view in array:
            file.write(np.ascontiguousarray(view).data)
