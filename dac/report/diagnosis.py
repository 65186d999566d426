"""What the controls say of DaC's gain, in sentences made by rule from the numbers.

Every sentence compares two models: the first is `ahead` or `behind` where the 95 % interval of the
difference leaves zero out, and else there is `no difference`. The conclusion follows from that
word alone, but for the baseline's saturation, which goes by the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dac.report.controls import Controls
from dac.report.methods import method_name, model_name
from dac.report.notes import saturation
from dac.report.rows import minus
from dac.report.statistics import Paired
from dac.report.text import interval, one_line, share, signed

AHEAD, BEHIND, NONE = "ahead", "behind", "no difference"


class Question(NamedTuple):
    """A comparison: its title, both rows of `Controls`, and what follows."""

    title: str
    ours: str
    reference: str
    ahead: str
    none: str
    behind: str


# Before the conquer phase.
SPECIALISING = (
    Question(
        *("routed experts, each on its own views, over the 1x baseline", "experts", "once"),
        "Specialising pays at equal steps.",
        "No gain from specialising shows at equal steps.",
        "Experts fall behind even on their own views.",
    ),
)
# From the experts to the fine-tuned model, then DaC against all that could explain its gain.
CONQUERING = (
    Question(
        *("the distilled student over the routed experts", "distilled", "experts"),
        "Distillation adds to what the experts know.",
        "No loss from distillation shows.",
        "Distillation loses some of what the experts know.",
    ),
    Question(
        "the distilled student of K = 1 over its one expert, the 1x baseline",
        *("lone_student", "once"),
        "Distilling one model gains.",
        "No loss shows where one model is distilled.",
        "Distillation loses even where one model of the student's own size is distilled.",
    ),
    Question(
        *("the distilled student over that of K = 1", "distilled", "lone_student"),
        "Several experts teach more than one.",
        "Several experts teach no more than one.",
        "Several experts teach less than one.",
    ),
    Question(
        *("the distilled student over that of a random division", "distilled", "random_student"),
        "Experts of parts of the scene teach more than as many of the whole.",
        "As many experts of the whole scene teach as much.",
        "As many experts of the whole scene teach more: it isn't their number.",
    ),
    Question(
        *("DaC over the distilled student", "dac", "distilled"),
        "Fine-tuning gains.",
        "Neither gain nor loss from fine-tuning shows.",
        "Fine-tuning forgets.",
    ),
    Question(
        *("DaC over the 2x baseline", "dac", "twice"),
        "The paper's comparison holds.",
        "In the paper's comparison no gain shows.",
        "The paper's comparison goes against DaC.",
    ),
    Question(
        *("DaC over DaC of a random division", "dac", "random"),
        "How the views are divided helps.",
        "No gain from how the views are divided shows.",
        "A random division does better.",
    ),
    Question(
        *("DaC over DaC of K = 1", "dac", "single"),
        "Dividing the views helps.",
        "No gain from dividing the views shows.",
        "One expert on all views does better.",
    ),
    Question(
        *("DaC over the baseline whose learning rate starts again", "dac", "restart"),
        "DaC gives more than a second start of the learning rate.",
        "No gain over a second start of the learning rate shows.",
        "A second start of the learning rate does better.",
    ),
    Question(
        *("DaC over the {baseline}, of as many steps in all", "dac", "equal"),
        "DaC gives more than its compute alone.",
        "No gain over the same compute shows.",
        "The same compute spent on the baseline does better.",
    ),
)


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
        general = () if this in told else (_saturation(scene), *_answers(scene, SPECIALISING))
        own = _answers(scene, CONQUERING)
        told.add(this)
        for texts, words in ((general, model), (own, model + mode)):
            found += [f"{one_line(scene.scene + words)}: {text}" for text in texts if text]
    return found


def verdict(difference: Paired) -> str:
    """Ahead, behind or no difference, by whether there is an interval without zero."""
    if not difference.sure:
        return NONE
    return AHEAD if difference.mean > 0 else BEHIND


def compared(title: str, difference: Paired) -> str:
    """A comparison with its numbers."""
    seeds = "one seed" if difference.seeds == 1 else f"{difference.seeds} seeds"
    views = share(difference.won, difference.views)
    return (
        f"{title}: {verdict(difference)}, {signed(difference.mean)} dB "
        f"{interval(difference.low, difference.high)}, ahead on {views} views, {seeds}."
    )


def _saturation(scene: Controls) -> str:
    gain = minus(scene.twice, scene.once)
    if gain is None:
        return ""
    return f"{compared('the 2x baseline over the 1x baseline', gain)} {saturation(gain.mean)}"


def _answers(scene: Controls, questions: Sequence[Question]) -> list[str]:
    equal = "" if scene.equal is None else method_name(scene.equal.label.method, "baseline")
    answers = []
    for question in questions:
        difference = minus(getattr(scene, question.ours), getattr(scene, question.reference))
        if difference is not None:
            follows = {AHEAD: question.ahead, NONE: question.none, BEHIND: question.behind}
            title = question.title.format(baseline=one_line(equal))
            answers.append(f"{compared(title, difference)} {follows[verdict(difference)]}")
    return answers
