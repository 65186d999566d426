"""One update of a model: gradients of an objective's terms, and Adam.

Either torch differentiates the terms, or the whole-ray kernels add their gradients and apply Adam,
total variation included; on a GPU these are replayed from a CUDA graph. The optimiser is torch's
Adam in both, whose moments and step counts the kernels use in place, so that its state is saved and
continued as ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Adam

from dac.fields.model import Model
from dac.ops import memory
from dac.ops.rays import KernelModel, adam_step, new_gradients
from dac.training.losses import Terms
from dac.training.objective import Objective, Part, split

TV_TERMS = ("plane_tv", "proposal_tv")  # total variation's, which Adam's kernel adds


class StepResult(NamedTuple):
    """What an update did, as detached tensors.

    Attributes:
        names: of the terms.
        terms: (names,) their values.
        gradient_norm: () of all that was to be updated.
    """

    names: tuple[str, ...]
    terms: Tensor
    gradient_norm: Tensor


Update = Callable[[int, float], StepResult]
"""One update of the model: step, learning rate -> what it did.

Where a gradient is not finite, neither its parameter nor Adam's state of it is touched.
"""


def make_update(objective: Objective[Any], optimizer: Adam, parts: int) -> Update:
    """Updates of the objective's model, each of whose batches is taken in so many parts.

    By the whole-ray kernels where they know model and terms, else by autograd. To be called when
    model and optimiser hold what the run goes on from: loading a state puts other tensors into the
    optimiser.
    """
    batch = split(objective.rays, parts)
    model = kernel_model(objective)
    if model is not None:
        adam = KernelAdam(objective.model, optimizer, objective.weights)
        return kernel_update(objective, model, adam, batch)

    def terms(step: int, part: Part) -> Terms:
        found = objective.terms(objective.draw(step, part))
        if unknown := found.keys() - objective.weights.keys():
            raise ValueError(f"terms without an entry in the objective's weights: {unknown}")
        return found

    return autograd_update(terms, optimizer, batch)


def kernel_model(objective: Objective[Any]) -> KernelModel | None:
    """The objective's model as the kernels take it; None where they lack it, or one of its terms.

    Raises:
        UserError: as of `Model.kernel_model`.
    """
    known = {*objective.kernel_terms, *TV_TERMS}
    if any(weight and name not in known for name, weight in objective.weights.items()):
        return None
    return objective.model.kernel_model()


def autograd_update(
    terms_of: Callable[[int, Part], Terms], optimizer: Adam, parts: Sequence[Part]
) -> Update:
    """Updates that minimise the sum of named terms, differentiated by torch.

    Nothing is updated where a term or the gradient is not finite.

    Args:
        terms_of: step, part of its batch -> terms.
        parts: of every batch.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def update(step: int, rate: float) -> StepResult:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        sums: list[Tensor] = []
        for part in parts:
            terms = terms_of(step, part)
            values = part.share * torch.stack(list(terms.values()))
            values.sum().backward()  # type: ignore[no-untyped-call]
            sums.append(values.detach())
        total = torch.stack(sums).sum(dim=0)
        slopes = [parameter.grad for parameter in parameters if parameter.grad is not None]
        norm = get_total_norm(slopes)
        if torch.isfinite(total).all() and torch.isfinite(norm):
            optimizer.step()
        return StepResult(tuple(terms), total, norm)

    return update


def kernel_update(
    objective: Objective[Any], model: KernelModel, adam: KernelAdam, parts: Sequence[Part]
) -> Update:
    """Updates by the whole-ray kernels, each batch in parts; on a GPU from a CUDA graph."""
    names = [*objective.kernel_terms, *TV_TERMS]
    weights = {name: objective.weights[name] for name in names}
    kept = {learn: _kept(weights, learn) for learn in (True, False)}

    def body(inputs: Sequence[Mapping[str, Tensor]], learn: bool) -> Tensor:
        *batches, to_apply = inputs
        terms = [
            objective.add_gradients(model, adam.gradients, batch, part, learn)
            for batch, part in zip(batches, parts, strict=True)
        ]
        variations, norm = adam.apply(to_apply["rates"], proposals_learn=learn)
        return torch.cat([sum(terms[1:], terms[0]), variations, norm.view(1)])

    run = Captured(body) if adam.gradients.is_cuda else body

    def update(step: int, rate: float) -> StepResult:
        batches = [objective.draw(step, part) for part in parts]
        learn = batches[0].learn
        rates = {"rates": adam.rates(rate, proposals_learn=learn)}
        values = run([*(batch.tensors() for batch in batches), rates], learn)
        # Not before: a step that memory did not suffice for is taken again.
        adam.count(proposals_learn=learn)
        terms = kept[learn]
        return StepResult(tuple(names[i] for i in terms), values[terms], values[-1])

    return update


class KernelAdam:
    """Adam over a model's parameters, from a flat gradient that kernels have added into.

    Args:
        optimizer: over the model's parameters, in their order; its state is used in place, so a new
            `KernelAdam` has to be made after loading one.
        weights: `plane_tv` and `proposal_tv`, total variation's; others are not read.

    Attributes:
        gradients: (copies, length), see `ops.rays`.
    """

    def __init__(self, model: Model, optimizer: Adam, weights: Mapping[str, float]) -> None:
        self._parameters = [parameter.detach() for parameter in model.parameters()]
        self.gradients = new_gradients(self._parameters)
        states = [_state(optimizer, parameter) for parameter in model.parameters()]
        self._first, self._second = (_gather(states, name) for name in ("exp_avg", "exp_avg_sq"))
        self._steps = [state["step"] for state in states]
        self._counts = [int(step) for step in self._steps]
        group = optimizer.param_groups[0]
        self._betas, self._eps = group["betas"], group["eps"]
        names = [name for name, _ in model.named_parameters()]
        self._proposal = [name.startswith("proposal_fields.") for name in names]
        self._tv = [
            weights["proposal_tv" if proposal else "plane_tv"] if parameter.dim() == 4 else 0.0
            for proposal, parameter in zip(self._proposal, self._parameters, strict=True)
        ]
        self._tv_terms = torch.zeros(2, len(names), device=self.gradients.device)
        for i, (proposal, weight) in enumerate(zip(self._proposal, self._tv, strict=True)):
            self._tv_terms[int(proposal), i] = weight

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
            (2,) plane_tv and proposal_tv, weighted; () the norm of the whole gradient. What has a
            gradient that is not finite stays as it is (see `ops.rays.adam_step`).
        """
        variations, norm = adam_step(
            self._parameters,
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
        """What the body gives."""
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
        for kept, given in zip(held, inputs, strict=True):
            for name, value in given.items():
                kept[name].copy_(value)
        graph.replay()
        return values.clone()


def _kept(weights: Mapping[str, float], learn: bool) -> list[int]:
    """Indices of the terms that a step has; without learning, the proposals' own are none."""
    resting = set() if learn else {"interlevel", "proposal_tv"}
    return [i for i, (name, weight) in enumerate(weights.items()) if weight and name not in resting]


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
