from __future__ import annotations

import re
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dac.runs import KINDS, VALUES, Kind, Run, pattern, whole_names
from dac.settings import Division, Mode

SEED = "lego/kplanes/seed0"
PATHS: dict[str, tuple[Kind, str]] = {
    f"{SEED}/baseline-600": ("baseline", "baseline, 600 steps"),
    f"{SEED}/baseline-600-restart-1200": ("restart", "baseline, restarted, 1,200 steps"),
    f"{SEED}/baseline-600-rays-4x": ("big_batch", "baseline, 4 x the rays, 600 steps"),
    f"{SEED}/baseline-600-wide-2x": ("wide", "baseline, 2 x the parameters, 600 steps"),
    f"{SEED}/trunk-150-of-600": ("trunk", "trunk, 150 of 600 steps"),
    f"{SEED}/azimuth-4": ("experts", "4 experts, each on its own views (azimuth)"),
    f"{SEED}/azimuth-4/expert10": ("expert", "expert 10 (azimuth, K = 4)"),
    f"{SEED}/louvain-2/paper/distill-5": (
        "distilled",
        "distilled (louvain, K = 2, paper, 5 steps)",
    ),
    f"{SEED}/louvain-8/trunk-0-of-600/expert7": (
        "specialist",
        "expert 7 (louvain, K = 8), 600 steps, 0 of them shared",
    ),
    f"{SEED}/azimuth-4/trunk-150-of-600/mean": (
        "mean",
        "mean of the experts (azimuth, K = 4, 600 steps)",
    ),
    f"{SEED}/azimuth-4/trunk-150-of-600/merged-distill-60": (
        "merged_distilled",
        "mean, distilled (azimuth, K = 4, 600 + 60 steps)",
    ),
    f"{SEED}/azimuth-4/trunk-150-of-600/merged-distill-60-finetune-1200": (
        "merged_dac",
        "DaC, merged (azimuth, K = 4, 600 + 60 + 1,200 steps)",
    ),
    f"{SEED}/azimuth-4/trunk-150-of-600/merged-finetune-1200": (
        "merged",
        "DaC, merged (azimuth, K = 4, 600 + 1,200 steps)",
    ),
    f"{SEED}/azimuth-4/trunk-1500-of-6000/routed": (
        "routed",
        "DaC, routed (azimuth, K = 4, 6,000 steps, 1,500 of them shared)",
    ),
    f"{SEED}/azimuth-overlap-6/corrected/distill-600-finetune-900": (
        "dac",
        "DaC (azimuth-overlap, K = 6, corrected, 900 steps)",
    ),
}


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Any run: the values that its kind's form asks for, and no others."""
    kind = draw(st.sampled_from(list(KINDS)))
    counts, numbers = st.integers(1, 10**9), st.integers(0, 2**31 - 1)
    values = {
        "steps": counts,
        "earlier": counts,
        "division": st.sampled_from(get_args(Division)),
        "K": st.integers(1, 1000),
        "mode": st.sampled_from(get_args(Mode)),
        "group": numbers,
        "trunk": st.just(0),
        "horizon": counts,
    }
    asked = {name: draw(of) for name, of in values.items() if f"{{{name}}}" in KINDS[kind].name}
    if "horizon" in asked:
        asked["trunk"] = draw(st.integers(kind == "trunk", 10**9))
        asked["horizon"] = draw(st.integers(asked["trunk"] + 1, 10**9 + 1))
    scene = draw(st.from_regex(VALUES["scene"], fullmatch=True))
    model = draw(st.from_regex(VALUES["model"], fullmatch=True))
    return Run(scene, model, draw(numbers), kind, **asked)


@given(runs())
def test_a_run_comes_back_from_its_path(run: Run) -> None:
    assert Run.parse(run.path) == run
    assert run.path == f"{run.scene}/{run.model}/seed{run.seed}/{run.name}"
    assert (re.fullmatch(whole_names(), run.name) is not None) == KINDS[run.kind].whole


