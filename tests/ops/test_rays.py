"""Whole rays on a CPU equal the model in float64 plain torch, gradients included."""

from __future__ import annotations

import pytest
import torch
from ray_cases import (
    BOX,
    DISTILL_WEIGHTS,
    KINDS,
    OPEN,
    TRAIN_WEIGHTS,
    Kind,
    Subject,
    small_settings,
)
from torch import Tensor

from dac.ops import build
from dac.ops import rays as kernels
from dac.ops.backend import library, using

pytestmark = pytest.mark.skipif(
    build.find_compiler()[0] is None and build.find_built() is None, reason="no C++ compiler"
)

# Every kind in float32, and widths of a lookup: whole vectors, parts of them, several.
SUBJECTS = {name: kind._replace(precise=True) for name, kind in KINDS.items()} | {
    f"{channels} channels": Kind(small_settings(channels=channels), space, precise=True)
    for channels, space in {1: BOX, 2: OPEN, 5: BOX, 16: OPEN, 24: BOX, 48: BOX}.items()
}


@pytest.fixture(autouse=True, scope="module")
def _loaded() -> None:
    library()


@pytest.fixture(params=SUBJECTS)
def it(request: pytest.FixtureRequest) -> Subject:
    return Subject(SUBJECTS[request.param])


def close_terms(terms: Tensor, expected: list[Tensor]) -> None:
    """The histogram losses are squares of small differences: theirs is the larger error."""
    twin = torch.stack(expected).detach()
    torch.testing.assert_close(terms[: len(twin)].double(), twin, rtol=1e-3, atol=1e-9)


def test_render(it: Subject) -> None:
    step = it.step_rays()
    rendered, sampled = kernels.sample_rays(it.kernel_model, step.rays, step.key, step.anneal)
    twin = it.rendering()
    for field, got in (rendered._asdict() | sampled._asdict()).items():
        it.close(field, got, getattr(twin, field))


@pytest.mark.parametrize("learn", [True, False])
def test_train(it: Subject, learn: bool) -> None:
    gradients = kernels.new_gradients(it.parameters)
    terms = kernels.train_rays(
        it.kernel_model, gradients, it.step_rays(), it.target, learn, TRAIN_WEIGHTS
    )
    expected = it.train_terms(learn)
    close_terms(terms, expected)
    assert learn or terms[2] == 0
    it.close_gradients(gradients.sum(dim=0), expected, slack=20)  # histogram losses, as above


@pytest.mark.parametrize("paper", [True, False])
def test_distil(it: Subject, paper: bool) -> None:
    gradients, lesson = kernels.new_gradients(it.parameters), it.lesson()
    terms = kernels.distill_rays(
        it.kernel_model, gradients, it.step_rays(), lesson, paper, DISTILL_WEIGHTS
    )
    expected = it.distill_terms(lesson, paper)
    close_terms(terms, expected)
    it.close_gradients(gradients.sum(dim=0), expected, slack=20)  # histogram losses, as above


@pytest.mark.parametrize(
    ("count", "rays"),
    [(0, None), (1, None), (63, None), (1000, None), (0, 0), (7, 7), (60, 5), (900, 3)],
)
def test_query(it: Subject, count: int, rays: int | None) -> None:
    points, directions = it.points(count, rays)
    sigma, colours = kernels.query_points(it.kernel_model, points, directions)
    assert sigma.shape == (count,)
    it.close_query(points, directions, sigma, colours)


def test_query_on_the_border_and_outside() -> None:
    it = Subject(SUBJECTS["small"])
    corners = torch.cartesian_prod(*torch.tensor(BOX.box).T)
    points = torch.cat([corners, 5 * corners, corners.roll(1, 1), corners.mean(dim=0)[None]])
    it.close_query(points, None, *kernels.query_points(it.kernel_model, points))


def test_points_that_do_not_fit_are_refused() -> None:
    it = Subject("small")
    points, directions = it.points(10, 3)
    with pytest.raises(RuntimeError, match="each for N / R points"):
        kernels.query_points(it.kernel_model, points, directions)
    with pytest.raises(RuntimeError, match=r"points must be \(N, 3\)"):
        kernels.query_points(it.kernel_model, points[:, :2])


def test_a_query_asks_the_backend() -> None:
    it = Subject("small")
    model = it.model.float()
    points, directions = it.points(40, 4)
    with using("native"):
        ours = model.query_points(points, directions)
    with using("reference"):
        theirs = model.query_points(points, directions)
    for a, b in zip(ours, theirs, strict=True):
        assert a is not None and b is not None
        assert not torch.equal(a, b), "the same body twice"
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
