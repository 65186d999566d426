"""The whole configuration: scenes, studies and one section per stage, checked and resolved.

A configuration is YAML (`config/config.yaml`). A scene needs five lines (name, path, format,
division, K) and may override any stage's section for itself under `settings`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from dac.errors import UserError
from dac.settings import (
    Conquer,
    Count,
    DistillSettings,
    DivideSettings,
    Division,
    EvaluateSettings,
    FinetuneSettings,
    Format,
    GroupCount,
    Mode,
    ModelSettings,
    PathText,
    PointsSettings,
    RenderSettings,
    ReportSettings,
    SceneSettings,
    Section,
    Seed,
    SfmSettings,
    SpecialistSettings,
    Study,
    TrainSettings,
    VideoSettings,
    validate,
)


class StudySettings(Section):
    """What the studies vary; each looks at every scene, seed and mode."""

    partitions: tuple[GroupCount, ...] = Field(
        (2, 3, 4, 5), min_length=1, description="`partitions`: numbers of groups (Table 3)"
    )
    overlap_groups: GroupCount = Field(
        6,
        description="`overlap`: sectors, each `divide.overlap_degrees` wide, against the scene's "
        "own division (Fig. 6)",
    )
    schedule: tuple[tuple[Count, Count], ...] = Field(
        ((10_000, 50_000), (20_000, 40_000), (30_000, 30_000), (40_000, 20_000), (50_000, 10_000)),
        min_length=1,
        description="`schedule`: steps of distillation and of fine-tuning (Table 4)",
    )
    divisions: tuple[Division, ...] = Field(
        ("louvain", "spectral", "azimuth", "random", "single"),
        min_length=1,
        description="`division`: each with the scene's K, `single` with one group",
    )
    paths: tuple[Annotated[float, Field(gt=0, le=1000)], ...] = Field(
        (1, 2),
        min_length=1,
        description="`equal_path`: the longest chain of trainings, in units of an expert's steps",
    )
    path_groups: tuple[GroupCount, ...] = Field(
        (2, 4, 8), min_length=1, description="`equal_path`: numbers of specialists, at path 1"
    )
    trunks: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = Field(
        (0, 0.25, 0.5), min_length=1, description="`equal_path`: shares of the trunk, at path 1"
    )
    convergence: tuple[Count, ...] = Field(
        (30_000, 40_000, 50_000, 60_000),
        min_length=1,
        description="`convergence`: steps of the one model, distillation included, at which DaC "
        "and the baseline are compared (Fig. 2)",
    )

    @model_validator(mode="after")
    def _each_once(self) -> StudySettings:
        for key, values in self:
            if isinstance(values, tuple) and len(set(values)) < len(values):
                raise ValueError(f"{key} lists a value twice")
        return self


class SceneEntry(Section):
    """One scene: the five lines that a user writes, and its own overrides."""

    name: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$")] = Field(
        description="letters, digits, underscores; a folder of the results"
    )
    path: PathText = Field(description="the data set, relative to the working folder")
    format: Format = Field(description="how the data set is laid out")
    division: Division = Field(description="how the views are divided")
    K: GroupCount | Literal["auto"] = Field(
        description="number of groups and experts; auto: by the number of training views"
    )
    settings: dict[str, dict[str, Any]] = Field({}, description="overrides by section")


SECTIONS: dict[str, type[Section]] = {
    "render": RenderSettings,
    "video": VideoSettings,
    "sfm": SfmSettings,
    "points": PointsSettings,
    "scene": SceneSettings,
    "divide": DivideSettings,
    "specialists": SpecialistSettings,
    "model": ModelSettings,
    "train": TrainSettings,
    "distill": DistillSettings,
    "finetune": FinetuneSettings,
    "evaluate": EvaluateSettings,
    "report": ReportSettings,
}


class Settings(Section):
    """The whole configuration."""

    results: PathText = Field("results", description="folder that everything is written to")
    seeds: tuple[Seed, ...] = Field((0,), description="every run is repeated with each")
    modes: tuple[Conquer, ...] = Field(
        ("corrected",),
        description="how one model is made of the experts, side by side: distilled as the paper "
        "does (`paper`) or corrected (`corrected`), `merged`, or `routed`, where all of them stay; "
        "none with the study `models` alone: one model on all views",
    )
    studies: tuple[Study, ...] = Field(
        ("main",), description="tables and figures that are made, with the runs that they need"
    )
    scenes: tuple[SceneEntry, ...] = Field(max_length=1000)
    study: StudySettings = StudySettings()
    render: RenderSettings = RenderSettings()
    video: VideoSettings = VideoSettings()
    sfm: SfmSettings = SfmSettings()
    points: PointsSettings = PointsSettings()
    scene: SceneSettings = SceneSettings()
    divide: DivideSettings = DivideSettings()
    specialists: SpecialistSettings = SpecialistSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    distill: DistillSettings = DistillSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    report: ReportSettings = ReportSettings()

    @property
    def distilled(self) -> tuple[Conquer, ...]:
        """The modes that distil, as the paper does."""
        return tuple(mode for mode in self.modes if mode in get_args(Mode))

    @property
    def specialists_stay(self) -> bool:
        """Whether anything asks for specialists, which a trunk is trained for."""
        return "equal_path" in self.studies or self.distilled != self.modes


class ResolvedScene(Section):
    """A scene with every section resolved: the defaults, the configuration, its own overrides."""

    name: str
    path: str
    format: Format
    division: Division
    K: int
    render: RenderSettings
    video: VideoSettings
    sfm: SfmSettings
    points: PointsSettings
    scene: SceneSettings
    divide: DivideSettings
    specialists: SpecialistSettings
    model: ModelSettings
    train: TrainSettings
    distill: DistillSettings
    finetune: FinetuneSettings
    evaluate: EvaluateSettings
    report: ReportSettings

    def trunk_steps(self, horizon: int, share: float | None = None) -> int:
        """Steps of the trunk of specialists that end after `horizon` steps.

        Args:
            share: of the horizon; default the scene's.
        """
        return round((self.specialists.trunk if share is None else share) * horizon)

    @model_validator(mode="after")
    def _enough_candidates(self) -> ResolvedScene:
        # Here and not in the section: the views stand in paths, not in a stage's frozen settings.
        views = max(self.render.train_views, self.render.test_views)
        if self.render.candidates < views:
            raise ValueError(f"render.candidates must be at least {views}, the number of views")
        return self

    @model_validator(mode="after")
    def _schedules_join(self) -> ResolvedScene:
        both = self.distill.steps + self.finetune.steps
        if self.finetune.start == "continued" and self.distill.horizon != both:
            raise ValueError(
                f"finetune.start 'continued' needs distill.horizon = {both} "
                "(distillation + fine-tuning steps)"
            )
        return self


def merge(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """`base` with `override`'s values on top, section by section; neither is changed."""
    merged = copy.deepcopy(base)
    for key, value in override.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def parse(data: dict[str, Any], source: str = "config") -> Settings:
    """Validate a whole configuration, each scene's resolved sections included.

    Raises:
        UserError: names the file and the key at fault; two scenes of one name; no scene.
    """
    settings = validate(Settings, data, source)
    if not settings.scenes:
        raise UserError(f"{source}: scenes", "no scene is listed", "add one (five lines)")
    for key in ("seeds", "modes", "studies"):
        values = getattr(settings, key)
        undivided = key == "modes" and settings.studies == ("models",)
        if (not values and not undivided) or len(set(values)) < len(values):
            raise UserError(f"{source}: {key}", "empty, or one twice", "list each once")
    of_distilled = set(settings.studies) - {"models", "main", "equal_path"}
    if of_distilled and not settings.distilled:
        what = f"no mode distils, but the study '{min(of_distilled)}' looks at distilled models"
        raise UserError(f"{source}: modes", what, "add corrected, or paper")
    names = [entry.name for entry in settings.scenes]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{source}: scenes", f"two scenes are named '{name}'", "rename one")
    for entry in settings.scenes:
        _check_studies(settings, resolve(settings, entry.name, source), source)
    return settings