@given(runs(), st.integers(1, 10**6))
def test_what_a_run_is_made_of_are_runs(run: Run, train_steps: int) -> None:
    if (run.K or 0) > 40:
        return
    for other in run.trainings(train_steps):
        assert Run.parse(other.path) == other
        assert (other.scene, other.model, other.seed) == (run.scene, run.model, run.seed)
        assert KINDS[other.kind].trained


@given(st.text(max_size=60))
@example("")
@example(f"{SEED}/")
@example(f"/{SEED}/baseline-600")
@example(f"{SEED}/baseline-600/")
@example(f"{SEED}/baseline-600\n")
@example(f"{SEED}/baseline-0600")
@example(f"{SEED}/baseline-0")
@example(f"{SEED}/baseline-٦")
@example(f"{SEED}/baseline-" + 9000 * "9")
@example(f"{SEED}/azimuth-4/expert01")
@example(f"{SEED}/azimuth-4/distill-600")
@example(f"{SEED}/azimuth-4/corrected/distill-600-finetune-")
@example(f"{SEED}/sideways-4/expert0")
@example(f"{SEED}/trunk-600-of-600")
@example(f"{SEED}/trunk-0-of-600")
@example(f"{SEED}/azimuth-4/trunk-601-of-600/routed")
@example(f"{SEED}/azimuth-4/mean")
@example("lego/kplanes/seed-1/baseline-600")
@example("le.go/kplanes/seed0/baseline-600")
@example("../kplanes/seed0/baseline-600")
def test_other_paths_are_no_runs(path: str) -> None:
    run = Run.parse(path)
    assert run is None or run.path == path
    assert Run.parse(f"{path} ") is None


@pytest.mark.parametrize("path", PATHS)
def test_what_a_path_says(path: str) -> None:
    run = Run.parse(path)
    assert run is not None
    assert (run.kind, run.title) == PATHS[path]
    assert run.path == path and path == f"{SEED}/{run.name}"


def test_every_kind_has_a_path_here() -> None:
    assert {kind for kind, _ in PATHS.values()} == set(get_args(Kind)) == set(KINDS)
    assert pattern("expert") == "{scene}/{model}/seed{seed}/{division}-{K}/expert{group}"
    assert set(re.findall(r"{(\w+)}", "".join(map(pattern, KINDS)))) == set(VALUES)


def run_at(path: str) -> Run:
    run = Run.parse(f"{SEED}/{path}")
    assert run is not None
    return run


def names(runs: tuple[Run, ...]) -> list[str]:
    return [run.name for run in runs]


def test_what_runs_build_on() -> None:
    dac = run_at("azimuth-2/paper/distill-5-finetune-4")
    assert names(dac.builds_on) == ["azimuth-2/paper/distill-5"]
    assert names(dac.experts(6)) == ["azimuth-2/expert0", "azimuth-2/expert1"]
    assert names(dac.trainings(6)) == [*names(dac.experts(6)), *names(dac.builds_on), dac.name]
    assert dac.total_steps(6) == 2 * 6 + 5 + 4
    (distilled,) = dac.builds_on
    assert distilled.builds_on == () and distilled.experts(6) == dac.experts(6)
    assert distilled.total_steps(6) == 2 * 6 + 5
    assert all(run.experts(6) == run.builds_on == () for run in dac.experts(6))
    restart = run_at("baseline-5-restart-4")
    assert names(restart.trainings(6)) == ["baseline-5", "baseline-5-restart-4"]
    assert restart.total_steps(6) == 9
    assert names(run_at("azimuth-2").trainings(6)) == names(dac.experts(6))


