"""The field at given points by the kernels equals plain torch's."""

from __future__ import annotations

import pytest
import torch
from ray_cases import KINDS, Subject

from dac.ops import build
from dac.ops import rays as kernels
from dac.ops.backend import library, using

pytestmark = pytest.mark.skipif(
    build.find_compiler()[0] is None and build.find_built() is None, reason="no C++ compiler"
)


@pytest.fixture(autouse=True, scope="module")
def _loaded() -> None:
    library()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("count", "rays"),
    [(0, None), (1, None), (63, None), (1000, None), (0, 0), (7, 7), (60, 5), (900, 3)],
)
def test_query(name: str, count: int, rays: int | None) -> None:
    it = Subject(name)
    points, directions = it.points(count, rays)
    sigma, colours = kernels.query_points(it.parameters, it.shape, points, directions)
    assert sigma.shape == (count,)
    it.close_query(points, directions, sigma, colours)


def test_points_that_directions_do_not_divide_are_refused() -> None:
    it = Subject("small")
    points, directions = it.points(10, 3)
    with pytest.raises(RuntimeError, match="each for N / R points"):
        kernels.query_points(it.parameters, it.shape, points, directions)
    with pytest.raises(RuntimeError, match=r"points must be \(N, 3\)"):
        kernels.query_points(it.parameters, it.shape, points[:, :2])


def test_the_model_asks_the_backend() -> None:
    it = Subject("small")
    model = it.model.float()
    points, directions = it.points(40, 4)
    found = {}
    for name in ("native", "reference"):
        with using(name):  # type: ignore[arg-type]
            found[name] = model.query_points(points, directions)
    for ours, theirs in zip(found["native"], found["reference"], strict=True):
        assert ours is not None and theirs is not None
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
