"""The tables and figures of the report: what each is called, looks at and is shown as.

Figures of one scene show the first seed; the tables, means over all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import get_args

from dac.configuration import Configuration, ResolvedScene
from dac.runs import Run
from dac.settings import Conquer, Mode, Study
from dac.workflow.layout import GROUPS, POINTS, SCENE_FILES
from dac.workflow.studies import baseline, conquered, experts, record, records

Inputs = dict[str, list[str]]
EVERY_MODE: tuple[str, ...] = get_args(Conquer)
DISTILLED: tuple[str, ...] = get_args(Mode)


@dataclass(frozen=True)
class Table:
    """A study's table, `tables/{study}.*`.

    Attributes:
        stage: that writes it, and the name of its caption.
        shows: its label in the report.
    """

    stage: str
    shows: str


TABLES: dict[Study, Table] = {
    "models": Table("main_table", "models"),
    "main": Table("main_table", "main table"),
    "equal_path": Table("equal_path_table", "equal path"),
    "controls": Table("controls_table", "controls"),
    "partitions": Table("ablation_table", "partitions"),
    "overlap": Table("ablation_table", "overlap"),
    "schedule": Table("ablation_table", "schedule"),
    "division": Table("ablation_table", "division"),
}


@dataclass(frozen=True)
class Figure:
    """A figure, one for each scene and mode that stand in its path.

    Attributes:
        study: in which it is drawn.
        stage: that draws it.
        path: its pattern below `figures/`, without a suffix.
        caption: the name of its caption.
        shows: its label in the report.
        inputs: its named inputs, of the configuration and the scene and mode in its path, if any.
        modes: it is drawn where one of these is configured; of `{mode}` in its path, for each.
        numbers: files for what it shows as numbers, below the results folder.
    """

    study: Study
    stage: str
    path: str
    caption: str
    shows: str
    inputs: Callable[[Configuration, str, str], Inputs]
    modes: tuple[str, ...] = EVERY_MODE
    numbers: dict[str, str] = field(default_factory=dict)

    @property
    def of_one_scene(self) -> bool:
        """Whether there is one for each scene."""
        return "{scene}" in self.path

    @property
    def labels(self) -> dict[str, str]:
        """What the report tells figures apart by; of a scene's, each has a mode."""
        if "{mode}" in self.path:
            return {"shows": self.shows, "mode": "{mode}"}
        return {"shows": self.shows} | ({"mode": "any"} if self.of_one_scene else {})


def _of_study(study: Study) -> Callable[[Configuration, str, str], Inputs]:
    return lambda configuration, name, mode: {"records": records(study, configuration)}


def _rival(scene: ResolvedScene, seed: int, mode: str) -> Run:
    """The baseline that a mode's model is held against: of the same path, or else the 2x one."""
    return baseline(scene, seed, (1 if mode == "routed" else 2) * scene.train.steps)


def _curves(configuration: Configuration, name: str, mode: str) -> Inputs:
    scene, seed = configuration.scene(name), configuration.settings.seeds[0]
    ours = conquered(scene, seed, mode)
    runs = {
        "baseline_1x": (baseline(scene, seed),),
        "baseline_2x": (baseline(scene, seed, 2 * scene.train.steps),),
        "experts": ours.experts(scene.train.steps),
        "trunk": [run for run in ours.builds_on if run.kind == "trunk"],
        "distill": [run for run in ours.builds_on if run.method == "distilled"],
        "finetune": () if mode == "routed" else (ours,),
    }
    curves = {
        phase: [configuration.path(f"{run.path}/curve.json") for run in found]
        for phase, found in runs.items()
        if found
    }
    if mode != "routed":
        return curves
    scored = (baseline(scene, seed), ours)
    return curves | {"scored": [record(configuration, run) for run in scored]}


def _experts(configuration: Configuration, name: str, mode: str) -> Inputs:
    settings, scene = configuration.settings, configuration.scene(name)
    routed, seed = "routed" in settings.modes, settings.seeds[0]
    ours = conquered(scene, seed, "routed") if routed else experts(scene, seed)
    return {
        "experts": [record(configuration, ours)],
        "baseline": [record(configuration, baseline(scene, seed))],
    }


