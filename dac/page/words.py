"""The head of the page: what was done, and what came of it, in sentences made by rule."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from dac.page.results import SceneResults, Setup
from dac.report.controls import Controls
from dac.report.diagnosis import AHEAD, BEHIND, verdict
from dac.report.methods import method_name
from dac.report.notes import of_few, saturation
from dac.report.rows import Row, minus
from dac.report.statistics import Paired
from dac.report.text import count, interval, one_line, signed
from dac.settings import GRAPH_DIVISIONS

_DIVISIONS = {
    "azimuth": "by azimuth into {K} groups",
    "azimuth-quantile": "by azimuth into {K} groups of equal size",
    "azimuth-overlap": "by azimuth into {K} groups that overlap",
    "louvain": "into {K} groups, the Louvain communities of their covisibility graph",
    "spectral": "into {K} groups by spectral clustering of their covisibility matrix",
    "random": "into {K} groups at random",
}


@dataclass(frozen=True)
class Difference:
    """A difference as the page draws it.

    Attributes:
        title: what is compared.
        text: the difference with its interval, dB.
        method: whose colour it has.
        sure: whether its interval leaves zero out.
        low, mean, high: where it lies on the axis that all differences share, percent; without an
            interval, all where the mean is.
        zero: where no difference lies, percent.
    """

    title: str
    text: str
    method: str
    sure: bool
    low: float
    mean: float
    high: float
    zero: float


@dataclass(frozen=True)
class Words:
    """What the head says.

    Attributes:
        done: some sentences on what was done.
        verdict: one line for each model that is made of the experts, the headline's first.
        took: what the routed model took; empty where there is none.
        caveats: what keeps the verdict from being read as more than it is.
        differences: behind it.
        choice: how the page came to be about this DaC; empty where there was no choice.
    """

    done: str
    verdict: tuple[str, ...]
    took: str
    caveats: tuple[str, ...]
    differences: tuple[Difference, ...]
    choice: str


def words(results: SceneResults) -> Words:
    """The head's sentences."""
    return Words(
        done=_done(results),
        verdict=tuple(_verdicts(results)),
        took=_took(results),
        caveats=tuple(_caveats(results)),
        differences=tuple(_differences(results)),
        choice=_choice(results),
    )


def _named(results: SceneResults) -> list[tuple[Controls, str]]:
    """The distilled DaC's name in each mode."""
    several = len(results.controls) > 1 or _of_specialists(results)
    return [
        (
            controls,
            one_line(f"DaC ({controls.dac.label.mode})") if several and controls.dac else "DaC",
        )
        for controls in results.controls
    ]


def _of_specialists(results: SceneResults) -> list[tuple[Row, str]]:
    """The models of the specialists that there are, and their names."""
    models = ((results.routed, "DaC (routed)"), (results.merged, "DaC (merged)"))
    return [(row, name) for row, name in models if row is not None]


def _done(results: SceneResults) -> str:
    views = count(len(results.scene.train), "training view")
    run = results.rows[0].runs[0] if results.rows else results.main.rows[0].runs[0]
    scored = count(run.test_views, "test view")
    if len(run.images) < run.test_views:
        scored = f"{len(run.images):,} of {scored}"
    scored = f"the scores are means over {scored}."
    once = results.main.once
    steps = "" if once is None else f" for {once.label.steps:,} steps"
    said = _specialised(results, views)
    if results.setup is not None:
        divided = "" if said else f"{_divided(results.setup, views, steps)} "
        said.append(f"{divided}{_conquered(results.setup, anew=bool(said))}")
    if not said:
        return f"One model was trained on {views}; {scored}"
    return f"{'. '.join(said)}; {scored}"


