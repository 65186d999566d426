"""The studies: which runs each of them looks at.

What studies share is one run, since its path says what it is; a run is trained only if some
configured study looks at it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

from dac.configuration import Configuration, ResolvedScene, Settings
from dac.runs import Kind, Run
from dac.settings import Study


def scored_runs(study: Study, settings: Settings, scene: ResolvedScene) -> list[Run]:
    """The runs of a scene whose records a study looks at, in its order, each once."""
    return list(dict.fromkeys(_STUDIES[study](settings, scene)))


def record(configuration: Configuration, run: Run) -> str:
    """The record of a run's scores."""
    return configuration.path(f"{run.evaluation}/evaluation.json")


def records(study: Study, configuration: Configuration) -> list[str]:
    """The evaluation records that a study looks at, scene by scene."""
    return [
        record(configuration, run)
        for scene in configuration.scenes.values()
        for run in scored_runs(study, configuration.settings, scene)
    ]


def all_scored(settings: Settings, scene: ResolvedScene) -> set[Run]:
    """The runs of a scene that any configured study looks at."""
    return {run for study in settings.studies for run in scored_runs(study, settings, scene)}


def all_trainings(settings: Settings, scene: ResolvedScene) -> set[Run]:
    """The trainings of a scene that the configured studies need."""
    scored = all_scored(settings, scene)
    return set(chain.from_iterable(run.trainings(scene.train.steps) for run in scored))


# --- One run of a scene --------------------------------------------------------------------------


def baseline(scene: ResolvedScene, seed: int, steps: int | None = None) -> Run:
    """One model on all views; by default of as many steps as an expert."""
    return Run(scene.name, scene.model.name, seed, "baseline", steps or scene.train.steps)


def _restart(scene: ResolvedScene, seed: int) -> Run:
    """As many steps as DaC's one model, the learning rate started again halfway."""
    first = baseline(scene, seed)
    return replace(first, kind="restart", earlier=scene.distill.steps, steps=scene.finetune.steps)


def experts(scene: ResolvedScene, seed: int) -> Run:
    """The experts of the scene's own division."""
    names = (scene.name, scene.model.name)
    return Run(*names, seed, "experts", division=scene.division, K=scene.K)


def dac(
    scene: ResolvedScene,
    seed: int,
    mode: str,
    *,
    division: str | None = None,
    K: int | None = None,
    distill_steps: int | None = None,
    finetune_steps: int | None = None,
) -> Run:
    """DaC's model; what isn't given is as the scene has it."""
    return Run(
        scene.name,
        scene.model.name,
        seed,
        "dac",
        finetune_steps or scene.finetune.steps,
        earlier=distill_steps or scene.distill.steps,
        division=division or scene.division,
        K=K or scene.K,
        mode=mode,
    )


def routed(
    scene: ResolvedScene,
    seed: int,
    *,
    division: str | None = None,
    K: int | None = None,
    horizon: int | None = None,
    trunk: float | None = None,
) -> Run:
    """Specialists that stay; what isn't given is as the scene has it.

    Args:
        horizon: steps of a specialist, the trunk's included.
        trunk: share of them that all specialists share.
    """
    steps = horizon or scene.train.steps
    return Run(
        scene.name,
        scene.model.name,
        seed,
        "routed",
        division=division or scene.division,
        K=K or scene.K,
        trunk=scene.trunk_steps(steps, trunk),
        horizon=steps,
    )


def merged(scene: ResolvedScene, seed: int) -> Run:
    """The specialists as one set of weights."""
    run, distilled = routed(scene, seed), scene.specialists.distill_steps
    kind: Kind = "merged_dac" if distilled else "merged"
    return replace(run, kind=kind, earlier=distilled or None, steps=scene.finetune.steps)


def conquered(scene: ResolvedScene, seed: int, mode: str) -> Run:
    """The one model that is made of the experts in a mode."""
    if mode == "routed":
        return routed(scene, seed)
    return merged(scene, seed) if mode == "merged" else dac(scene, seed, mode)


# --- All seeds and modes -------------------------------------------------------------------------


def _baselines(settings: Settings, scene: ResolvedScene, *steps: int) -> list[Run]:
    return [baseline(scene, seed, count) for seed in settings.seeds for count in steps]


def _once_and_twice(settings: Settings, scene: ResolvedScene) -> list[Run]:
    """What every study is measured against."""
    return _baselines(settings, scene, scene.train.steps, 2 * scene.train.steps)


def _dac(settings: Settings, scene: ResolvedScene, **varied: Any) -> list[Run]:
    """Distilled models, with some values other than the scene's."""
    modes = settings.distilled
    return [dac(scene, seed, mode, **varied) for seed in settings.seeds for mode in modes]