def test_what_specialists_build_on() -> None:
    routed = run_at("azimuth-2/trunk-2-of-8/routed")
    assert names(routed.builds_on) == ["trunk-2-of-8"]
    assert names(routed.experts(6)) == [f"azimuth-2/trunk-2-of-8/expert{k}" for k in (0, 1)]
    assert names(routed.trainings(6)) == names((*routed.experts(6), *routed.builds_on))
    assert routed.total_steps(6) == 2 + 2 * 6
    assert names(routed.experts(6)[1].builds_on) == ["trunk-2-of-8"]
    merged = run_at("azimuth-2/trunk-2-of-8/merged-finetune-3")
    assert names(merged.trainings(6)) == [*names(routed.trainings(6)), merged.name]
    assert names(merged.builds_on) == ["trunk-2-of-8", "azimuth-2/trunk-2-of-8/mean"]
    assert merged.total_steps(6) == 2 + 2 * 6 + 3
    taught = run_at("azimuth-2/trunk-2-of-8/merged-distill-4-finetune-3")
    distilled = "azimuth-2/trunk-2-of-8/merged-distill-4"
    assert names(taught.builds_on) == [*names(merged.builds_on), distilled]
    assert names(taught.trainings(6)) == [*names(routed.trainings(6)), distilled, taught.name]
    assert taught.total_steps(6) == 2 + 2 * 6 + 4 + 3
    without = run_at("azimuth-2/trunk-0-of-8/routed")
    assert without.builds_on == () and without.experts(6)[0].builds_on == ()
    assert without.total_steps(6) == 16
    assert names(run_at("azimuth-2/trunk-0-of-8/merged-finetune-3").builds_on) == [
        "azimuth-2/trunk-0-of-8/mean"
    ]


def test_a_place_has_a_generalist_whose_first_steps_are_the_trunk() -> None:
    routed = run_at("louvain-2/trunk-2-of-8/routed")
    assert names(routed.generalist) == ["baseline-8"]
    assert names(routed.trainings(6)) == names(
        (*routed.experts(6), *routed.generalist, *routed.builds_on)
    )
    assert routed.total_steps(6) == 2 + 3 * 6
    without = run_at("spectral-2/trunk-0-of-8/routed")
    assert without.total_steps(6) == 3 * 8
    for path in ("azimuth-2/trunk-2-of-8/routed", "random-2/trunk-2-of-8/routed"):
        assert run_at(path).generalist == ()
    assert run_at("louvain-2/trunk-2-of-8/merged-finetune-3").generalist == ()


def test_the_expert_of_a_single_group_is_the_baseline() -> None:
    dac = run_at("single-1/corrected/distill-5-finetune-4")
    assert names(dac.experts(6)) == ["baseline-6"]
    assert dac.total_steps(6) == 6 + 5 + 4


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("baseline-6", {"method": "baseline-1x", "steps": 6}),
        ("baseline-12", {"method": "baseline-2x", "steps": 12}),
        ("baseline-21", {"method": "baseline-3.5x", "steps": 21}),
        ("baseline-5-restart-4", {"method": "restart", "steps": 4}),
        ("azimuth-2", {"method": "experts", "steps": 6, "division": "azimuth", "K": 2}),
        ("baseline-6-rays-4x", {"method": "big_batch", "steps": 6, "K": 4}),
        ("trunk-2-of-8", {"method": "trunk", "steps": 2, "trunk": 2, "horizon": 8}),
        (
            "azimuth-2/trunk-2-of-8/routed",
            {"method": "routed", "steps": 8, "division": "azimuth", "K": 2}
            | {"trunk": 2, "horizon": 8},
        ),
        (
            "azimuth-2/trunk-2-of-8/merged-finetune-3",
            {"method": "merged", "steps": 3, "division": "azimuth", "K": 2}
            | {"trunk": 2, "horizon": 8},
        ),
        (
            "azimuth-2/trunk-2-of-8/merged-distill-4-finetune-3",
            {"method": "merged", "steps": 3, "distill_steps": 4, "division": "azimuth", "K": 2}
            | {"trunk": 2, "horizon": 8},
        ),
        (
            "random-3/paper/distill-5",
            {"method": "distilled", "steps": 5, "division": "random", "K": 3, "mode": "paper"},
        ),
        (
            "single-1/corrected/distill-5-finetune-4",
            {"method": "dac", "steps": 4, "distill_steps": 5}
            | {"division": "single", "K": 1, "mode": "corrected"},
        ),
    ],
)
def test_labels(path: str, label: dict[str, object]) -> None:
    assert run_at(path).label(6) == {"model": "kplanes", "seed": 0} | label


def test_scores_lie_beside_their_model() -> None:
    assert run_at("baseline-6").evaluation == f"{SEED}/baseline-6/evaluation"
    assert run_at("azimuth-2").evaluation == f"{SEED}/azimuth-2/experts-evaluation"
