"""The losses of Eq. 5 to 7 against values by hand and slow loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dac.conquer.losses import (
    accumulation_loss,
    alpha_loss,
    colour_loss,
    proposal_histogram_loss,
    rendered_colour_loss,
)
from dac.fields.protocol import Histogram

pytestmark = pytest.mark.usefixtures("plain_torch")

F64 = torch.float64


def tensor(values: object) -> Tensor:
    return torch.tensor(values, dtype=F64)


def histogram(s: Tensor, weights: Tensor) -> Histogram:
    return Histogram(s, s, weights, weights)


def test_alpha_loss_by_hand() -> None:
    # (0.1^2 + 0.2^2 + 0 + 0.5^2) / 4
    loss = alpha_loss(tensor([[0.1, 0.2], [1.0, 0.5]]), tensor([[0.2, 0.4], [1.0, 0.0]]))
    assert loss.item() == pytest.approx(0.3 / 4)


def test_colour_loss_by_hand() -> None:
    student = tensor([[[0.0, 0.0, 0.0], [1.0, 0.5, 0.0]]])
    expert = tensor([[[0.3, 0.0, 0.0], [1.0, 0.5, 0.6]]])
    assert colour_loss(student, expert).item() == pytest.approx((0.09 + 0.36) / 6)
    weighted = colour_loss(student, expert, tensor([[0.2, 0.7]]))
    assert weighted.item() == pytest.approx(0.2 * 0.09 / 3 + 0.7 * 0.36 / 3)


def test_weighted_colour_ignores_empty_space() -> None:
    student = torch.rand(5, 4, 3, dtype=F64, requires_grad=True)
    weights = torch.rand(5, 4, dtype=F64)
    weights[:, 1] = 0
    colour_loss(student, torch.rand(5, 4, 3, dtype=F64), weights).backward()
    assert student.grad is not None
    assert student.grad[:, 1].abs().max() == 0 and student.grad[:, 0].abs().min() > 0


def test_histogram_loss_by_hand() -> None:
    # Fine bin [0, 0.5] lies over both coarse bins: bound 0.3 + 0.1; [0.5, 1] over the second only.
    s, mass = tensor([[0.0, 0.5, 1.0]]), tensor([[0.6, 0.1]])
    coarse = histogram(tensor([[0.0, 0.4, 1.0]]), tensor([[0.3, 0.1]]))
    expected = (0.2**2 / (0.6 + 1e-7) + 0.0) / 2
    assert proposal_histogram_loss(s, mass, [coarse]).item() == pytest.approx(expected)
    twice = proposal_histogram_loss(s, mass, [coarse, coarse])
    assert twice.item() == pytest.approx(2 * expected)


@pytest.mark.parametrize("seed", range(5))
def test_histogram_loss_against_loops(seed: int) -> None:
    torch.manual_seed(seed)
    rays, fine, coarse = 3, 7, 5
    s = torch.rand(rays, fine + 1, dtype=F64).sort().values
    w = torch.rand(rays, fine, dtype=F64)
    s_coarse = torch.rand(rays, coarse + 1, dtype=F64).sort().values
    w_coarse = torch.rand(rays, coarse, dtype=F64) * 0.3
    total = 0.0
    for r in range(rays):
        for i in range(fine):
            bound = sum(
                w_coarse[r, j].item()
                for j in range(coarse)
                if s_coarse[r, j] < s[r, i + 1] and s_coarse[r, j + 1] > s[r, i]
            )
            total += max(0.0, w[r, i].item() - bound) ** 2 / (w[r, i].item() + 1e-7)
    loss = proposal_histogram_loss(s, w, [histogram(s_coarse, w_coarse)])
    assert loss.item() == pytest.approx(total / (rays * fine))


def test_alpha_is_no_histogram_where_weights_are() -> None:
    """A proposal that bounds the expert's weights perfectly is punished for the expert's alpha."""
    s = torch.linspace(0, 1, 6, dtype=F64)[None]
    alpha = tensor([[0.0, 0.5, 0.8, 1.0, 0.9]])
    weights = alpha * torch.cumprod(torch.cat([tensor([[1.0]]), 1 - alpha[:, :-1]], 1), 1)
    assert weights.sum().item() == pytest.approx(1.0) and alpha.sum() > 3
    perfect = histogram(s, weights)
    assert proposal_histogram_loss(s, weights, [perfect]).item() == 0
    assert proposal_histogram_loss(s, alpha, [perfect]).item() > 0.1


def test_only_the_proposals_learn_from_the_histogram_loss() -> None:
    s = torch.linspace(0, 1, 5, dtype=F64)[None].requires_grad_()
    mass = tensor([[0.1, 0.4, 0.3, 0.1]]).requires_grad_()
    weights = (mass.detach() * 0.5).requires_grad_()
    proposal_histogram_loss(s, mass, [histogram(s, weights)]).backward()
    assert s.grad is None and mass.grad is None
    assert weights.grad is not None and weights.grad.abs().min() > 0


@pytest.mark.parametrize("seed", range(3))
def test_gradients(seed: int) -> None:
    torch.manual_seed(seed)
    student = torch.rand(2, 3, 3, dtype=F64, requires_grad=True)
    expert, weights = torch.rand(2, 3, 3, dtype=F64), torch.rand(2, 3, dtype=F64)
    assert torch.autograd.gradcheck(lambda c: colour_loss(c, expert, weights), student)
    assert torch.autograd.gradcheck(lambda c: colour_loss(c, expert), student)
    assert torch.autograd.gradcheck(lambda c: alpha_loss(c[..., 0], expert[..., 0]), student)
    assert torch.autograd.gradcheck(lambda c: rendered_colour_loss(c[0], expert[0]), student)
    assert torch.autograd.gradcheck(lambda c: accumulation_loss(c[0, 0], expert[0, 0]), student)
