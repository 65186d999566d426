"""Cameras: pixels to rays and points to pixels.

Notation: N views of W x H pixels. The camera frame is OpenCV's (x right, y down, z forward); the
centre of the pixel in column i, row j is (i + 0.5, j + 0.5). A point (X, Y, Z) of the camera frame
lies at a = X / Z, b = Y / Z on the image plane; (u, v) is (a, b) after lens distortion, and the
pixel is (fx u + cx, fy v + cy). Two lens models, as OpenCV defines them:

    perspective   r2 = a^2 + b^2,  L = 1 + k1 r2 + k2 r2^2 + k3 r2^3 + k4 r2^4
                  u = a L + 2 p1 a b + p2 (r2 + 2 a^2)
                  v = b L + 2 p2 a b + p1 (r2 + 2 b^2)
    fisheye       theta = angle to the optical axis (it may pass 90 degrees)
                  rho = theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8)
                  (u, v) = rho (X, Y) / |(X, Y)|
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

_MOST_STEPS = 20
_CONVERGED_PIXELS = 1e-6


class _OnDevice(NamedTuple):
    """The cameras' tensors where rays are made, float64."""

    intrinsics: Tensor
    distortion: Tensor
    world_from_camera: Tensor


@dataclass(frozen=True, eq=False)
class Cameras:
    """N cameras of one lens model and one image size.

    Attributes:
        model: the lens model (see above).
        width, height: pixels.
        intrinsics: (N, 4) fx, fy, cx, cy in pixels; float64, CPU.
        distortion: (N, 6) k1, k2, p1, p2, k3, k4 (fisheye: p1 and p2 unused); float64, CPU.
        world_from_camera: (N, 3, 4) rotation and centre; float64, CPU.

    Raises:
        ValueError: shapes disagree, a number is not finite, a focal length is not positive.
    """

    model: Literal["perspective", "fisheye"]
    width: int
    height: int
    intrinsics: Tensor
    distortion: Tensor
    world_from_camera: Tensor
    _devices: dict[torch.device, _OnDevice] = field(default_factory=dict, init=False, repr=False)
    _steps: list[int] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        count = len(self.intrinsics)
        shapes: dict[str, tuple[int, ...]] = {
            "intrinsics": (count, 4),
            "distortion": (count, 6),
            "world_from_camera": (count, 3, 4),
        }
        for name, shape in shapes.items():
            value = getattr(self, name).detach().to("cpu", torch.float64).contiguous()
            if tuple(value.shape) != shape:
                raise ValueError(f"{name} has shape {tuple(value.shape)}, not {shape}")
            if not bool(torch.isfinite(value).all()):
                raise ValueError(f"{name} is not finite")
            object.__setattr__(self, name, value)
        if self.model not in ("perspective", "fisheye"):
            raise ValueError(f"unknown lens model {self.model!r}")
        if self.width < 1 or self.height < 1:
            raise ValueError(f"an image of {self.width} x {self.height} pixels")
        if not bool((self.intrinsics[:, :2] > 0).all()):
            raise ValueError("a focal length is not positive")

    def __len__(self) -> int:
        return len(self.intrinsics)

    @property
    def centres(self) -> Tensor:
        """(N, 3) camera centres in the world, float64."""
        return self.world_from_camera[:, :, 3]

    def select(self, indices: Sequence[int] | Tensor) -> Cameras:
        """The cameras at the given indices, in that order."""
        index = torch.as_tensor(indices, dtype=torch.int64)
        return Cameras(
            self.model,
            self.width,
            self.height,
            self.intrinsics[index],
            self.distortion[index],
            self.world_from_camera[index],
        )

    def scaled(self, factor: int) -> Cameras:
        """The cameras of images reduced by an integer factor.

        Columns and rows at the right and bottom that do not fill a block of `factor` pixels are
        cut off, which leaves the principal point where it is.
        """
        return Cameras(
            self.model,
            self.width // factor,
            self.height // factor,
            self.intrinsics / factor,
            self.distortion,
            self.world_from_camera,
        )

    def rays(self, view: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Rays through pixels.

        Lens distortion is undone by Newton's method, in float64 and with as many steps as these
        cameras need (see `newton_steps`); without distortion that is left out.

        Args:
            view: (R,) int64, the camera of each ray; the rays appear on its device.
            x, y: (R,) pixels; (0.5, 0.5) is the centre of the first pixel.

        Returns:
            rays_o (R, 3) and unit rays_d (R, 3), float32, in the world.
        """
        camera = self._on(view.device)
        directions = self._directions(camera, view, x, y, self.newton_steps)
        pose = camera.world_from_camera[view]
        rays_d = (pose[:, :, :3] @ directions[:, :, None])[:, :, 0]
        return pose[:, :, 3].float(), rays_d.float()

    def project(self, view: int, points: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels of points: the inverse of `rays`.

        Args:
            view: the camera.
            points: (P, 3) in the world, any device.

        Returns:
            pixels (P, 2), float64: NaN where the camera can't see, i.e. behind a perspective camera
            or so far aside that the distortion polynomial folds back; and depth (P,), float64: the
            distance along the optical axis (camera z).
        """
        camera = self._on(points.device)
        pose = camera.world_from_camera[view]
        local = (points.double() - pose[:, 3]) @ pose[:, :3]
        depth = local[:, 2]
        k = camera.distortion[view]
        limit = _largest_radius(self.model, self.distortion[view].tolist())
        if self.model == "fisheye":
            radius = torch.linalg.vector_norm(local[:, :2], dim=1)
            theta = torch.atan2(radius, depth)
            scale = _fisheye(theta, k)[0] / radius.clamp_min(1e-300)
            distorted = local[:, :2] * torch.where(radius > 0, scale, 0.0)[:, None]
            seen = theta <= limit
        else:
            a, b = (local[:, :2] / depth[:, None]).unbind(1)
            distorted = torch.stack(_perspective(a, b, k)[:2], dim=1)
            seen = (depth > 0) & (a * a + b * b <= limit * limit)
        lens = camera.intrinsics[view]
        pixels = distorted * lens[:2] + lens[2:]
        return torch.where(seen[:, None], pixels, torch.nan), depth

    @property
    def newton_steps(self) -> int:
        """Newton steps that undo the distortion everywhere in the image to 1e-6 pixels.

        Measured once, on a grid of points that reaches the image's edges; at most 20, reached where
        the distortion folds the image and no step count helps.
        """
        if not self._steps:
            self._steps.append(self._needed_steps())
        return self._steps[0]

    def _needed_steps(self) -> int:
        if self.model == "perspective" and not bool(self.distortion.any()):
            return 0
        lens = torch.cat([self.intrinsics, self.distortion], dim=1)
        _, first = np.unique(lens.numpy(), axis=0, return_index=True)
        gx, gy = torch.meshgrid(
            torch.linspace(0, self.width, 17, dtype=torch.float64),
            torch.linspace(0, self.height, 17, dtype=torch.float64),
            indexing="ij",
        )
        view = torch.from_numpy(first).repeat_interleave(gx.numel())
        x, y = gx.flatten().repeat(len(first)), gy.flatten().repeat(len(first))
        camera = self._on(torch.device("cpu"))
        focal = self.intrinsics[:, :2].max()
        best = self._directions(camera, view, x, y, _MOST_STEPS)
        for steps in range(1, _MOST_STEPS):
            error = (self._directions(camera, view, x, y, steps) - best).abs().max() * focal
            if error < _CONVERGED_PIXELS:
                return steps
        return _MOST_STEPS

    def _directions(
        self, camera: _OnDevice, view: Tensor, x: Tensor, y: Tensor, steps: int
    ) -> Tensor:
        """(R, 3) unit directions in the camera frame, float64."""
        fx, fy, cx, cy = camera.intrinsics[view].unbind(1)
        u, v = (x - cx) / fx, (y - cy) / fy
        if self.model == "fisheye":
            return _undo_fisheye(u, v, camera.distortion[view].unbind(1), steps)
        if steps:
            u, v = _undo_perspective(u, v, camera.distortion[view].unbind(1), steps)
        norm = torch.rsqrt(u * u + v * v + 1.0)
        return torch.stack([u * norm, v * norm, norm], dim=1)

    def _on(self, device: torch.device) -> _OnDevice:
        if device not in self._devices:
            self._devices[device] = _OnDevice(
                self.intrinsics.to(device),
                self.distortion.to(device),
                self.world_from_camera.to(device),
            )
        return self._devices[device]

    def to_json(self) -> dict[str, Any]:
        """Plain data that keeps every bit."""
        return {
            "model": self.model,
            "width": self.width,
            "height": self.height,
            "intrinsics": self.intrinsics.tolist(),
            "distortion": self.distortion.tolist(),
            "world_from_camera": self.world_from_camera.tolist(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Cameras:
        """Read what `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        arrays = {
            name: torch.from_numpy(np.array(data[name], np.float64))
            for name in ("intrinsics", "distortion", "world_from_camera")
        }
        return cls(data["model"], int(data["width"]), int(data["height"]), **arrays)


Coefficients = Sequence[Tensor] | Tensor


def _perspective(
    a: Tensor, b: Tensor, k: Coefficients
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Distorted (u, v) of (a, b), and the derivatives du/da, du/db = dv/da, dv/db."""
    k1, k2, p1, p2, k3, k4 = k
    r2 = a * a + b * b
    scale = 1.0 + r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * k4)))
    slope = 2.0 * (k1 + r2 * (2.0 * k2 + r2 * (3.0 * k3 + r2 * (4.0 * k4))))
    ab = a * b
    u = a * scale + 2.0 * p1 * ab + p2 * (r2 + 2.0 * a * a)
    v = b * scale + 2.0 * p2 * ab + p1 * (r2 + 2.0 * b * b)
    du_da = scale + a * a * slope + 2.0 * p1 * b + 6.0 * p2 * a
    dv_db = scale + b * b * slope + 2.0 * p2 * a + 6.0 * p1 * b
    du_db = ab * slope + 2.0 * p1 * a + 2.0 * p2 * b
    return u, v, du_da, du_db, dv_db