def _on_points(configuration: Configuration, name: str, theirs: Run, ours: Run) -> Inputs:
    return {
        "scene": [configuration.path(file, scene=name) for file in SCENE_FILES],
        "points": [configuration.path(POINTS, scene=name)],
        "baseline": [record(configuration, theirs)],
        "ours": [record(configuration, ours)],
    }


def _points(configuration: Configuration, name: str, mode: str) -> Inputs:
    scene, seed = configuration.scene(name), configuration.settings.seeds[0]
    rival, ours = _rival(scene, seed, mode), conquered(scene, seed, mode)
    return _on_points(configuration, name, rival, ours)


def _points_of_experts(configuration: Configuration, name: str, mode: str) -> Inputs:
    scene, seed = configuration.scene(name), configuration.settings.seeds[0]
    return _on_points(configuration, name, baseline(scene, seed), experts(scene, seed))


def _of_all_scenes(configuration: Configuration, name: str, mode: str) -> Inputs:
    scenes, seed = configuration.scenes.values(), configuration.settings.seeds[0]
    rivals = [_rival(scene, seed, mode) for scene in scenes]
    return {
        "scenes": [configuration.path(SCENE_FILES[0], scene=scene.name) for scene in scenes],
        "baselines": [record(configuration, run) for run in rivals],
        "ours": [record(configuration, conquered(scene, seed, mode)) for scene in scenes],
    }


FIGURES: dict[str, Figure] = {
    "equal_path_figure": Figure(
        "equal_path",
        "equal_path_figure",
        "equal-path",
        "equal_path_figure",
        "equal path",
        _of_study("equal_path"),
    ),
    "convergence_study": Figure(
        "convergence",
        "convergence_study",
        "convergence-study",
        "convergence_study",
        "PSNR over steps",
        _of_study("convergence"),
        numbers={"csv": "tables/convergence.csv"},
    ),
    "overlap_figure": Figure(
        "overlap",
        "overlap_figure",
        "overlap-study",
        "overlap",
        "overlapping sectors",
        _of_study("overlap"),
    ),
    "controls_figure": Figure(
        "controls",
        "controls_figure",
        "controls-study",
        "controls",
        "controls",
        _of_study("controls"),
    ),
    "convergence": Figure(
        "main",
        "convergence",
        "{scene}-convergence-{mode}",
        "convergence",
        "convergence",
        _curves,
    ),
    "losses": Figure(
        "main", "losses", "{scene}-losses-{mode}", "losses", "losses", _curves, modes=DISTILLED
    ),
    "experts_figure": Figure(
        "main",
        "experts_figure",
        "{scene}-experts",
        "experts",
        "experts",
        _experts,
        modes=(*DISTILLED, "routed"),
    ),
    "points_figure": Figure(
        "main", "points_figure", "{scene}-points-{mode}", "points", "PSNR on points", _points
    ),
    "points_experts": Figure(
        "main",
        "points_figure",
        "{scene}-experts-points",
        "points_experts",
        "PSNR of experts on points",
        _points_of_experts,
        modes=DISTILLED,
    ),
    "qualitative": Figure(
        "main", "qualitative", "qualitative-{mode}", "qualitative", "renders", _of_all_scenes
    ),
}


def tables_wanted(configuration: Configuration) -> list[str]:
    """The tables of the configured studies, as CSV; a figure's numbers stand among them."""
    studies = configuration.settings.studies
    return [configuration.path(f"tables/{study}.csv") for study in studies]


def figures_wanted(configuration: Configuration) -> list[str]:
    """The figures of the configured studies, as PNG, and each scene's groups if any."""
    settings, scenes = configuration.settings, configuration.scenes.values()
    found = [
        configuration.path(f"figures/{figure.path}.png", scene=scene.name, mode=mode)
        for figure in FIGURES.values()
        if figure.study in settings.studies
        for scene in scenes
        for mode in settings.modes
        if mode in figure.modes
    ]
    if {"models", "main"} & {*settings.studies} and settings.modes:
        found += [
            configuration.path(
                f"{GROUPS}/partition.png", scene=scene.name, division=scene.division, K=scene.K
            )
            for scene in scenes
        ]
    return list(dict.fromkeys(found))
