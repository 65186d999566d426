"""How long a configuration's trainings take, from step times that were measured.

Notation: a training makes n steps of t seconds each on some device; the sum of n t over all
trainings is the time on one device, whatever runs side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dac.configuration import Configuration, ResolvedScene
from dac.errors import UserError
from dac.runs import Run
from dac.storage.artifacts import read_json
from dac.workflow.inputs import continued, on_all_views
from dac.workflow.studies import all_trainings


@dataclass(frozen=True)
class Steps:
    """Steps of some trainings: on images, and of distillation, which asks the experts as well.

    Attributes:
        more: what steps on images with several times the rays take beyond others, in steps.
    """

    images: int = 0
    distillation: int = 0
    more: int = 0

    def __add__(self, other: Steps) -> Steps:
        distillation = self.distillation + other.distillation
        return Steps(self.images + other.images, distillation, self.more + other.more)


@dataclass(frozen=True)
class StepTimes:
    """What `python -m bench.step_times` measured of one model and batch on one device.

    Attributes:
        device: that ran, with how many threads.
        model: the model's settings.
        rays: a step, in training and in distillation.
        training, distillation: seconds a step.
    """

    device: str
    model: Mapping[str, Any]
    rays: int
    training: float
    distillation: float

    def hours(self, steps: Steps) -> float:
        """Of so many steps, one after another."""
        images = (steps.images + steps.more) * self.training
        return (images + steps.distillation * self.distillation) / 3600


_ENTRIES = TypeAdapter(list[StepTimes])


def steps_of(run: Run, scene: ResolvedScene, earlier: Sequence[Run] = ()) -> Steps:
    """Steps of one training, without those of a run that it continues."""
    once = scene.train.steps
    steps = run.own_steps(once)
    if run.method == "distilled":
        return Steps(distillation=steps)
    more = (on_all_views(run)["rays"] - 1) * steps
    return Steps(images=steps - sum(one.own_steps(once) for one in earlier), more=more)


def read_step_times(path: Path) -> list[StepTimes]:
    """Read docs/results/step_times.json.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        return _ENTRIES.validate_python(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "(top level)"
        what = f"holds no step times ({where}: {first['msg']})"
        raise UserError(path, what, "measure again: python -m bench.step_times") from None


def planned(configuration: Configuration, step_times: Path) -> str:
    """One line on all trainings of a configuration, finished ones too.

    Raises:
        UserError: the file of step times is damaged.
    """
    trainings = [
        (steps_of(run, scene, continued(configuration, run, scene)), scene)
        for scene in configuration.scenes.values()
        for run in all_trainings(configuration.settings, scene)
    ]
    return summary(trainings, read_step_times(step_times) if step_times.exists() else [])


def summary(trainings: Iterable[tuple[Steps, ResolvedScene]], times: Sequence[StepTimes]) -> str:
    """One line: how many trainings, their steps, and their hours on each measured device.

    Args:
        trainings: steps of each, with its scene.
        times: of any models; a device counts only if it has all of the trainings' models.
    """
    of_model: dict[str, Steps] = {}
    settings: dict[str, ResolvedScene] = {}
    count = 0
    for steps, scene in trainings:
        key = f"{scene.model.model_dump_json()} {scene.train.rays}"
        of_model[key] = of_model.get(key, Steps()) + steps
        settings[key] = scene
        count += 1
    whole = sum(of_model.values(), Steps())
    text = (
        f"{count:,} training{'' if count == 1 else 's'}: {whole.images:,} steps on images, "
        f"{whole.distillation:,} of distillation"
    )
    times_on = [
        f"{_time(total)} on {device}"
        for device in dict.fromkeys(time.device for time in times)
        if (total := _hours(of_model, settings, [t for t in times if t.device == device]))
    ]
    return f"{text}; {', '.join(times_on) or 'no step times were measured for such models'}"


def _time(hours: float) -> str:
    if hours < 1:
        minutes = max(1, round(60 * hours))
        return f"{minutes} minute{'s' if minutes > 1 else ''}"
    return f"{hours:,.0f} hours" if hours >= 100 else f"{hours:.3g} hours"


def _hours(
    of_model: Mapping[str, Steps],
    settings: Mapping[str, ResolvedScene],
    times: Sequence[StepTimes],
) -> float | None:
    total = 0.0
    for key, steps in of_model.items():
        scene = settings[key]
        model = scene.model.model_dump(mode="json", exclude={"name"})
        fitting = [time for time in times if time.model == model and time.rays == scene.train.rays]
        if not fitting:
            return None
        total += fitting[0].hours(steps)
    return total
