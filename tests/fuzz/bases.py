"""Small, complete data sets of every kind, which the cases damage.

A case's folder: `data/` holds the data set, `masks/` and `lists/` what its settings name, `sfm/` a
model for `photos`, `config/` the configuration. `outside/` holds what must never be read.
"""

from __future__ import annotations

import copy
import json
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import yaml
from PIL import Image

from dac.cameras import Cameras
from dac.conquer.routed import RoutedModel, routed_tensors
from dac.divide.router import Router
from dac.export.model_file import save
from dac.fields.model import build_model
from dac.scenes.scene import Space
from dac.settings import ModelSettings

VIEWS, WIDTH, HEIGHT = 8, 24, 20
TRAIN = 5  # of the views, where the layout gives the split
CANARY = (13, 77, 201)  # the colour of every image that lies outside
KINDS = (
    *("config", "blender", "nerfstudio", "colmap-binary", "colmap-text", "photos"),
    *("nerfpp", "nsvf", "video", "model", "path"),
)
EXPORTS = ("model", "path")  # what `dac export model` and `dac view` write, and others send
MODEL_FILES = ("data/model.safetensors", "data/routed.safetensors")  # one model, and two routed
PATH_FILE = "data/path.json"
CLIPS = {"clip.mp4": "libx264", "clip.mkv": "mpeg4", "clip.webm": "libvpx"}  # and their encoders


