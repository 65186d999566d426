"""The environments of `envs/` hold what pyproject.toml asks for, as constraints.txt pins it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from project import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = {Requirement(text).name: Requirement(text) for text in PROJECT["dependencies"]}
ALL = CORE | {
    Requirement(text).name: Requirement(text)
    for extra in ("workflow", "app")
    for text in PROJECT["optional-dependencies"][extra]
}
NOT_IN_JOBS = {"typer"}  # the command line's


def pins(text: str) -> dict[str, str]:
    """Names as pip compares them, and versions."""
    return dict(re.findall(r"^([\w-]+)==([\w.]+)", text.lower().replace("_", "-"), re.MULTILINE))


@pytest.mark.parametrize("file", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda f: f.stem)
def test_an_environment_is_pinned_as_the_project_is(file: Path) -> None:
    dependencies = yaml.safe_load(file.read_text())["dependencies"]
    (listed,) = (each["pip"] for each in dependencies if isinstance(each, dict))
    ours = pins("\n".join(listed))
    assert len(ours) == len(listed), "each has one version"
    constraints = pins((ROOT / "constraints.txt").read_text())
    for name, version in ours.items():
        assert version == constraints[name], name
        assert ALL[name].specifier.contains(version), name
    assert {*CORE} - NOT_IN_JOBS <= {*ours}


def test_every_constraint_is_within_what_is_asked_for() -> None:
    constraints = pins((ROOT / "constraints.txt").read_text())
    for name, requirement in ALL.items():
        assert requirement.specifier.contains(constraints[name]), name