def _check_studies(settings: Settings, scene: ResolvedScene, source: str) -> None:
    """Refuse what a study varies where a scene's schedules don't allow it."""
    study, horizon = settings.study, scene.distill.horizon
    continued = scene.finetune.start == "continued"
    if "schedule" in settings.studies and continued:
        for pair in study.schedule:
            if sum(pair) != horizon:
                raise UserError(
                    f"{source}: study.schedule",
                    f"{pair[0]} + {pair[1]} steps are not distill.horizon = {horizon}, which "
                    f"finetune.start 'continued' needs (scene {scene.name})",
                    "choose pairs of that sum, or finetune.start: fresh",
                )
    if "convergence" in settings.studies:
        where = f"{source}: study.convergence"
        if max(study.convergence) < scene.distill.steps:
            what = (
                f"ends before the distillation of {scene.name} does ({scene.distill.steps} steps)"
            )
            raise UserError(where, what, "list larger numbers")
        if continued and max(study.convergence) > (horizon or 0):
            what = f"goes beyond distill.horizon = {horizon} of {scene.name}"
            raise UserError(where, what, "list smaller numbers, or choose finetune.start: fresh")


def resolve(settings: Settings, name: str, source: str = "config") -> ResolvedScene:
    """One scene's settings: the configuration's sections with the scene's overrides on top."""
    entry = next(entry for entry in settings.scenes if entry.name == name)
    where = f"{source}: scenes.{name}"
    for section in entry.settings:
        if section not in SECTIONS:
            known = ", ".join(SECTIONS)
            raise UserError(f"{where}.settings.{section}", "unknown section", f"one of {known}")
    data = entry.model_dump(mode="json", exclude={"settings"})
    data["K"] = 1 if entry.K == "auto" else entry.K  # until somebody looks at the data
    for section in SECTIONS:
        base = getattr(settings, section).model_dump(mode="json")
        data[section] = merge(base, entry.settings.get(section, {}))
        validate(SECTIONS[section], data[section], f"{where}.settings.{section}")
    return validate(ResolvedScene, data, where)


