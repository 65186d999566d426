"""Updates by the whole-ray kernels: gradients without autograd, and Adam with total variation.

The optimiser is torch's Adam, whose moments and step counts are used in place, so that its state is
saved and continued as ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Adam

from dac.fields.model import Model
from dac.ops import memory
from dac.ops import rays as kernels
from dac.settings import TrainSettings
from dac.training.loop import Step


class KernelAdam:
    """Adam over a model's parameters, from a flat gradient that kernels have added into.

    Args:
        optimizer: over the model's parameters, in their order; its state is used in place, so a new
            `KernelAdam` has to be made after loading one.
        train: total variation's weights.
    """

    def __init__(self, model: Model, optimizer: Adam, train: TrainSettings) -> None:
        self.parameters = [parameter.detach() for parameter in model.parameters()]
        self.gradients = kernels.new_gradients(self.parameters)
        states = [_state(optimizer, parameter) for parameter in model.parameters()]
        self._first, self._second = (_gather(states, name) for name in ("exp_avg", "exp_avg_sq"))
        self._steps = [state["step"] for state in states]
        self._counts = [int(step) for step in self._steps]
        group = optimizer.param_groups[0]
        self._betas, self._eps = group["betas"], group["eps"]
        names = [name for name, _ in model.named_parameters()]
        self._proposal = [name.startswith("proposal_fields.") for name in names]
        planes = [parameter.dim() == 4 for parameter in self.parameters]
        weights = [train.proposal_tv if proposal else train.plane_tv for proposal in self._proposal]
        self._tv = [w if plane else 0.0 for w, plane in zip(weights, planes, strict=True)]
        self._terms = {
            "plane_tv": (train.plane_tv, self._places(planes, proposal=False)),
            "proposal_tv": (train.proposal_tv, self._places(planes, proposal=True)),
        }

    def _places(self, planes: list[bool], *, proposal: bool) -> Tensor:
        """Which entries of the total variations are of this kind; (parameters,) float 0 or 1."""
        chosen = [
            plane and of == proposal for plane, of in zip(planes, self._proposal, strict=True)
        ]
        return torch.tensor(chosen, dtype=torch.float32, device=self.gradients.device)

    def step(self, rate: float, *, proposals_learn: bool) -> dict[str, Tensor]:
        """Update, clear the gradients, and return total variation's terms, weighted.

        Args:
            rate: learning rate.
            proposals_learn: False leaves the proposals and their moments as they are.
        """
        active = [proposals_learn or not proposal for proposal in self._proposal]
        rates = []
        for index, moves in enumerate(active):
            if moves:
                self._counts[index] += 1
            count = max(self._counts[index], 1)
            rates.append(rate / (1 - self._betas[0] ** count))
            rates.append(1 / math.sqrt(1 - self._betas[1] ** count))
        moving = [count for count, moves in zip(self._steps, active, strict=True) if moves]
        torch._foreach_add_(moving, 1)
        variations = kernels.adam_step(
            self.parameters,
            self._first,
            self._second,
            self.gradients,
            self._tv,
            active,
            torch.tensor(rates, device=self.gradients.device).view(-1, 2),
            self._betas,
            self._eps,
        )
        return {
            name: weight * torch.dot(variations, places)
            for name, (weight, places) in self._terms.items()
            if weight and (proposals_learn or name == "plane_tv")
        }


def kernel_step(
    adam: KernelAdam,
    gradients: Callable[[int], tuple[dict[str, Tensor], bool]],
) -> Step:
    """Updates of which `gradients` adds the gradients into `adam.gradients`.

    Args:
        gradients: step -> terms, and whether the proposals learn in it.
    """

    def update(step: int, rate: float) -> tuple[tuple[str, ...], Tensor]:
        terms, learn = gradients(step)
        terms = {**terms, **adam.step(rate, proposals_learn=learn)}
        return tuple(terms), torch.stack(list(terms.values()))

    return update


def _state(optimizer: Adam, parameter: torch.nn.Parameter) -> dict[str, Tensor]:
    """A parameter's moments and count, made as torch's Adam makes them where there are none yet."""
    state: dict[str, Tensor] = optimizer.state[parameter]
    if not state:
        state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    return state


def _gather(states: list[dict[str, Tensor]], name: str) -> list[Tensor]:
    """One kind of moment, side by side in memory from here on."""
    moments = [state[name] for state in states]
    if moments[0].device.type == "cpu":
        moments = memory.gather(moments)
        for state, moment in zip(states, moments, strict=True):
            state[name] = moment
    return moments
