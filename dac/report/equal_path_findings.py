"""What the study `equal_path` says, in sentences made by rule from the numbers.

As in `diagnosis.py`, each compares two models, and what follows goes by whether the 95 % interval
of their difference leaves zero out. Where the study lacks one of the two, nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from dac.report.diagnosis import AHEAD, BEHIND, NONE, compared, verdict
from dac.report.equal_path import SAME, EqualPath, Line
from dac.report.methods import model_name
from dac.report.notes import SATURATED
from dac.report.rows import Row, minus, trunk_share
from dac.report.text import one_line


class Follows(NamedTuple):
    """What follows from a comparison, by its verdict."""

    ahead: str
    none: str
    behind: str


OVER_BASELINE = Follows(
    "With as many workers as experts, dividing pays.",
    "With as many workers as experts, no gain from dividing shows.",
    "Even with as many workers as experts, one model on one of them does better.",
)
OVER_BATCH = Follows(
    "Workers that divide the views give more than workers that share every step.",
    "No difference from workers that share every step shows.",
    "Workers that share every step give more.",
)
OVER_WIDE = Follows(
    "It isn't the number of parameters.",
    "No difference from one model of as many parameters shows.",
    "One model of as many parameters does better.",
)
AT_EQUAL_COMPUTE = Follows(
    "Dividing pays with one worker, too.",
    "With one worker, no gain from dividing shows.",
    "With one worker, one model does better.",
)
OVER_FEWER = Follows(
    "More experts give more.",
    "No gain from more experts shows.",
    "More experts give less.",
)
OVER_NO_TRUNK = Follows(
    "The shared trunk helps.",
    "Neither gain nor loss from the shared trunk shows; it saves compute.",
    "The shared trunk costs quality.",
)
OVER_RANDOM = Follows(
    "How the views are divided is what helps.",
    "No gain from how the views are divided shows.",
    "Random groups do better.",
)
OVER_DISTILLED = Follows(
    "Of one set of weights, merging keeps more than distilling.",
    "No difference between merging and distilling shows.",
    "Distilling keeps more than merging.",
)
LEARNING = f"It is still learning (over {SATURATED} dB): the comparison is about speed."
LEARNT = f"It is nearly saturated (at most {SATURATED} dB)."
MERGED = Follows(
    "As one set of weights, the experts are worth their path.",
    "As one set of weights, they show no gain over one model of the same path.",
    "As one set of weights, they lose to one model of the same path.",
)


def sentences(scenes: Sequence[EqualPath]) -> list[str]:
    """The sentences of every scene, in order.

    Raises:
        UserError: two models to compare were scored on different views.
    """
    found = []
    for scene in scenes:
        model = f" ({model_name(scene.scene.model)})" if scene.scene.several_models else ""
        where = one_line(scene.scene.scene + model)
        parts = (_routed(scene), _at_equal_compute(scene), _of_what(scene), _one_model(scene))
        found += [f"{where}: {text}" for text in chain(*parts)]
    return found


def _routed(scene: EqualPath) -> Iterator[str]:
    """Routed models over what else K workers could do in the same wall-clock."""
    ours = [*scene.ours, *_other_groups(scene)]
    for line in ours:
        if line.beside is not None and line.beside.label.steps == line.row.path_steps:
            title = f"{_called(line)} over the baseline of the same path, {_times(line.path)}"
            yield from _answer(title, line.row, line.beside, OVER_BASELINE)
    for line in ours:
        title = f"{_called(line)} over the baseline with {line.label.K} times the rays a step"
        yield from _answer(title, line.row, line.batch, OVER_BATCH)
    for line in scene.ours:
        for wide in scene.of("wide"):
            if (wide.path, wide.label.K) == (line.path, line.label.K):
                title = f"{_called(line)} over one model of {wide.label.K} times the parameters"
                yield from _answer(title, line.row, wide.row, OVER_WIDE)
    for line in _other_groups(scene):
        for fewer in scene.ours:
            if fewer.path == line.path and (line.label.K or 0) > (fewer.label.K or 0):
                title = f"{_called(line)} over K = {fewer.label.K}"
                yield from _answer(title, line.row, fewer.row, OVER_FEWER)


def _at_equal_compute(scene: EqualPath) -> Iterator[str]:
    """Routed models over the baseline of as many steps in all, and how far that has come."""
    for line in scene.ours:
        steps = round(line.compute * line.once)
        equal = scene.baseline(steps)
        title = (
            f"{_called(line)} of path {_times(line.path)} over the baseline of the same compute, "
            f"{_times(line.compute)}"
        )
        said = list(_answer(title, line.row, equal, AT_EQUAL_COMPUTE))
        half = scene.baseline(steps / 2)
        gain = minus(equal, half)
        if said and gain is not None:
            doubled = f"the last doubling of that baseline's steps, from {_times(line.compute / 2)}"
            learnt = LEARNING if gain.mean > SATURATED else LEARNT
            said.append(f"{compared(doubled, gain)} {learnt}")
        yield from said


def _of_what(scene: EqualPath) -> Iterator[str]:
    """Which part of the recipe the gain is due to, at path 1x."""
    for line in scene.ours:
        if abs(line.path - 1) > SAME:
            continue
        label = line.label
        same = [other for other in scene.of("routed", "routed_trunk") if _differs(other, line)]
        for other in same:
            title = f"{_called(line)} over {_trunk(other)}"
            follows = None if other.label.trunk else OVER_NO_TRUNK
            yield from _answer(title, line.row, other.row, follows)
        for other in scene.of("routed_random"):
            if (other.path, other.label.K, other.label.trunk) == (line.path, label.K, label.trunk):
                title = f"{_called(line)} over a random division"
                yield from _answer(title, line.row, other.row, OVER_RANDOM)


def _one_model(scene: EqualPath) -> Iterator[str]:
    """The merged model over the distilled one, and over the baseline of its path."""
    for merged in scene.of("merged"):
        for distilled in scene.of("distilled"):
            ours, theirs = merged.label, distilled.label
            if (ours.division, ours.K) == (theirs.division, theirs.K):
                mode = one_line(str(theirs.mode))
                title = f"the merged model over the distilled and fine-tuned one ({mode} mode)"
                yield from _answer(title, merged.row, distilled.row, OVER_DISTILLED)
        if merged.beside is not None and merged.beside.label.steps == merged.row.path_steps:
            title = f"the merged model over the baseline of the same path, {_times(merged.path)}"
            yield from _answer(title, merged.row, merged.beside, MERGED)


def _other_groups(scene: EqualPath) -> list[Line]:
    """The routed models that are as configured but for K."""
    if not scene.ours:
        return []
    label = scene.ours[0].label
    return [
        line
        for line in scene.of("routed", "routed_trunk")
        if line.label.division == label.division
        and line.label.K != label.K
        and trunk_share(line.label) == trunk_share(label)
    ]


def _differs(other: Line, line: Line) -> bool:
    """Whether two routed models differ in nothing but the trunk."""
    ours, theirs = line.label, other.label
    same = (ours.division, ours.K, ours.horizon) == (theirs.division, theirs.K, theirs.horizon)
    return same and ours.trunk != theirs.trunk


def _called(line: Line) -> str:
    """A routed model."""
    return f"{line.label.K} routed experts ({_trunk(line)})"


def _trunk(line: Line) -> str:
    share = trunk_share(line.label)
    return f"trunk {share:.2g}" if share else "no trunk"


def _times(value: float) -> str:
    return f"{value:.3g}x"


def _answer(
    title: str, ours: Row | None, reference: Row | None, follows: Follows | None
) -> Iterator[str]:
    difference = minus(ours, reference)
    if difference is None:
        return
    said = compared(title, difference)
    if follows is None:
        yield said
        return
    words = {AHEAD: follows.ahead, NONE: follows.none, BEHIND: follows.behind}
    yield f"{said} {words[verdict(difference)]}"