class NotConfiguredError(Exception):
    """A path names what the configuration doesn't have."""


@dataclass(frozen=True)
class Configuration:
    """What a workflow was asked for.

    Attributes:
        settings: as they are written.
        scenes: by name, each with all sections resolved.
    """

    settings: Settings
    scenes: Mapping[str, ResolvedScene]

    @classmethod
    def checked(
        cls,
        data: dict[str, Any],
        source: str = "config",
        choose_groups: Callable[[ResolvedScene], int] | None = None,
    ) -> Configuration:
        """Check plain data.

        Args:
            choose_groups: K of a scene that leaves it to the data; None: none may.

        Raises:
            UserError: names the file and the key at fault.
        """
        settings, scenes = parse(data, source), {}
        for entry in settings.scenes:
            scene = resolve(settings, entry.name)
            if entry.K == "auto":
                if choose_groups is None:
                    where = f"{source}: scenes.{entry.name}.K"
                    raise UserError(where, "'auto' needs the data set", "write a number")
                scene = scene.model_copy(update={"K": choose_groups(scene)})
            scenes[entry.name] = scene
        return cls(settings, scenes)

    def path(self, pattern: str, **values: object) -> str:
        """A path in the results folder, from its pattern below it."""
        return f"{self.settings.results}/{pattern.format(**values)}"

    def scene(self, name: str) -> ResolvedScene:
        """The settings of the scene that a path names.

        Raises:
            NotConfiguredError: there is no such scene.
        """
        if name not in self.scenes:
            raise NotConfiguredError(f"no scene '{name}' in the configuration")
        return self.scenes[name]
