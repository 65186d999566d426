"""The grammar of runs: a folder's path says what was trained there, and a run says its path.

Below a results folder every run lies at `{scene}/{model}/seed{seed}/`, then as its kind says
(`KINDS`), e.g. `lego/kplanes/seed0/azimuth-4/corrected/distill-600-finetune-600`. The workflow's
patterns are made of the same forms, so a new kind of run is one more entry there.

Notation: a trunk of T of H steps is the first T steps of a training whose schedule spans H. All
views are in it; each specialist goes on from it to step H on the views of its group.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from dac.settings import GRAPH_DIVISIONS, Division, Mode

Kind = Literal[
    "baseline", "restart", "big_batch", "wide", "trunk", "experts", "expert", "specialist",
    "mean", "distilled", "merged_distilled", "dac", "merged", "merged_dac", "routed",
]  # fmt: skip


class Form(NamedTuple):
    """How a kind of run is written.

    Attributes:
        name: its folder below the seed's.
        title: what people call it.
        evaluation: the folder of its scores, below its own.
        whole: whether it is one model of the whole scene.
        goes_on_from: the kind that it begins as; of one with steps they are its `earlier` ones.
        experts: the kind of the experts that it is, or learnt from.
        trained: whether it is a training itself, and not only what trainings make together.
        method: what its record and people call it; None: as the kind.
    """

    name: str
    title: str
    evaluation: str = "evaluation"
    whole: bool = True
    goes_on_from: Kind | None = None
    experts: Kind | None = None
    trained: bool = True
    method: str | None = None


_TRUNK = "trunk-{trunk}-of-{horizon}"
_GROWN = f"{{division}}-{{K}}/{_TRUNK}"

# In the order in which people are shown them. `experts` are all of one division, side by side.
KINDS: dict[Kind, Form] = {
    "baseline": Form("baseline-{steps}", "baseline, {steps:,} steps"),
    "restart": Form(
        "baseline-{earlier}-restart-{steps}",
        "baseline, restarted, {steps:,} steps",
        goes_on_from="baseline",
    ),
    "big_batch": Form("baseline-{steps}-rays-{K}x", "baseline, {K} x the rays, {steps:,} steps"),
    "wide": Form("baseline-{steps}-wide-{K}x", "baseline, {K} x the parameters, {steps:,} steps"),
    "trunk": Form(_TRUNK, "trunk, {trunk:,} of {horizon:,} steps"),
    "experts": Form(
        "{division}-{K}",
        "{K} experts, each on its own views ({division})",
        evaluation="experts-evaluation",
        whole=False,
        experts="expert",
        trained=False,
    ),
    "expert": Form(
        "{division}-{K}/expert{group}", "expert {group} ({division}, K = {K})", whole=False
    ),
    "specialist": Form(
        f"{_GROWN}/expert{{group}}",
        "expert {group} ({division}, K = {K}), {horizon:,} steps, {trunk:,} of them shared",
        whole=False,
        goes_on_from="trunk",
    ),
    "mean": Form(
        f"{_GROWN}/mean",
        "mean of the experts ({division}, K = {K}, {horizon:,} steps)",
        goes_on_from="trunk",
        experts="specialist",
        trained=False,
    ),
    "distilled": Form(
        "{division}-{K}/{mode}/distill-{steps}",
        "distilled ({division}, K = {K}, {mode}, {steps:,} steps)",
        experts="expert",
    ),
    "merged_distilled": Form(
        f"{_GROWN}/merged-distill-{{steps}}",
        "mean, distilled ({division}, K = {K}, {horizon:,} + {steps:,} steps)",
        goes_on_from="mean",
        experts="specialist",
        method="distilled",
    ),
    "dac": Form(
        "{division}-{K}/{mode}/distill-{earlier}-finetune-{steps}",
        "DaC ({division}, K = {K}, {mode}, {steps:,} steps)",
        goes_on_from="distilled",
        experts="expert",
    ),
    "merged": Form(
        f"{_GROWN}/merged-finetune-{{steps}}",
        "DaC, merged ({division}, K = {K}, {horizon:,} + {steps:,} steps)",
        goes_on_from="mean",
        experts="specialist",
    ),
    "merged_dac": Form(
        f"{_GROWN}/merged-distill-{{earlier}}-finetune-{{steps}}",
        "DaC, merged ({division}, K = {K}, {horizon:,} + {earlier:,} + {steps:,} steps)",
        goes_on_from="merged_distilled",
        experts="specialist",
        method="merged",
    ),
    "routed": Form(
        f"{_GROWN}/routed",
        "DaC, routed ({division}, K = {K}, {horizon:,} steps, {trunk:,} of them shared)",
        goes_on_from="trunk",
        experts="specialist",
        trained=False,
    ),
}

# A regular expression for each value that stands in a path. Numbers have one spelling, so that a
# path has one run and a run one path.
_FROM_0, _FROM_1 = "(?:0|[1-9][0-9]{0,9})", "[1-9][0-9]{0,9}"
VALUES = {
    "scene": "[A-Za-z0-9][A-Za-z0-9_]*",
    "model": "[a-z0-9][a-z0-9-]*",
    "seed": _FROM_0,
    "division": "|".join(get_args(Division)),
    "K": _FROM_1,
    "group": _FROM_0,
    "mode": "|".join(get_args(Mode)),
    "earlier": _FROM_1,
    "steps": _FROM_1,
    "trunk": _FROM_0,
    "horizon": _FROM_1,
}
_NUMBERS = ("seed", "K", "group", "earlier", "steps", "trunk", "horizon")


def pattern(kind: Kind) -> str:
    """The path of runs of a kind, their values in braces."""
    return f"{{scene}}/{{model}}/seed{{seed}}/{KINDS[kind].name}"


def whole_names() -> str:
    """A regular expression for the names of runs that are one model of the whole scene."""
    values = {value: f"(?:{form})" for value, form in VALUES.items()}
    return "|".join(form.name.format(**values) for form in KINDS.values() if form.whole)


@dataclass(frozen=True)
class Run:
    """One training, or all experts of a division.

    Attributes:
        scene, model: names, e.g. `lego` and `kplanes`.
        seed: of its training.
        kind: what it is; a `distilled` model was not fine-tuned yet, a `dac` one was.
        steps: of its last phase; None for experts, whose path doesn't say it.
        earlier: steps of the phase that it goes on from; None if there is none.
        division: of the experts that it is, or learnt from; None for a baseline.
        K: how many experts; for a control, as many times a baseline's rays or parameters.
        mode: of the conquer phase; else None.
        group: of one expert, from 0; else None.
        trunk: steps that specialists share, 0 if none; None where there are no specialists.
        horizon: steps of a specialist from the trunk's first to its own last.
    """

    scene: str
    model: str
    seed: int
    kind: Kind
    steps: int | None = None
    earlier: int | None = None
    division: str | None = None
    K: int | None = None
    mode: str | None = None
    group: int | None = None
    trunk: int | None = None
    horizon: int | None = None

    @staticmethod
    def parse(path: str) -> Run | None:
        """The run at a path below the results folder; None if that is no run's."""
        for kind, form in _PATHS.items():
            if match := form.fullmatch(path):
                values: dict[str, Any] = match.groupdict()
                numbers = {key: int(values[key]) for key in _NUMBERS if key in values}
                run = Run(kind=kind, **values | numbers)
                return run if run._ends_after_its_trunk else None
        return None

    @property
    def _ends_after_its_trunk(self) -> bool:
        """Whether the path can be a run's: a trunk is a part, and has a step if it is trained."""
        least = 1 if self.kind == "trunk" else 0
        return self.trunk is None or least <= self.trunk < (self.horizon or 0)

    @property
    def name(self) -> str:
        """Its path below the seed's folder, e.g. `azimuth-4/expert2`."""
        return KINDS[self.kind].name.format(**vars(self))

    @property
    def path(self) -> str:
        """Its folder, below the results folder."""
        return pattern(self.kind).format(**vars(self))

    @property
    def evaluation(self) -> str:
        """The folder of its scores, below the results folder."""
        return f"{self.path}/{KINDS[self.kind].evaluation}"

    @property
    def title(self) -> str:
        """What people call it."""
        return KINDS[self.kind].title.format(**vars(self))

    @property
    def method(self) -> str:
        """What its record and people call it, but for a baseline's length."""
        return KINDS[self.kind].method or self.kind

    @property
    def builds_on(self) -> tuple[Run, ...]:
        """The runs that this one goes on from, one after the other; none for most."""
        kind = KINDS[self.kind].goes_on_from
        if kind is None or (kind == "trunk" and self.trunk == 0):
            return ()
        last = self._of(kind, steps=self.earlier)
        return (*last.builds_on, last)

    def experts(self, train_steps: int) -> tuple[Run, ...]:
        """The experts that it is, or learnt from, trained side by side.

        Args:
            train_steps: of an expert of the paper's; the one of a single group is the baseline of
                as many.
        """
        kind = KINDS[self.kind].experts
        if kind is None or self.K is None:
            return ()
        if self.division == "single":
            return (self._of("baseline", steps=self.horizon or train_steps),)
        return tuple(self._of(kind, group=group) for group in range(self.K))

    def _of(self, kind: Kind, **values: int | None) -> Run:
        """The run of another kind that has these values, and this one's where its path has any."""
        asked = pattern(kind)
        given = (vars(self) | values).items()
        return Run(kind=kind, **{name: value for name, value in given if f"{{{name}}}" in asked})

    @property
    def generalist(self) -> tuple[Run, ...]:
        """The baseline that a place's routed model holds beside its experts; none for others.

        It is as long as an expert, and its first steps are their trunk. An object's sectors need
        none: every camera around it is near training views that show the same side.
        """
        if self.kind != "routed" or self.division not in GRAPH_DIVISIONS:
            return ()
        return (self._of("baseline", steps=self.horizon),)

    def trainings(self, train_steps: int) -> tuple[Run, ...]:
        """All that is trained for it, itself last."""
        runs = (*self.experts(train_steps), *self.generalist, *self.builds_on, self)
        return tuple(run for run in runs if KINDS[run.kind].trained)

    def own_steps(self, train_steps: int) -> int:
        """Steps of its own training, without those that it goes on from.

        Args:
            train_steps: as of `experts`.
        """
        if not KINDS[self.kind].trained:
            return 0
        if self.kind == "trunk":
            return self.trunk or 0
        if self.kind == "specialist":
            return (self.horizon or 0) - (self.trunk or 0)
        return self.steps or train_steps

    def total_steps(self, train_steps: int) -> int:
        """Steps of all that is trained for it."""
        twice = (self.trunk or 0) if self.generalist else 0  # the trunk is in the generalist's
        return sum(run.own_steps(train_steps) for run in self.trainings(train_steps)) - twice

    def label(self, train_steps: int) -> dict[str, Any]:
        """How the record of its evaluation calls it (`dac.evaluation.records.Label`)."""
        steps = self.steps or (self.trunk if self.kind == "trunk" else self.horizon) or train_steps
        method = f"baseline-{steps / train_steps:g}x" if self.kind == "baseline" else self.method
        label = {"model": self.model, "seed": self.seed, "method": method, "steps": steps}
        if self.kind in ("dac", "merged_dac"):
            label["distill_steps"] = self.earlier
        names = ("division", "K", "mode", "trunk", "horizon")
        more = {name: getattr(self, name) for name in names}
        return label | {key: value for key, value in more.items() if value is not None}


def _path_of(kind: Kind) -> re.Pattern[str]:
    return re.compile(
        pattern(kind).format(**{value: f"(?P<{value}>{form})" for value, form in VALUES.items()})
    )


_PATHS = {kind: _path_of(kind) for kind in KINDS}