def _specialised(results: SceneResults, views: str) -> list[str]:
    """How the specialists came about, and what was made of them; nothing where there are none."""
    models = _of_specialists(results)
    if not models:
        return []
    label = models[0][0].label
    how = _DIVISIONS.get(label.division or "", "into {K} groups").format(K=label.K)
    horizon, trunk = label.horizon or 0, label.trunk or 0
    grown = (
        f"an expert was trained on each up to step {horizon:,}, all from a shared trunk of the "
        f"first {trunk:,}"
        if trunk
        else f"an expert was trained on each for {horizon:,} steps"
    )
    said = [f"{views} were divided {how}, and {grown}"]
    if results.routed is not None:
        stays = "All of them stay: a router shows each view by its own, near a border by two"
        if label.division in GRAPH_DIVISIONS:
            stays += ", and gives the baseline of as many steps a share where it helps"
        said.append(stays)
    if results.merged is not None:
        tuned = results.merged.label
        before = tuned.distill_steps
        taught = f"taught by them for {before:,} steps and " if before else ""
        steps = f"{tuned.steps:,} steps"
        said.append(f"Their mean was {taught}fine-tuned, as one set of weights, for {steps}")
    return said


def _divided(setup: Setup, views: str, steps: str) -> str:
    if setup.K == 1:
        return f"One expert was trained on all {views}{steps}."
    how = _DIVISIONS.get(setup.division, "into {K} groups").format(K=setup.K)
    return f"{views} were divided {how}, and an expert was trained on each{steps}."


def _conquered(setup: Setup, *, anew: bool) -> str:
    """How the distilled model came about.

    Args:
        anew: whether its experts are others than those that were told of.
    """
    taught = "experts that began anew" if anew else "it" if setup.K == 1 else "them"
    distilled = f" in {setup.distill_steps:,} steps" if setup.distill_steps else ""
    return (
        f"One model of the original size was distilled from {taught}{distilled} and fine-tuned on "
        f"the images in {setup.steps:,}"
    )


def _verdicts(results: SceneResults) -> Iterator[str]:
    """A line for each model; without any, that there is none."""
    models = _of_specialists(results)
    for row, name in models:
        reference = results.reference(row)
        twice = row.label.method == "merged" and reference is results.main.twice
        yield _verdict(name, row, reference, "twice the steps" if twice else "the same path")
    for controls, name in _named(results):
        if controls.dac is not None:
            yield _verdict(name, controls.dac, controls.twice, "twice the steps")
        elif not models:
            yield from _undivided(results)


def _undivided(results: SceneResults) -> Iterator[str]:
    """What a model of all views has; of other models' stages, nothing."""
    alone = results.main.twice or results.main.once
    if alone is None:
        yield "No whole model was scored yet: this page shows what there is."
    else:
        yield f"One model of all views has {_psnr(alone)} on test views."


def _psnr(row: Row) -> str:
    return f"{float(row.psnr.mean()):.2f} dB"


def _verdict(name: str, ours: Row, reference: Row | None, of: str) -> str:
    """By rule from the difference to a baseline.

    Args:
        name: of ours.
        of: what the baseline is of.
    """
    if reference is None:
        return f"{name} has {_psnr(ours)}; no baseline of {of} was trained to hold it against."
    difference = ours.minus(reference)
    if difference is None:
        return f"{name} and the baseline of {of} share no seed to be compared on."
    said = verdict(difference)
    over = "from one seed" if difference.seeds == 1 else f"over {difference.seeds} seeds"
    if said in (AHEAD, BEHIND):
        low, high = sorted((abs(difference.low), abs(difference.high)))
        size = _unbroken(f"{abs(difference.mean):.2f} dB [{low:.2f}, {high:.2f}]")
        side = "ahead of" if said == AHEAD else "behind"
        return f"{name} is {size} {side} the baseline of {of}, {over}."
    return f"{name} shows no difference from the baseline of {of}: {_size(difference)}, {over}."


def _took(results: SceneResults) -> str:
    """Path, compute and bytes of the routed model, beside the baseline of the same path."""
    routed, reference = results.routed, results.reference(results.routed)
    if routed is None or reference is None:
        return ""
    path, compute = reference.label.steps, int(routed.cost["total_steps"])
    text = (
        f"Both took a path of {path:,} steps, DaC with a worker for each expert; all its trainings "
        f"together took {compute:,}, {compute / path:.3g} times as many."
    )
    if routed.model_bytes is None or reference.model_bytes is None:
        return text
    ours, theirs = (row.model_bytes / 1e6 for row in (routed, reference) if row.model_bytes)
    return f"{text} Its file has {ours:,.2f} MB, the baseline's {theirs:,.2f} MB."