def _undo_perspective(
    u: Tensor, v: Tensor, k: Sequence[Tensor], steps: int
) -> tuple[Tensor, Tensor]:
    """Undistorted (a, b) of (u, v).

    The limit of a step and of the determinant never acts where the lens model can be inverted;
    elsewhere it keeps the result finite.
    """
    a, b = u, v
    for _ in range(steps):
        u_now, v_now, du_da, du_db, dv_db = _perspective(a, b, k)
        determinant = (du_da * dv_db - du_db * du_db).clamp_min(1e-3)
        u_miss, v_miss = u - u_now, v - v_now
        a = a + ((dv_db * u_miss - du_db * v_miss) / determinant).clamp(-0.5, 0.5)
        b = b + ((du_da * v_miss - du_db * u_miss) / determinant).clamp(-0.5, 0.5)
    return a, b


def _fisheye(theta: Tensor, k: Coefficients) -> tuple[Tensor, Tensor]:
    """rho of theta, and its derivative."""
    k1, k2, _, _, k3, k4 = k
    t2 = theta * theta
    rho = theta * (1.0 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
    slope = 1.0 + t2 * (3.0 * k1 + t2 * (5.0 * k2 + t2 * (7.0 * k3 + t2 * (9.0 * k4))))
    return rho, slope


def _undo_fisheye(u: Tensor, v: Tensor, k: Sequence[Tensor], steps: int) -> Tensor:
    """(R, 3) unit directions of distorted (u, v)."""
    rho = torch.sqrt(u * u + v * v)
    theta = rho.clamp_max(math.pi)
    for _ in range(steps):
        now, slope = _fisheye(theta, k)
        theta = (theta + ((rho - now) / slope.clamp_min(1e-2)).clamp(-0.5, 0.5)).clamp(0, math.pi)
    aside = torch.where(rho > 0, torch.sin(theta) / rho.clamp_min(1e-300), 1.0)
    return torch.stack([u * aside, v * aside, torch.cos(theta)], dim=1)


def _largest_radius(model: str, distortion: Sequence[float]) -> float:
    """Radius (perspective) or angle (fisheye) up to which the radial polynomial grows."""
    k1, k2, _, _, k3, k4 = distortion
    slope = np.array([9.0 * k4, 7.0 * k3, 5.0 * k2, 3.0 * k1, 1.0])  # in the squared radius
    roots = np.roots(slope)
    folds = roots[(np.abs(roots.imag) < 1e-9) & (roots.real > 0)].real
    first = float(np.sqrt(folds.min())) if len(folds) else math.inf
    return min(first, math.pi) if model == "fisheye" else first
