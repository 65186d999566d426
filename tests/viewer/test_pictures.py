from __future__ import annotations

import numpy as np
import pytest
import torch

from dac.evaluation.pictures import depth_picture
from dac.ops.rays import Rendered
from dac.viewer.pictures import depth_ramp, depth_range, draw_split, error_picture, picture


def test_rgb_and_accumulation_are_what_they_say() -> None:
    rendered = Rendered(torch.full((2, 3, 3), 0.5), torch.ones(2, 3), torch.full((2, 3), 0.2))
    assert (picture(rendered, "RGB") == 128).all()
    assert (picture(rendered, "accumulation") == 51).all()


def test_the_legend_s_range_is_that_of_the_colours() -> None:
    # Disparities evenly from 1/10 to 1/2, and something transparent that doesn't count.
    depth = 1 / torch.linspace(0.1, 0.5, 1001).expand(2, 1001).clone()
    accumulation = torch.ones(2, 1001)
    depth[1], accumulation[1] = 0.01, 0.1
    rendered = Rendered(torch.zeros(2, 1001, 3), depth, accumulation)
    found = depth_range(rendered)
    assert found is not None
    assert found == pytest.approx((1 / 0.492, 1 / 0.108))
    shown = picture(rendered, "depth")
    ends = [int(torch.argmin((depth[0] - end).abs())) for end in found]
    near, far = shown[0, ends].astype(int)
    ramp = depth_ramp()[0].astype(int)
    assert np.abs(near - ramp[0]).max() <= 2 and np.abs(far - ramp[-1]).max() <= 2
    assert (shown[1] == 255).all()
    assert depth_range(rendered._replace(accumulation=torch.zeros(2, 1001))) is None


def test_the_ramp_goes_from_near_to_far_as_depth_pictures_do() -> None:
    ramp = depth_ramp(101, 3)
    assert ramp.shape == (3, 101, 3)
    light = ramp[0].astype(int).sum(axis=1)
    assert light[0] > light[50] > light[-1] and (np.diff(light) <= 0).all()
    middle = depth_picture(1 / torch.tensor([[1.0, 1.5, 2.0]]), torch.ones(1, 3))[0, 1]
    assert np.abs(middle.astype(int) - ramp[0, 50]).max() <= 3


def test_errors_and_the_split() -> None:
    render = torch.tensor([[[0.5, 2.0, 0.0]]])
    assert error_picture(render, torch.tensor([[[0.6, 1.0, 0.9]]])).tolist() == [[[102, 0, 255]]]
    image = np.zeros((2, 10, 3), np.uint8)
    draw_split(image, 4)
    assert np.flatnonzero(image[0, :, 0]).tolist() == [4]
    draw_split(image, 10)
    assert np.flatnonzero(image[0, :, 0]).tolist() == [4]