@dataclass
class Model:
    """A COLMAP model as plain data, to be written with any mistake.

    Attributes:
        cameras: (id, model number, name, width, height, parameters).
        images: (id, [qw, qx, qy, qz, tx, ty, tz], camera, name, features).
        points: (id, [x, y, z], [r, g, b], error, [image, feature, ...]).
        counts: what the binary files say of their lengths, where it isn't true.
    """

    cameras: list[list[Any]]
    images: list[list[Any]]
    points: list[list[Any]]
    counts: dict[str, int] = field(default_factory=dict)

    def write(self, folder: Path, binary: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for part in ("cameras", "images", "points3D"):
            if binary:
                chunks = getattr(self, f"_binary_{part}")()
                count = self.counts.get(part, len(getattr(self, part.removesuffix("3D"))))
                data = struct.pack("<Q", count % 2**64) + b"".join(chunks)
                (folder / f"{part}.bin").write_bytes(data)
            else:
                lines = [f"# {part}", *getattr(self, f"_text_{part}")()]
                text = "\n".join(lines) + "\n"
                (folder / f"{part}.txt").write_bytes(text.encode("utf-8", "surrogatepass"))

    def _binary_cameras(self) -> Iterable[bytes]:
        for number, model, _, width, height, parameters in self.cameras:
            yield _pack("IiQQ", number, model, width, height)
            yield _pack(f"{len(parameters)}d", *parameters)

    def _binary_images(self) -> Iterable[bytes]:
        for number, pose, camera, name, features in self.images:
            yield _pack("I7dI", number, *pose, camera)
            yield name.encode("utf-8", "surrogatepass") + b"\0"
            yield _pack("Q", self.counts.get("features", features))
            yield b"".join(_pack("ddq", 1.0, 2.0, -1) for _ in range(features))

    def _binary_points(self) -> Iterable[bytes]:
        for number, xyz, rgb, error, track in self.points:
            length = self.counts.get("track", len(track) // 2)
            yield _pack("Q3d3BdQ", number, *xyz, *rgb, error, length)
            yield b"".join(_pack("I", value) for value in track)

    def _text_cameras(self) -> Iterable[str]:
        for number, _, name, width, height, parameters in self.cameras:
            yield " ".join(map(str, [number, name, width, height, *parameters]))

    def _text_images(self) -> Iterable[str]:
        for number, pose, camera, name, features in self.images:
            yield " ".join(map(str, [number, *pose, camera, name]))
            yield " ".join(["1.0 2.0 -1"] * features)

    def _text_points(self) -> Iterable[str]:
        for number, xyz, rgb, error, track in self.points:
            yield " ".join(map(str, [number, *xyz, *rgb, error, *track]))

    _binary_points3D = _binary_points  # noqa: N815
    _text_points3D = _text_points  # noqa: N815


def _pack(layout: str, *values: Any) -> bytes:
    """As struct.pack, little-endian; whole numbers are cut to their bits, as a bad writer would."""
    packed = []
    for code, value in zip(_expand(layout), values, strict=True):
        if code == "d":
            try:
                packed.append(struct.pack("<d", float(value)))
            except (OverflowError, ValueError, TypeError):
                packed.append(struct.pack("<d", math.inf))
        else:
            size = struct.calcsize("<" + code)
            whole = int(value) if isinstance(value, int) else 0
            packed.append((whole % 256**size).to_bytes(size, "little"))
    return b"".join(packed)


def _expand(layout: str) -> str:
    codes, number = "", ""
    for letter in layout:
        if letter.isdigit():
            number += letter
        else:
            codes += letter * (int(number) if number else 1)
            number = ""
    return codes


def poses(count: int) -> np.ndarray:
    """(N, 4, 4) camera-to-world poses on a circle that look at the origin, OpenCV axes."""
    result = np.zeros((count, 4, 4))
    for i in range(count):
        angle = 2 * math.pi * (i + 0.25) / count
        centre = np.array([4.0 * math.cos(angle), 4.0 * math.sin(angle), 1.5])
        forward = -centre / np.linalg.norm(centre)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        result[i, :3] = np.column_stack([right, np.cross(forward, right), forward, centre])
        result[i, 3, 3] = 1.0
    return result


def pixels(seed: int, channels: int = 3) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (HEIGHT, WIDTH, channels), dtype=np.uint8)


def model(matrices: Iterable[np.ndarray] | None = None) -> Model:
    """All views, one OPENCV camera, points that neighbours share.

    Args:
        matrices: (3, 4) poses, world from camera, in the place of `poses`.
    """
    images = []
    for i, pose in enumerate(poses(VIEWS) if matrices is None else matrices):
        rotation = pose[:3, :3].T
        translation = -rotation @ pose[:3, 3]
        images.append([i + 1, [*_quaternion(rotation), *translation.tolist()], 1, f"v{i}.png", 3])
    generator = np.random.default_rng(5)
    points = []
    for i, xyz in enumerate(generator.uniform(-1, 1, (40, 3)).tolist()):
        track = [value for k in range(4) for value in ((i + k) % VIEWS + 1, k % 3)]
        points.append([i + 1, xyz, [200, 100, 50], 0.5, track])
    lens = [30.0, 31.0, 12.0, 10.0, 0.03, -0.01, 0.001, 0.0]
    return Model([[1, 4, "OPENCV", WIDTH, HEIGHT, lens]], images, points)


def _quaternion(rotation: np.ndarray) -> list[float]:
    """w, x, y, z of a rotation, by the eigenvector of its quadratic form."""
    m = rotation
    form = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], 0, 0, 0],
            [m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], 0, 0],
            [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1], 0],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], np.trace(m)],
        ]
    )
    _, vectors = np.linalg.eigh(form / 3.0)  # reads the lower triangle
    x, y, z, w = vectors[:, -1].tolist()
    return [w, x, y, z]


def transforms(count: int, pattern: str, first: int = 0, **keys: Any) -> dict[str, Any]:
    """A transforms file of `count` of all views."""
    frames = []
    for i, pose in enumerate(poses(VIEWS)[first : first + count]):
        matrix = (pose @ np.diag([1.0, -1, -1, 1])).tolist()
        frames.append({"file_path": pattern.format(i), "transform_matrix": matrix})
    return {**keys, "frames": frames}


def matrix_files(kind: str, i: int) -> tuple[str, str, str]:
    """Image, pose and intrinsics of a view, in the layout of NeRF++ or NSVF."""
    if kind == "nsvf":
        stem = f"{int(i >= TRAIN)}_{i}"
        return f"rgb/{stem}.png", f"pose/{stem}.txt", "intrinsics.txt"
    part = "test" if i >= TRAIN else "train"
    return f"{part}/rgb/{i}.png", f"{part}/pose/{i}.txt", f"{part}/intrinsics/{i}.txt"


def intrinsics(fx: float, fy: float, width: int, height: int) -> np.ndarray:
    matrix = np.eye(4)
    matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2] = fx, fy, width / 2, height / 2
    return matrix


