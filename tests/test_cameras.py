"""Cameras: rays and projection are inverse, and agree with pycolmap's lens models."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dac.cameras import Cameras

PERSPECTIVE = [0.11, -0.07, 0.002, -0.003, 0.01, -0.002]
FISHEYE = [0.03, -0.01, 0.0, 0.0, 0.004, -0.0008]


def random_poses(count: int, seed: int) -> Tensor:
    """(N, 3, 4) rigid poses with random rotations and centres."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(count, 3, 3, generator=generator, dtype=torch.float64)
    q = torch.linalg.qr(a).Q
    q = q * torch.linalg.det(q)[:, None, None]
    return torch.cat([q, torch.randn(count, 3, 1, generator=generator, dtype=torch.float64)], dim=2)


def random_cameras(model: str, seed: int, count: int = 5, distorted: bool = True) -> Cameras:
    rng = np.random.default_rng(seed)
    width, height = (int(v) for v in rng.integers(300, 4000, 2))
    focal = rng.uniform(0.8, 1.6, (count, 1)) * max(width, height)
    lens = np.concatenate(
        [
            focal,
            focal * rng.uniform(0.98, 1.02, (count, 1)),
            width * rng.uniform(0.45, 0.55, (count, 1)),
            height * rng.uniform(0.45, 0.55, (count, 1)),
        ],
        axis=1,
    )
    largest = np.array(PERSPECTIVE if model == "perspective" else FISHEYE)
    distortion = rng.uniform(-1, 1, (count, 6)) * largest if distorted else np.zeros((count, 6))
    return Cameras(
        model,  # type: ignore[arg-type]
        width,
        height,
        torch.from_numpy(lens),
        torch.from_numpy(distortion),
        random_poses(count, seed),
    )


