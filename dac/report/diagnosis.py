"""What the controls say of DaC's gain, in sentences made by rule from the numbers.

Every sentence compares two models: the first is `ahead` or `behind` where the 95 % interval of the
difference leaves zero out, and else there is `no difference`. The conclusion follows from that
word alone, but for the baseline's saturation, which goes by the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dac.report.controls import Controls
from dac.report.methods import method_name, model_name
from dac.report.notes import saturation
from dac.report.rows import Row
from dac.report.statistics import Paired
from dac.report.text import interval, one_line, share, signed

AHEAD, BEHIND, NONE = "ahead", "behind", "no difference"


@dataclass(frozen=True)
class _Question:
    """A comparison.

    Attributes:
        title: what is compared.
        ours, reference: the rows, where they exist.
        ahead, none, behind: what follows.
    """

    title: str
    ours: Row | None
    reference: Row | None
    ahead: str
    none: str
    behind: str


def sentences(scenes: Sequence[Controls]) -> list[str]:
    """The sentences of every scene, in order; without those whose records aren't there.

    Args:
        scenes: of each scene its modes one after the other; what no mode changes is said once.

    Raises:
        UserError: two models to compare were scored on different views.
    """
    found = []
    models = {(scene.scene, scene.model) for scene in scenes}
    told: set[tuple[str, str]] = set()
    for scene in scenes:
        this = (scene.scene, scene.model)
        several = len([name for name, _ in models if name == scene.scene]) > 1
        model = f" ({model_name(scene.model)})" if several else ""
        modes = [other.mode for other in scenes if (other.scene, other.model) == this]
        mode = f", {scene.mode} mode" if len(modes) > 1 else ""
        general = () if this in told else (_saturation(scene), *_answers(_specialising(scene)))
        own = _answers([*_conquering(scene), *_rivals(scene)])
        told.add(this)
        for texts, words in ((general, model), (own, model + mode)):
            found += [f"{one_line(scene.scene + words)}: {text}" for text in texts if text]
    return found


def verdict(difference: Paired) -> str:
    """Ahead, behind or no difference, by whether there is an interval without zero."""
    if not difference.sure:
        return NONE
    return AHEAD if difference.mean > 0 else BEHIND


def _compared(title: str, difference: Paired) -> str:
    """A comparison with its numbers."""
    seeds = "one seed" if difference.seeds == 1 else f"{difference.seeds} seeds"
    views = share(difference.won, difference.views)
    return (
        f"{title}: {verdict(difference)}, {signed(difference.mean)} dB "
        f"{interval(difference.low, difference.high)}, ahead on {views} views, {seeds}."
    )


def _saturation(scene: Controls) -> str:
    if scene.once is None or scene.twice is None:
        return ""
    gain = scene.twice.minus(scene.once)
    if gain is None:
        return ""
    compared = _compared("the 2x baseline over the 1x baseline", gain)
    return f"{compared} {saturation(gain.mean)}"


def _answers(questions: Sequence[_Question]) -> list[str]:
    answers = []
    for question in questions:
        if question.ours is None or question.reference is None:
            continue
        difference = question.ours.minus(question.reference)
        if difference is not None:
            conclusions = {AHEAD: question.ahead, NONE: question.none, BEHIND: question.behind}
            conclusion = conclusions[verdict(difference)]
            answers.append(f"{_compared(question.title, difference)} {conclusion}")
    return answers


def _specialising(scene: Controls) -> list[_Question]:
    """Before the conquer phase."""
    return [
        _Question(
            "routed experts, each on its own views, over the 1x baseline",
            *(scene.experts, scene.once),
            "Specialising pays at equal steps.",
            "No gain from specialising shows at equal steps.",
            "Experts fall behind even on their own views.",
        ),
    ]


def _conquering(scene: Controls) -> list[_Question]:
    """From the experts to the fine-tuned model."""
    return [
        _Question(
            "the distilled student over the routed experts",
            *(scene.distilled, scene.experts),
            "Distillation adds to what the experts know.",
            "No loss from distillation shows.",
            "Distillation loses some of what the experts know.",
        ),
        _Question(
            "the distilled student of K = 1 over its one expert, the 1x baseline",
            *(scene.lone_student, scene.once),
            "Distilling one model gains.",
            "No loss shows where one model is distilled.",
            "Distillation loses even where one model of the student's own size is distilled.",
        ),
        _Question(
            "the distilled student over that of K = 1",
            *(scene.distilled, scene.lone_student),
            "Several experts teach more than one.",
            "Several experts teach no more than one.",
            "Several experts teach less than one.",
        ),
        _Question(
            "the distilled student over that of a random division",
            *(scene.distilled, scene.random_student),
            "Experts of parts of the scene teach more than as many of the whole.",
            "As many experts of the whole scene teach as much.",
            "As many experts of the whole scene teach more: it isn't their number.",
        ),
        _Question(
            "DaC over the distilled student",
            *(scene.dac, scene.distilled),
            "Fine-tuning gains.",
            "Neither gain nor loss from fine-tuning shows.",
            "Fine-tuning forgets.",
        ),
    ]


def _rivals(scene: Controls) -> list[_Question]:
    """DaC against all that could explain its gain."""
    equal = scene.equal
    length = "" if equal is None else method_name(equal.label.method, "baseline")
    return [
        _Question(
            "DaC over the 2x baseline",
            *(scene.dac, scene.twice),
            "The paper's comparison holds.",
            "In the paper's comparison no gain shows.",
            "The paper's comparison goes against DaC.",
        ),
        _Question(
            "DaC over DaC of a random division",
            *(scene.dac, scene.random),
            "How the views are divided helps.",
            "No gain from how the views are divided shows.",
            "A random division does better.",
        ),
        _Question(
            "DaC over DaC of K = 1",
            *(scene.dac, scene.single),
            "Dividing the views helps.",
            "No gain from dividing the views shows.",
            "One expert on all views does better.",
        ),
        _Question(
            "DaC over the baseline whose learning rate starts again",
            *(scene.dac, scene.restart),
            "DaC gives more than a second start of the learning rate.",
            "No gain over a second start of the learning rate shows.",
            "A second start of the learning rate does better.",
        ),
        _Question(
            f"DaC over the {one_line(length)}, of as many steps in all",
            *(scene.dac, equal),
            "DaC gives more than its compute alone.",
            "No gain over the same compute shows.",
            "The same compute spent on the baseline does better.",
        ),
    ]
