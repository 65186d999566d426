"""Rendering one test view by the model that owns it, and comparing it with the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dac.errors import UserError
from dac.evaluation.metrics import psnr, score
from dac.evaluation.records import ImageScore
from dac.evaluation.render import render_pixels, render_view
from dac.evaluation.truth import background_colour, truth_image, usable_pixels
from dac.fields.model import Model
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
        models: K experts; a single model is an ensemble of one.
        owner: test view -> the expert that renders it.
        stride: every n-th pixel, both ways, where experts are scored on views of others; None where
            there is one model only.
        chunk_rays: rays rendered at once.
    """

    scene: Scene
    models: Sequence[Model]
    owner: Mapping[int, int]
    stride: int | None
    chunk_rays: int

    def render(self, view: int, stop: Stop) -> Rendered:
        """A view as the expert that owns it renders it, on the CPU."""
        model, background = self.models[self.owner[view]], background_colour(self.scene)
        cameras = self.scene.cameras
        rendered = render_view(model, cameras, view, background, self.chunk_rays, stop)
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
        if self.stride is None:
            return ImageScore(name, scores.psnr, scores.ssim, scores.ms_ssim)
        experts = self._score_experts(view, rendered, truth, self.stride, stop)
        owner = self.owner[view]
        return ImageScore(name, scores.psnr, scores.ssim, scores.ms_ssim, owner, tuple(experts))

    def _score_experts(
        self, view: int, rendered: Rendered, truth: Truth, stride: int, stop: Stop
    ) -> list[float]:
        """Every expert's PSNR on the same grid of pixels, the owner's from its whole render."""
        grid = torch.zeros(truth.image.shape[:2], dtype=torch.bool)
        grid[stride // 2 :: stride, stride // 2 :: stride] = True
        if truth.usable is not None and bool((grid & truth.usable).any()):
            grid &= truth.usable
        pixels = grid.flatten().nonzero()[:, 0]
        cameras, background = self.scene.cameras, background_colour(self.scene)
        results = []
        for index, model in enumerate(self.models):
            if index == self.owner[view]:
                rgb = rendered.rgb[grid]
            else:
                rgb = render_pixels(
                    model, cameras, view, pixels, background, self.chunk_rays, stop
                ).rgb
            results.append(psnr(rgb.cpu().clamp(0.0, 1.0), truth.image[grid]))
        return results