def random_pixels(cameras: Cameras, count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Views and pixels, the image's four corners among them."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, cameras.width, count)
    y = rng.uniform(0, cameras.height, count)
    x[:4], y[:4] = [0, 0, cameras.width, cameras.width], [0, cameras.height, 0, cameras.height]
    view = torch.from_numpy(rng.integers(0, len(cameras), count))
    return view, torch.from_numpy(x).float(), torch.from_numpy(y).float()


@pytest.mark.parametrize("model", ["perspective", "fisheye"])
@pytest.mark.parametrize("distorted", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_projecting_a_ray_gives_its_pixel(model: str, distorted: bool, seed: int) -> None:
    cameras = random_cameras(model, seed, distorted=distorted)
    view, x, y = random_pixels(cameras, 300, seed)
    rays_o, rays_d = cameras.rays(view, x, y)
    assert rays_o.dtype == rays_d.dtype == torch.float32
    torch.testing.assert_close(rays_d.norm(dim=1), torch.ones(300), rtol=0, atol=1e-6)
    for i in range(len(cameras)):
        mine = view == i
        # From the exact centre: the float32 one is off by up to 1e-7 of its coordinates.
        points = cameras.centres[i] + 3.0 * rays_d[mine].double()
        pixels, depth = cameras.project(i, points)
        expected = torch.stack([x[mine], y[mine]], dim=1).double()
        assert (pixels - expected).abs().max() < 1e-3
        assert (depth > 0).all() and (depth < 3.0 + 1e-6).all()
        torch.testing.assert_close(rays_o[mine].double(), cameras.centres[i].expand(len(points), 3))


COLMAP_MODELS = [
    ("SIMPLE_PINHOLE", "perspective", []),
    ("PINHOLE", "perspective", []),
    ("SIMPLE_RADIAL", "perspective", [0]),
    ("RADIAL", "perspective", [0, 1]),
    ("OPENCV", "perspective", [0, 1, 2, 3]),
    ("OPENCV_FISHEYE", "fisheye", [0, 1, 4, 5]),
]


@pytest.mark.parametrize(("name", "model", "used"), COLMAP_MODELS)
def test_lens_models_agree_with_pycolmap(name: str, model: str, used: list[int]) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    rng = np.random.default_rng(len(name))
    largest = np.array(PERSPECTIVE if model == "perspective" else FISHEYE)
    k = np.zeros(6)
    k[used] = rng.uniform(-1, 1, len(used)) * largest[used]
    width, height, fx, fy, cx, cy = 1200, 900, 1000.0, 1010.0, 590.0, 460.0
    if name in ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL"):
        fy = fx
        params = [fx, cx, cy, *k[used]]
    else:
        params = [fx, fy, cx, cy, *k[used]]
    theirs = pycolmap.Camera(model=name, width=width, height=height, params=params)
    cameras = Cameras(
        model,  # type: ignore[arg-type]
        width,
        height,
        torch.tensor([[fx, fy, cx, cy]], dtype=torch.float64),
        torch.from_numpy(k)[None],
        torch.eye(4, dtype=torch.float64)[None, :3],
    )
    pixels = rng.uniform(0, [width, height], (200, 2))
    x, y = torch.from_numpy(pixels).float().unbind(1)
    _, rays_d = cameras.rays(torch.zeros(200, dtype=torch.int64), x, y)
    plane = (rays_d[:, :2] / rays_d[:, 2:]).double().numpy()
    assert np.abs(plane - theirs.cam_from_img(pixels.astype(np.float32))).max() < 1e-3 / fx

    points = np.concatenate([rng.uniform(-0.55, 0.55, (200, 2)), np.ones((200, 1))], axis=1)
    mine, depth = cameras.project(0, torch.from_numpy(points * 2.5))
    np.testing.assert_allclose(mine.numpy(), theirs.img_from_cam(points), rtol=0, atol=1e-9)
    np.testing.assert_allclose(depth.numpy(), 2.5)


def test_principal_axis_and_image_axes_by_hand() -> None:
    """A camera at (0, 0, 5) that looks down, its image's right being +x: its down is -y."""
    pose = torch.tensor([[[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 5]]])
    lens = torch.tensor([[100.0, 100.0, 50.0, 40.0]])
    cameras = Cameras("perspective", 100, 80, lens, torch.zeros(1, 6), pose)
    view = torch.zeros(3, dtype=torch.int64)
    _, d = cameras.rays(view, torch.tensor([50.0, 150.0, 50.0]), torch.tensor([40.0, 40.0, 140.0]))
    h = math.sqrt(0.5)
    expected = torch.tensor([[0.0, 0, -1], [h, 0, -h], [0, -h, -h]])
    torch.testing.assert_close(d, expected)
    pixels, depth = cameras.project(0, torch.tensor([[1.0, 2.0, 3.0]]))
    torch.testing.assert_close(pixels, torch.tensor([[100.0, -60.0]], dtype=torch.float64))
    assert depth.item() == pytest.approx(2.0)


def test_a_fisheye_sees_behind_itself() -> None:
    lens = torch.tensor([[100.0, 100.0, 200.0, 200.0]])
    cameras = Cameras("fisheye", 400, 400, lens, torch.zeros(1, 6), torch.eye(4)[None, :3])
    theta = 1.9
    _, d = cameras.rays(
        torch.tensor([0, 0]), torch.tensor([200.0 + 100 * theta, 200.0]), torch.tensor([200.0] * 2)
    )
    torch.testing.assert_close(
        d, torch.tensor([[math.sin(theta), 0, math.cos(theta)], [0.0, 0.0, 1.0]])
    )
    pixels, depth = cameras.project(0, d.double())
    torch.testing.assert_close(pixels[0].tolist(), [200.0 + 100 * theta, 200.0])
    assert depth[0] < 0


def test_what_a_camera_cannot_see_has_no_pixel() -> None:
    lens = torch.tensor([[100.0, 100.0, 50.0, 50.0]])
    k = torch.tensor([[-0.3, 0.0, 0, 0, 0, 0]])  # folds where 1 - 0.9 r2 = 0, at r = 1.054
    cameras = Cameras("perspective", 100, 100, lens, k, torch.eye(4)[None, :3])
    points = torch.tensor([[0.0, 0, -1], [1.05, 0, 1], [1.06, 0, 1], [0, 0, 1]])
    pixels, _ = cameras.project(0, points)
    assert torch.isnan(pixels).any(1).tolist() == [True, False, True, False]


def test_a_folded_lens_still_gives_finite_unit_rays() -> None:
    lens = torch.tensor([[60.0, 60.0, 50.0, 50.0]])
    k = torch.tensor([[-0.5, 0.0, 0, 0, 0, 0]])
    for model in ("perspective", "fisheye"):
        cameras = Cameras(model, 100, 100, lens, k, torch.eye(4)[None, :3])  # type: ignore[arg-type]
        y, x = torch.meshgrid(torch.arange(100) + 0.5, torch.arange(100) + 0.5, indexing="ij")
        view = torch.zeros(10_000, dtype=torch.int64)
        _, d = cameras.rays(view, x.flatten(), y.flatten())
        torch.testing.assert_close(d.norm(dim=1), torch.ones(10_000))


def test_few_newton_steps_suffice() -> None:
    assert random_cameras("perspective", 1, distorted=False).newton_steps == 0
    assert random_cameras("perspective", 1).newton_steps <= 5
    assert random_cameras("fisheye", 1).newton_steps <= 5


@pytest.mark.parametrize("factor", [1, 2, 3, 7])
def test_downscaling_keeps_rays(factor: int) -> None:
    """The corner that four reduced pixels share lies where it lay before."""
    cameras = random_cameras("perspective", 3)
    small = cameras.scaled(factor)
    assert (small.width, small.height) == (cameras.width // factor, cameras.height // factor)
    view, x, y = random_pixels(cameras, 50, 0)
    _, before = cameras.rays(view, x, y)
    _, after = small.rays(view, x / factor, y / factor)
    torch.testing.assert_close(before, after, rtol=0, atol=1e-6)


def test_selection_keeps_order() -> None:
    cameras = random_cameras("fisheye", 2)
    chosen = cameras.select([3, 0, 3])
    assert len(chosen) == 3
    torch.testing.assert_close(chosen.centres, cameras.centres[[3, 0, 3]], rtol=0, atol=0)
    torch.testing.assert_close(chosen.distortion, cameras.distortion[[3, 0, 3]], rtol=0, atol=0)


def test_json_keeps_every_bit() -> None:
    cameras = random_cameras("perspective", 7)
    again = Cameras.from_json(json.loads(json.dumps(cameras.to_json())))
    assert (again.model, again.width, again.height) == (
        cameras.model,
        cameras.width,
        cameras.height,
    )
    for name in ("intrinsics", "distortion", "world_from_camera"):
        assert torch.equal(getattr(again, name), getattr(cameras, name))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"intrinsics": [[1.0, 1.0, 0.0]]}, "shape"),
        ({"intrinsics": [[-1.0, 1.0, 0.0, 0.0]]}, "focal"),
        ({"distortion": [[math.nan] * 6]}, "finite"),
        ({"model": "orthographic"}, "lens model"),
        ({"width": 0}, "0 x"),
    ],
)
def test_impossible_cameras_are_refused(change: dict[str, object], message: str) -> None:
    data = random_cameras("perspective", 0, count=1).to_json() | change
    with pytest.raises(ValueError, match=message):
        Cameras.from_json(data)
