"""Updates by the whole-ray kernels: gradients without autograd, and Adam with total variation.

The optimiser is torch's Adam, whose moments and step counts are used in place, so that its state is
saved and continued as ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Adam

from dac.fields.model import Model
from dac.ops import memory
from dac.ops import rays as kernels
from dac.settings import TrainSettings
from dac.training.loop import Step, Update
from dac.training.parts import Part


class KernelAdam:
    """Adam over a model's parameters, from a flat gradient that kernels have added into.

    Args:
        optimizer: over the model's parameters, in their order; its state is used in place, so a new
            `KernelAdam` has to be made after loading one.
        train: total variation's weights.

    Attributes:
        parameters: detached, in the model's order.
        gradients: (copies, length), see `ops.rays`.
        tv_weights: total variation's, by the names of the terms that `apply` returns.
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
        self.tv_weights = {"plane_tv": train.plane_tv, "proposal_tv": train.proposal_tv}
        self._tv_terms = torch.zeros(2, len(names), device=self.gradients.device)
        for place, weight in enumerate(self._tv):
            self._tv_terms[int(self._proposal[place]), place] = weight

    def rates(self, rate: float, *, proposals_learn: bool) -> Tensor:
        """What `apply` needs to know of the step that comes next: (parameters, 2).

        Args:
            rate: learning rate.
            proposals_learn: False leaves the proposals and their moments as they are.
        """
        values = []
        for count, moves in zip(self._counts, self._active(proposals_learn), strict=True):
            here = max(count + moves, 1)
            values.append(rate / (1 - self._betas[0] ** here))
            values.append(1 / math.sqrt(1 - self._betas[1] ** here))
        return torch.tensor(values, device=self.gradients.device).view(-1, 2)

    def apply(self, rates: Tensor, *, proposals_learn: bool) -> tuple[Tensor, Tensor]:
        """Update and clear the gradients; `count` then counts the step.

        Returns:
            (2,) the terms of `tv_weights`, weighted; () the norm of the whole gradient. What has a
            gradient that is not finite stays as it is (see `ops.rays.adam_step`).
        """
        variations, norm = kernels.adam_step(
            self.parameters,
            self._first,
            self._second,
            self.gradients,
            self._tv,
            self._active(proposals_learn),
            rates,
            self._betas,
            self._eps,
        )
        return self._tv_terms @ variations, norm

    def count(self, *, proposals_learn: bool) -> None:
        """Count a step that was applied."""
        active = self._active(proposals_learn)
        self._counts = [count + moves for count, moves in zip(self._counts, active, strict=True)]
        moving = [count for count, moves in zip(self._steps, active, strict=True) if moves]
        torch._foreach_add_(moving, 1)

    def _active(self, proposals_learn: bool) -> list[bool]:
        return [proposals_learn or not proposal for proposal in self._proposal]


@dataclass(frozen=True)
class KernelPhase:
    """What a phase gives the kernels.

    Attributes:
        weights: by the name of each term that `gradients` returns; a term of weight 0 is left out.
        learns: step -> whether the proposals learn in it.
        inputs: step, part of its batch -> the tensors that `gradients` reads.
        gradients: adds the gradients of a part's terms, weighted by its share, into the flat
            gradient, and returns (terms,), so weighted. Reads nothing else that changes from step
            to step.
    """

    weights: Mapping[str, float]
    learns: Callable[[int], bool]
    inputs: Callable[[int, Part], dict[str, Tensor]]
    gradients: Callable[[Mapping[str, Tensor], Part, bool], Tensor]


def kernel_step(adam: KernelAdam, phase: KernelPhase, parts: Sequence[Part]) -> Step:
    """Whole updates by the kernels, each batch in parts; on a GPU replayed from a CUDA graph."""
    weights = {**phase.weights, **adam.tv_weights}
    names = list(weights)
    kept = {learn: _kept(weights, learn) for learn in (True, False)}

    def body(inputs: Sequence[Mapping[str, Tensor]], learn: bool) -> Tensor:
        *batch, to_apply = inputs
        values = phase.gradients(batch[0], parts[0], learn)
        for part, more in zip(parts[1:], batch[1:], strict=True):
            values = values + phase.gradients(more, part, learn)
        variations, norm = adam.apply(to_apply["rates"], proposals_learn=learn)
        return torch.cat([values, variations, norm.view(1)])

    run = Captured(body) if adam.gradients.is_cuda else body

    def update(step: int, rate: float) -> Update:
        learn = phase.learns(step)
        inputs = [phase.inputs(step, part) for part in parts]
        inputs.append({"rates": adam.rates(rate, proposals_learn=learn)})
        values = run(inputs, learn)
        # Not before: a step that memory did not suffice for is taken again.
        adam.count(proposals_learn=learn)
        places = kept[learn]
        return Update(tuple(names[place] for place in places), values[places], values[-1])

    return update


class Captured:
    """A step's kernels, replayed from a CUDA graph: one for each `learn`.

    The first step of a kind runs as it is, which also loads its kernels; the second is captured on
    inputs that stay in place, into which every later one's are copied.
    """

    def __init__(self, body: Callable[[Sequence[Mapping[str, Tensor]], bool], Tensor]) -> None:
        self._body = body
        self._seen: set[bool] = set()
        self._graphs: dict[bool, tuple[torch.cuda.CUDAGraph, list[dict[str, Tensor]], Tensor]] = {}

    def __call__(self, inputs: Sequence[Mapping[str, Tensor]], learn: bool) -> Tensor:
        """The step's terms, and its gradient's norm."""
        if learn not in self._seen:
            self._seen.add(learn)
            return self._body(inputs, learn)
        if learn not in self._graphs:
            held = [{name: value.clone() for name, value in part.items()} for part in inputs]
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                values = self._body(held, learn)
            self._graphs[learn] = (graph, held, values)
        graph, held, values = self._graphs[learn]
        for place, part in zip(held, inputs, strict=True):
            for name, value in part.items():
                place[name].copy_(value)
        graph.replay()
        return values.clone()


def _kept(weights: Mapping[str, float], learn: bool) -> list[int]:
    """Places of the terms that a step has; without learning, the proposals' own are none."""
    resting = set() if learn else {"interlevel", "proposal_tv"}
    return [
        place
        for place, (name, weight) in enumerate(weights.items())
        if weight and name not in resting
    ]


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
