"""Frozen settings: the file that each stage's jobs take as input, and what is written into it.

So a job that waits in a queue keeps the settings that it was planned with, whatever is edited
meanwhile, and only the stages that a change reaches run again.
"""

from __future__ import annotations

from dac.configuration import Configuration, NotConfiguredError
from dac.workflow.stages import REPORT_STAGES, STAGES, Scope, Values

_FILES: dict[Scope, str] = {
    "scene": "{{scene}}/settings/{stage}.json",
    "model": "{{scene}}/{{model}}/settings/{stage}.json",
    "mode": "{{scene}}/{{model}}/settings/{stage}-{{mode}}.json",
}


def frozen_file(stage: str) -> str:
    """The pattern, below the results folder, of the file that holds a stage's settings."""
    if stage in REPORT_STAGES:
        return f"settings/{stage}.json"
    return _FILES[STAGES[stage].scope].format(stage=stage)


def modules_of(stage: str) -> tuple[str, ...]:
    """The modules whose digest is part of the file."""
    return (REPORT_STAGES.get(stage) or STAGES[stage]).modules


def settings_to_freeze(
    stage: str, configuration: Configuration, scene: str = "", model: str = "", mode: str = ""
) -> Values:
    """The settings of a stage.

    Args:
        stage: its name.
        configuration: that is in force.
        scene, model, mode: as the file's path has them; empty where it has none.

    Raises:
        NotConfiguredError: the configuration has no such scene, or another model for it.
    """
    if stage in REPORT_STAGES:
        return REPORT_STAGES[stage].settings(configuration)
    resolved = configuration.scene(scene)
    if model not in ("", resolved.model.name):
        raise NotConfiguredError(
            f"{scene} is configured with model '{resolved.model.name}', not '{model}'"
        )
    return STAGES[stage].settings(configuration, resolved, mode)
