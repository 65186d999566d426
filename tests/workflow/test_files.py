"""Files that must agree with each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from dac.workflow.reports import FIGURES, TABLES

ROOT = Path(__file__).resolve().parents[2]


def pins(lines: list[str]) -> dict[str, str]:
    pairs = [line.split("==") for line in lines if "==" in line and not line.startswith("#")]
    return {name.lower(): version for name, version in pairs}


CONSTRAINTS = pins((ROOT / "constraints.txt").read_text().splitlines())


def test_constraints_are_exact_and_name_neither_this_project_nor_a_build() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    for line in lines:
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line), line
    assert "dac-nerf" not in CONSTRAINTS


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda p: p.stem)
def test_environments_pin_what_the_constraints_pin(path: Path) -> None:
    environment = yaml.safe_load(path.read_text())
    packages = pins(environment["dependencies"][-1]["pip"])
    assert packages and packages.items() <= CONSTRAINTS.items()


@pytest.mark.parametrize("folder", ["slurm", "profiles/gpu"])
def test_every_rule_that_trains_gets_a_gpu(folder: str) -> None:
    profile = yaml.safe_load((ROOT / folder / "profile.v9+.yaml").read_text())
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    named = set(re.findall(r"^(?:use rule \w+ as|rule) (\w+)", rules, re.MULTILINE))
    assert set(profile["set-resources"]) | set(profile["set-threads"]) <= named
    training = re.findall(r"^rule (\w+):(?:(?!^rule ).)*?threads: TRAINING", rules, re.M | re.S)
    training += re.findall(r"^use rule \w+ as (\w+)", rules, re.MULTILINE)
    on_gpus = {rule for rule, asked in profile["set-resources"].items() if "gpu" in asked}
    assert set(training) == on_gpus


def test_every_rule_with_a_caption_takes_it_as_an_input() -> None:
    """So a changed word of it makes that rule run again, and no other."""
    rules = "".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    shown = 0
    for text in re.split(r"^(?= *rule\b)", rules, flags=re.MULTILINE)[1:]:
        captions = re.findall(r'caption=f?"captions/(\S+)\.rst"', text)
        taken = re.findall(r"caption=caption_of\((\S+)\),", text)
        assert [name.strip('"') for name in taken] == [name.strip("{}") for name in captions], text
        assert len(captions) == len(re.findall(r"\breport\($", text, re.MULTILINE))
        shown += len(captions)
    assert shown == 3  # the groups, the tables, the figures


def test_every_script_belongs_to_a_rule_and_every_caption_to_a_picture() -> None:
    files = [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]
    rules = "".join(path.read_text() for path in files)
    scripts = {path.name for path in (ROOT / "workflow_scripts").glob("[!_]*.py")}
    assert set(re.findall(r"workflow_scripts/(\w+\.py)", rules)) == scripts
    captions = {path.stem for path in (ROOT / "rules" / "captions").glob("*.rst")}
    shown = {table.stage for table in TABLES.values()}
    shown |= {figure.caption for figure in FIGURES.values()}
    assert shown | set(re.findall(r"captions/(\w+)\.rst", rules + files[0].read_text())) == captions


def test_no_function_in_the_rules_is_longer_than_ten_lines() -> None:
    for path in (ROOT / "rules").glob("*.smk"):
        for function in re.findall(r"^def .*\n(?:(?:    .*)?\n)*", path.read_text(), re.MULTILINE):
            assert len(function.rstrip().splitlines()) <= 10, function