def write_matrices(kind: str, data: Path, matrices: Iterable[np.ndarray], lens: np.ndarray) -> None:
    """All views' cameras, in the layout of NeRF++ or NSVF."""
    for i, pose in enumerate(matrices):
        _, pose_file, lens_file = matrix_files(kind, i)
        rows = [*pose[:3].tolist(), [0.0, 0.0, 0.0, 1.0]]
        for name, matrix in ((pose_file, rows), (lens_file, lens.tolist())):
            file = data / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(" ".join(map(repr, row)) for row in matrix) + "\n")


CONFIG: dict[str, Any] = {
    "results": "results",
    "seeds": [0, 1],
    "modes": ["corrected", "paper"],
    "studies": ["main", "schedule", "convergence"],
    "study": {"partitions": [2, 3], "schedule": [[100, 500]], "convergence": [600, 30_600]},
    "scenes": [
        {"name": "toy", "path": "data", "format": "nerfstudio", "division": "azimuth", "K": 2},
        {
            "name": "other",
            "path": "data",
            "format": "photos",
            "division": "louvain",
            "K": 3,
            "settings": {
                "scene": {"downscale": 2, "masks": "masks", "test_list": "lists/test.txt"},
                "train": {"steps": 10, "learning_rate": 2.0e-2},
            },
        },
    ],
    "model": {"resolution": 32, "scales": [1, 2, 4], "proposal_resolutions": [32, 64]},
    "train": {"steps": 600, "rays": 768, "learning_rate": 2.0e-2},
    "distill": {"steps": 600, "corrected": {"histogram": 1.0}},
    "evaluate": {"test_views": 20},
}


