"""Every configuration in `config/`, alone and as its own first lines put it on top of others."""

from __future__ import annotations

import re

import pytest
import yaml
from project import ROOT

from dac.configuration import Configuration, merge
from dac.runs import KINDS, Run
from dac.workflow.frozen import frozen_file, settings_to_freeze
from dac.workflow.reports import FIGURES, TABLES, figures_wanted, tables_wanted
from dac.workflow.stages import REPORT_STAGES, STAGES
from dac.workflow.studies import all_scored, all_trainings, records

CONFIG = ROOT / "config"
COMMAND = re.compile(r"^#\s+snakemake .*--configfile (.+)$", re.MULTILINE)
COMMANDS = sorted(
    {
        command
        for path in CONFIG.rglob("*.yaml")
        for command in COMMAND.findall(path.read_text())
        if "garden" not in command  # a user's own
    }
)


def configured(*files: str) -> Configuration:
    data = yaml.safe_load((CONFIG / "config.yaml").read_text())
    for file in files:
        data = merge(data, yaml.safe_load((ROOT / file).read_text()))
    return Configuration.checked(data, " + ".join(files))


def test_every_configuration_is_in_a_command() -> None:
    named = {file for command in COMMANDS for file in command.split()}
    there = {path.relative_to(ROOT).as_posix() for path in CONFIG.rglob("*.yaml")}
    assert there - named == {
        "config/config.yaml",
        *(f"config/sizes/{size}.yaml" for size in ("preview", "small")),
    }
    assert named <= there


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_run_comes_back_from_its_path(command: str) -> None:
    configuration = configured(*command.split())
    for scene in configuration.scenes.values():
        scored = all_scored(configuration.settings, scene)
        trained = all_trainings(configuration.settings, scene)
        runs = scored | trained
        assert {run.path: run for run in runs}.keys() == {run.path for run in runs}
        assert len({run.path for run in runs}) == len(runs)
        for run in runs:
            assert Run.parse(run.path) == run
            assert (run.scene, run.model) == (scene.name, scene.model.name)
        assert {run for run in scored if KINDS[run.kind].trained} <= trained
        for run in trained:
            assert set(run.trainings(scene.train.steps)) <= trained


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_everything_that_is_wanted_can_be_made(command: str) -> None:
    """Each table and figure has its inputs, and each stage its settings."""
    configuration = configured(*command.split())
    settings = configuration.settings
    tables, figures = tables_wanted(configuration), figures_wanted(configuration)
    assert len(tables) == len(settings.studies)
    assert len(set(figures)) == len(figures)
    for study in settings.studies:
        assert records(study, configuration)
        assert study in TABLES or any("csv" in f.numbers for f in FIGURES.values())
    for stage in REPORT_STAGES:
        assert frozen_file(stage) == f"settings/{stage}.json"
        settings_to_freeze(stage, configuration)
    for scene in configuration.scenes.values():
        for stage in STAGES:
            frozen = settings_to_freeze(
                stage, configuration, scene.name, scene.model.name, settings.modes[0]
            )
            assert "steps" not in frozen.get("distill", {})
        for figure in FIGURES.values():
            for mode in settings.modes:
                files = figure.inputs(configuration, scene.name, mode)
                assert all(files.values()) and figure.path.format(scene="a", mode="b")
