"""Rendering one test view, and comparing it with the truth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dac.conquer.routed import AnyModel, RoutedModel
from dac.errors import UserError
from dac.evaluation.metrics import psnr, score
from dac.evaluation.records import ImageScore
from dac.evaluation.render import render_pixels, render_view
from dac.evaluation.truth import background_colour, truth_image, usable_pixels
from dac.ops.rays import Rendered
from dac.process.signals import Stop
from dac.scenes.scene import Scene


@dataclass(frozen=True)
class Truth:
    """A view's image (H, W, 3) over the background, and the pixels (H, W) that count, or None."""

    image: Tensor
    usable: Tensor | None

    @classmethod
    def of(cls, scene: Scene, view: int) -> Truth:
        """A view of a scene.

        Raises:
            UserError: its mask leaves nothing to score.
        """
        return cls(truth_image(scene, view), usable_pixels(scene, view))


@dataclass(frozen=True)
class Scorer:
    """A scene, and who renders its test views.

    All its work leaves by `SystemExit` soon after a signal came: it asks between chunks of rays.

    Attributes:
        scene: with test views.
        model: of the whole scene; of a routed one, every expert is scored too.
        stride: every n-th pixel, both ways, where experts are scored.
        chunk_rays: rays rendered at once.
    """

    scene: Scene
    model: AnyModel
    stride: int
    chunk_rays: int

    def render(self, view: int, stop: Stop) -> Rendered:
        """A view as the model renders it, on the CPU."""
        background, cameras = background_colour(self.scene), self.scene.cameras
        rendered = render_view(self.model, cameras, view, background, self.chunk_rays, stop)
        return Rendered(*(tensor.cpu() for tensor in rendered))

    def score(self, view: int, rendered: Rendered, truth: Truth, stop: Stop) -> ImageScore:
        """The scores of a view's render.

        Raises:
            UserError: the render holds NaN.
        """
        name = self.scene.names[view]
        try:
            scores = score(rendered.rgb, truth.image, truth.usable)
        except ValueError as error:
            where = f"scene {self.scene.name}: {name}"
            raise UserError(where, f"can't be scored: {error}", "look at the run's curve") from None
        if not isinstance(self.model, RoutedModel):
            return ImageScore(name, scores.psnr, scores.ssim, scores.ms_ssim)
        experts = self._score_experts(self.model, view, rendered, truth, stop)
        pose = self.scene.cameras.world_from_camera[view].cpu().numpy()
        owner = self.model.router.owner_of(pose)
        return ImageScore(name, scores.psnr, scores.ssim, scores.ms_ssim, owner, tuple(experts))

    def _score_experts(
        self, routed: RoutedModel, view: int, rendered: Rendered, truth: Truth, stop: Stop
    ) -> list[float]:
        """Every expert's PSNR on the same grid of pixels; of one that shows the view, from that."""
        grid, stride = torch.zeros(truth.image.shape[:2], dtype=torch.bool), self.stride
        grid[stride // 2 :: stride, stride // 2 :: stride] = True
        if truth.usable is not None and bool((grid & truth.usable).any()):
            grid &= truth.usable
        pixels = grid.flatten().nonzero()[:, 0]
        cameras, background = self.scene.cameras, background_colour(self.scene)
        shown_by = routed.at(cameras.world_from_camera[view])
        results = []
        for model in routed.experts[: routed.router.count]:
            if model is shown_by:
                rgb = rendered.rgb[grid]
            else:
                rgb = render_pixels(
                    model, cameras, view, pixels, background, self.chunk_rays, stop
                ).rgb
            results.append(psnr(rgb.cpu().clamp(0.0, 1.0), truth.image[grid]))
        return results
