"""The workflow's stages: what each one's result depends on besides its input files.

A stage's row names the modules of `dac` that its script calls and the settings that it reads. Both
are frozen into a file before it runs (`frozen`): the settings by value, the modules by a digest of
all that they import, so that an edit reruns the stages that can run the edited line, and no others.
What stands in the path of the result (steps, seed, division, K, mode) is left out of the settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from dac.configuration import Configuration, ResolvedScene
from dac.settings import Section
from dac.workflow.inputs import data_set

Scope = Literal["scene", "model", "mode"]
Values = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """A stage of one scene.

    Attributes:
        modules: dotted names; their import closures are hashed.
        settings: of the configuration, a scene of it and, in the scope `mode`, a conquer mode.
        scope: what there is one frozen file for.
    """

    modules: tuple[str, ...]
    settings: Callable[[Configuration, ResolvedScene, str], Values] = lambda c, s, m: {}
    scope: Scope = "scene"


@dataclass(frozen=True)
class ReportStage:
    """A stage that looks at all scenes, or only at records: one frozen file for all.

    Attributes:
        modules: as a stage's; the first is the one that writes or draws.
        settings: of the configuration.
    """

    modules: tuple[str, ...]
    settings: Callable[[Configuration], Values] = lambda c: {}


def _values(section: Section, *left_out: str) -> Values:
    """A section's values, but for those that stand in the path of the result already."""
    return section.model_dump(mode="json", exclude=set(left_out))


STAGES: dict[str, Stage] = {
    "blender": Stage((), lambda c, s, m: {"executable": s.render.executable}),
    "render_views": Stage(
        ("dac.scenes.photos.blend", "dac.scenes.photos.render_in_blender"),
        lambda c, s, m: {
            "render": _values(s.render, "train_views", "test_views", "chunk", "executable")
        },
    ),
    "views": Stage(("dac.scenes.photos.blend",)),
    "frames": Stage(("dac.scenes.photos.video",), lambda c, s, m: {"video": _values(s.video)}),
    "sfm": Stage(
        ("dac.scenes.sfm.reconstruct", "dac.scenes.views"),
        lambda c, s, m: {
            "path": data_set(c, s)["path"],
            "exclude": s.scene.exclude,
            "masks": s.scene.masks,
            "sfm": _values(s.sfm),
        },
    ),
    "import_scene": Stage(
        ("dac.scenes.importer",), lambda c, s, m: {**data_set(c, s), "scene": _values(s.scene)}
    ),
    "read_points": Stage(("dac.scenes.formats.colmap_model", "dac.scenes.points")),
    "triangulate": Stage(("dac.scenes.points",), lambda c, s, m: {"points": _values(s.points)}),
    "covisibility": Stage(("dac.divide.covisibility", "dac.scenes.points")),
    "partition": Stage(("dac.divide.divide",), lambda c, s, m: {"divide": _values(s.divide)}),
    "diagnose": Stage(("dac.divide.diagnostics", "dac.report.figures.partition")),
    "baseline": Stage(
        ("dac.training.baseline",),
        lambda c, s, m: {"model": _values(s.model), "train": _values(s.train, "steps")},
        "model",
    ),
    "expert": Stage(
        ("dac.training.expert",),
        lambda c, s, m: {"model": _values(s.model), "train": _values(s.train)},
        "model",
    ),
    "specialist": Stage(
        ("dac.training.expert",),
        lambda c, s, m: {"model": _values(s.model), "train": _values(s.train, "steps")},
        "model",
    ),
    "merge": Stage(("dac.conquer.merge",), scope="model"),
    "route": Stage(
        ("dac.conquer.route",),
        lambda c, s, m: {"specialists": _values(s.specialists, "trunk", "distill_steps")},
        "model",
    ),
    "distill": Stage(
        ("dac.conquer.distill",),
        lambda c, s, m: {
            "model": _values(s.model),
            "train": _values(s.train, "steps"),
            "distill": _values(s.distill, "steps", *({"paper", "corrected"} - {m})),
        },
        "mode",
    ),
    "finetune": Stage(
        ("dac.training.finetune",),
        lambda c, s, m: {
            "train": _values(s.train, "steps"),
            "distill": _values(s.distill, "steps", "paper", "corrected"),
            "finetune": _values(s.finetune, "steps"),
        },
        "model",
    ),
    "evaluate": Stage(
        ("dac.evaluation.evaluate",), lambda c, s, m: {"evaluate": _values(s.evaluate)}, "model"
    ),
}


def _paper_values(c: Configuration) -> Values:
    return {"paper_values": c.settings.report.paper_values}


def _routed(c: Configuration) -> Values:
    scenes = c.scenes.values()
    return {"routed": {s.name: [s.division, s.K, s.specialists.trunk] for s in scenes}}


REPORT_STAGES: dict[str, ReportStage] = {
    "main_table": ReportStage(("dac.report.tables.main",), _paper_values),
    "ablation_table": ReportStage(("dac.report.tables.ablation",), _paper_values),
    "controls_table": ReportStage(
        ("dac.report.tables.controls",),
        lambda c: {"divisions": {s.name: [s.division, s.K] for s in c.scenes.values()}},
    ),
    "equal_path_table": ReportStage(("dac.report.tables.equal_path",), _routed),
    "equal_path_figure": ReportStage(("dac.report.figures.equal_path",), _routed),
    "convergence_study": ReportStage(("dac.report.figures.convergence_study",)),
    "overlap_figure": ReportStage(("dac.report.figures.overlap",)),
    "controls_figure": ReportStage(("dac.report.figures.controls",)),
    "convergence": ReportStage(("dac.report.figures.convergence",)),
    "losses": ReportStage(("dac.report.figures.losses",)),
    "experts_figure": ReportStage(("dac.report.figures.experts",)),
    "points_figure": ReportStage(("dac.report.figures.points",)),
    "qualitative": ReportStage(
        ("dac.report.figures.qualitative",),
        lambda c: {"report": _values(c.settings.report, "paper_values")},
    ),
}