def write_base(kind: str, root: Path) -> None:
    """Write the undamaged folder of a kind of case."""
    for folder in ("data", "masks", "lists", "config", "work", "outside/images"):
        (root / folder).mkdir(parents=True)
    if kind == "blender":
        for part, count, first in (("train", TRAIN, 0), ("test", VIEWS - TRAIN, TRAIN)):
            (root / "data" / part).mkdir()
            for i in range(count):
                _save(root / "data" / part / f"r_{i}.png", pixels(first + i, 4))
            data = transforms(count, f"./{part}/r_{{}}", first, camera_angle_x=0.69)
            _dump(root / "data" / f"transforms_{part}.json", data)
    elif kind in ("nerfstudio", "config"):
        lens = {"fl_x": 30.0, "fl_y": 31.0, "cx": 12.0, "cy": 10.0, "w": WIDTH, "h": HEIGHT}
        lens |= {"k1": 0.05, "k2": -0.02, "p1": 0.001, "p2": -0.002, "camera_model": "OPENCV"}
        _dump(root / "data" / "transforms.json", transforms(VIEWS, "images/{}.jpg", **lens))
        for i in range(VIEWS):
            _save(root / "data" / "images" / f"{i}.jpg", pixels(i))
    elif kind in ("nerfpp", "nsvf"):
        for i in range(VIEWS):
            _save(root / "data" / matrix_files(kind, i)[0], pixels(i))
            if kind == "nerfpp" and i < TRAIN:
                mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
                _save(root / "data" / "train" / "mask" / f"{i}.png", mask)
        write_matrices(kind, root / "data", poses(VIEWS), intrinsics(30.0, 31.0, WIDTH, HEIGHT))
    elif kind == "video":
        for name, codec in CLIPS.items():
            _write_clip(root / "data" / name, codec)
    elif kind == "model":
        _write_model_files(*(root / file for file in MODEL_FILES))
    elif kind == "path":
        _dump(root / PATH_FILE, {"version": 1, "fps": 25, "keyframes": keyframes()})
    elif kind == "photos":
        model().write(root / "sfm", binary=True)
        for i in range(VIEWS):
            _save(root / "data" / f"v{i}.png", pixels(i))
    else:
        model().write(root / "data" / "sparse" / "0", binary=kind == "colmap-binary")
        for i in range(VIEWS):
            _save(root / "data" / "images" / f"v{i}.png", pixels(i))
    config = copy.deepcopy(CONFIG)
    (root / "config" / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    _write_outside(root / "outside")
    if kind not in ("video", *EXPORTS):  # where no images have names
        _write_named(kind, root)


def _write_outside(folder: Path) -> None:
    picture = np.full((HEIGHT, WIDTH, 3), CANARY, np.uint8)
    for name in ("secret.png", "secret.jpg", *(f"images/v{i}.png" for i in range(VIEWS))):
        _save(folder / name, picture)
    for i in range(VIEWS):
        _save(folder / f"images/{i}.jpg", picture)
    (folder / "secret.txt").write_text("v0.png\n")
    _dump(folder / "transforms.json", transforms(VIEWS, "images/{}.jpg", camera_angle_x=0.7))


def _write_named(kind: str, root: Path) -> None:
    """Masks, a list of test views and one of excluded views, which some cases' settings name."""
    pictures = [f for f in (root / "data").rglob("*") if f.suffix in (".png", ".jpg")]
    files = [file for file in pictures if file.parent.name != "mask"]
    above = root / "data" / "images" if kind.startswith("colmap") else root / "data"
    names = sorted(file.relative_to(above).as_posix() for file in files)
    for i, name in enumerate(names):
        mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
        mask[: i % 4] = 0
        _save(root / "masks" / (name + ".png"), mask)
    (root / "lists" / "test.txt").write_text(f"# test views\n{names[1]}\n{names[4]}\n")
    (root / "lists" / "exclude.txt").write_text(f"{names[6]}\n")


def _write_clip(file: Path, codec: str) -> None:
    """A second of a camera that pans along noise."""
    wall = np.random.default_rng(3).integers(0, 256, (8, 24, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=12)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.thread_count = 1
        for x in range(0, 96, 8):
            picture = np.ascontiguousarray(wall[:, x : x + 96])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def keyframes() -> list[dict[str, Any]]:
    """Four cameras on a circle, a second apart."""
    return [
        {"world_from_camera": pose[:3].tolist(), "fov_degrees": 40 + i, "seconds": float(i)}
        for i, pose in enumerate(poses(VIEWS)[:4])
    ]


def _write_model_files(plain: Path, routed: Path) -> None:
    """Untrained, opaque models of the smallest size, with the cameras of all views."""
    sizes = {"resolution": 4, "scales": (1, 2), "channels": 2, "samples": 4, "hidden": 4}
    proposals = {"proposal_resolutions": (4, 4), "proposal_channels": 2, "proposal_samples": (4, 4)}
    small = ModelSettings(**sizes, **proposals, geometry_features=3, colour_layers=1)
    space = Space("box", ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)), 2.0, 6.0)
    lens = torch.tensor([[30.0, 31.0, WIDTH / 2, HEIGHT / 2]]).expand(VIEWS, 4)
    where = torch.from_numpy(poses(VIEWS)[:, :3])
    views = Cameras("perspective", WIDTH, HEIGHT, lens, torch.zeros(VIEWS, 6), where)
    about = {
        **{"scene": "toy", "model": "baseline-20", "title": "baseline", "seed": 0, "views": VIEWS},
        **{"steps": 20, "training_steps": 20, "division": None, "K": None, "mode": None},
        **{"psnr": 20.5, "scored_views": 2, "commit": "0" * 40, "versions": {"dac": "0.1.0"}},
        "exported_by": "0.1.0",
    }
    camera = {"world_from_camera": where[0].tolist(), "focal": 31.0}
    contents = {
        "background": [1.0, 1.0, 1.0],
        "world_from_data": np.eye(4).tolist(),
        "camera": {**camera, "width": WIDTH, "height": HEIGHT},
        "about": about,
    }
    models = [build_model(small, space, seed) for seed in range(3)]
    with torch.no_grad():  # opaque, so that there are depths and points
        for made in models:
            made.field.density[1].abs_().mul_(100)
    save(plain, models[0], models[0].state_dict(), views, contents)
    owner = np.arange(VIEWS) * 2 // VIEWS
    both = RoutedModel(models, Router("poses", 2, 0.2, where.numpy(), owner, np.array([0.0, 0.4])))
    save(routed, both, routed_tensors(both, 2.0), views, contents)


def _save(file: Path, picture: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(file)


def _dump(file: Path, data: Any) -> None:
    file.write_text(json.dumps(data))