def _conquered(settings: Settings, scene: ResolvedScene) -> list[Run]:
    """The models of all modes."""
    return [conquered(scene, seed, mode) for seed in settings.seeds for mode in settings.modes]


def _before_finetuning(runs: list[Run]) -> list[Run]:
    return [distilled for run in runs for distilled in run.builds_on]


def _equal_compute(settings: Settings, scene: ResolvedScene) -> int:
    """All steps that DaC's model builds on."""
    return dac(scene, settings.seeds[0], "corrected").total_steps(scene.train.steps)


# --- The studies ---------------------------------------------------------------------------------


def _models(settings: Settings, scene: ResolvedScene) -> list[Run]:
    """The modes' models alone; with no mode, one on all views."""
    return _conquered(settings, scene) or _baselines(settings, scene, scene.train.steps)


def _main(settings: Settings, scene: ResolvedScene) -> list[Run]:
    return _once_and_twice(settings, scene) + _conquered(settings, scene)


def _equal_path(settings: Settings, scene: ResolvedScene) -> list[Run]:
    """What K workers reach in one worker's wall-clock, over paths, groups and trunks."""
    once, study = scene.train.steps, settings.study
    horizons = [round(path * once) for path in study.paths]
    runs = []
    for seed in settings.seeds:
        first = baseline(scene, seed)
        runs += [baseline(scene, seed, horizon) for horizon in horizons]
        runs += [replace(first, kind=kind, K=scene.K) for kind in ("big_batch", "wide")]
        runs += [routed(scene, seed, horizon=horizon) for horizon in horizons]
        runs += [routed(scene, seed, K=K) for K in study.path_groups]
        runs += [routed(scene, seed, trunk=share) for share in study.trunks]
        runs += [routed(scene, seed, division="random")]
        # The baseline of each routed model's compute.
        computes = [routed(scene, seed, horizon=h).total_steps(once) for h in horizons]
        runs += [baseline(scene, seed, steps) for steps in computes]
    return runs + _conquered(settings, scene)


def _controls(settings: Settings, scene: ResolvedScene) -> list[Run]:
    divided = [
        _dac(settings, scene, division="single", K=1),
        _dac(settings, scene, division="random"),
        _dac(settings, scene),
    ]
    return [
        *_once_and_twice(settings, scene),
        *_baselines(settings, scene, _equal_compute(settings, scene)),
        *(_restart(scene, seed) for seed in settings.seeds),
        *(run for runs in divided for run in _before_finetuning(runs)),
        *(run for runs in divided for run in runs),
        *(experts(scene, seed) for seed in settings.seeds),
    ]


def _partitions(settings: Settings, scene: ResolvedScene) -> list[Run]:
    varied = [_dac(settings, scene, K=K) for K in settings.study.partitions]
    return sum(varied, _once_and_twice(settings, scene))


def _overlap(settings: Settings, scene: ResolvedScene) -> list[Run]:
    overlapping = {"division": "azimuth-overlap", "K": settings.study.overlap_groups}
    return _main(settings, scene) + _dac(settings, scene, **overlapping)


def _schedule(settings: Settings, scene: ResolvedScene) -> list[Run]:
    varied = [
        _dac(settings, scene, distill_steps=distill, finetune_steps=finetune)
        for distill, finetune in settings.study.schedule
    ]
    return sum(varied, _once_and_twice(settings, scene))


def _division(settings: Settings, scene: ResolvedScene) -> list[Run]:
    varied = [
        _dac(settings, scene, division=division, K=1 if division == "single" else scene.K)
        for division in settings.study.divisions
    ]
    return sum(varied, _once_and_twice(settings, scene))


def _convergence(settings: Settings, scene: ResolvedScene) -> list[Run]:
    """Each point is a run of its own; DaC's begin where the distillation ends."""
    steps = settings.study.convergence
    runs = _baselines(settings, scene, *steps, _equal_compute(settings, scene))
    if scene.distill.steps in steps:
        runs += _before_finetuning(_dac(settings, scene))
    after = [count - scene.distill.steps for count in steps if count > scene.distill.steps]
    varied = [_dac(settings, scene, finetune_steps=count) for count in after]
    return sum(varied, runs)


_STUDIES: dict[Study, Callable[[Settings, ResolvedScene], list[Run]]] = {
    "models": _models,
    "main": _main,
    "equal_path": _equal_path,
    "controls": _controls,
    "partitions": _partitions,
    "overlap": _overlap,
    "schedule": _schedule,
    "division": _division,
    "convergence": _convergence,
}