def _size(difference: Paired) -> str:
    return _unbroken(f"{signed(difference.mean)} dB {interval(difference.low, difference.high)}")


def _unbroken(text: str) -> str:
    """What stays on one line."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _caveats(results: SceneResults) -> list[str]:
    main = results.main
    gain = minus(main.twice, main.once)
    rows = (main.once, main.twice, results.routed, results.merged, main.dac)
    compared = [row for row in rows if row is not None]
    caveats = []
    if gain is not None:
        doubled = f"Twice the steps still give the baseline {_size(gain)}."
        caveats.append(f"{doubled} {saturation(gain.mean)}")
    views = (len(run.images) for row in compared for run in row.runs)
    return caveats + of_few((len(row.runs) for row in compared), views)


def _differences(results: SceneResults) -> list[Difference]:
    """Differences on one axis, which holds zero and every interval."""
    main, named = results.main, _named(results)
    pairs: list[tuple[str, Row | None, Row | None]] = [
        ("baseline 2x over baseline 1x", main.twice, main.once),
        *_against_rivals(results),
        ("experts, each on its own views, over baseline 1x", main.experts, main.once),
        *((f"{name} over baseline 2x", each.dac, each.twice) for each, name in named),
    ]
    if main.equal is not None:
        rival = one_line(method_name(main.equal.label.method, "baseline"))
        pairs.append((f"{named[0][1]} over {rival}, of equal compute", main.dac, main.equal))
    drawn = []
    for title, ours, reference in pairs:
        difference = minus(ours, reference)
        if ours is not None and difference is not None:
            drawn.append((f"{title}{_lone(difference, results)}", ours.label.method, difference))
    ends = [end for *_, d in drawn for end in (d.mean, d.low, d.high) if not math.isnan(end)]
    start, width = min([0.0, *ends]), (max([0.0, *ends]) - min([0.0, *ends])) or 1.0

    def percent(value: float, otherwise: float = 0.0) -> float:
        value = otherwise if math.isnan(value) else value
        return round(2 + 96 * (value - start) / width, 2)

    return [
        Difference(
            title=title,
            text=_size(d),
            method=method,
            sure=d.sure,
            low=percent(d.low, d.mean),
            mean=percent(d.mean),
            high=percent(d.high, d.mean),
            zero=percent(0.0),
        )
        for title, method, d in drawn
    ]


def _against_rivals(results: SceneResults) -> Iterator[tuple[str, Row, Row]]:
    """The models of the specialists over their baselines, and over what else K workers could do."""
    for row, name in _of_specialists(results):
        reference = results.reference(row)
        if reference is not None:
            yield f"{name} over {reference.label.method.replace('-', ' ')}", row, reference
    rivals = {
        "big_batch": "the baseline with {K} times the rays",
        "wide": "{K} times the parameters",
    }
    for rival in results.rivals:
        if results.routed is not None and rival.label.method in rivals:
            over = rivals[rival.label.method].format(K=rival.label.K)
            yield f"DaC (routed) over a baseline with {over}", results.routed, rival


def _lone(difference: Paired, results: SceneResults) -> str:
    """Says that a difference is of one seed, where others on the page are of more."""
    seeds = max(len(row.runs) for row in results.rows)
    return " (one seed)" if difference.seeds == 1 < seeds else ""


def _choice(results: SceneResults) -> str:
    said = []
    if results.choices > 1:
        said.append(
            f"The folder holds {results.choices} divisions and schedules of DaC; this page is "
            "about the one with the most runs."
        )
    if results.other_models:
        names = ", ".join(one_line(name) for name in results.other_models)
        said.append(
            f"It is about the model {one_line(results.model)}, which has the most runs; left out: "
            f"{names}."
        )
    return " ".join(said)
