"""Every command of the pages that lead a reader is run somewhere: here, or here is where."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toy
from doc_pages import ROOT, blocks, commands
from typer.main import get_command
from typer.testing import CliRunner

from dac.cli.main import app
from dac.fields.model import build_model, save_model

PAGES = [
    *("README.md", "docs/index.md", "docs/tutorial.md", "docs/extend.md", "docs/api/index.md"),
    *("docs/cli.md", "docs/viewer.md", "docs/export.md", "docs/report.md"),
]

# Command -> the file that runs it, and the words by which it does. What differs are sizes, and that
# a test may ask for the table alone.
RUN_IN = {
    "make demo": (".ci/run", "make demo"),
    'make demo PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"': (
        ".ci/run",
        "make demo",
    ),
    "make lint": (".ci/run", "make lint"),
    "make test": (".ci/run", "make test"),
    "make docs": ("tests/docs/test_site.py", '"mkdocs", "build", "--strict"'),
    "source .venv/bin/activate": ("Makefile", "-m venv .venv"),
    ".venv/bin/python docs/make_settings.py": (
        "tests/docs/test_extend.py",
        "docs/make_settings.py",
    ),
    ".venv/bin/python examples/distil_two_fields.py --steps 300": (
        "tests/examples/test_examples.py",
        '"distil_two_fields.py", "--steps"',
    ),
    ".venv/bin/python examples/render_path.py results --scene pocket_lighthouse --frames 60 "
    "--out frames": ("tests/examples/test_examples.py", '"render_path.py", trained'),
    "snakemake results/my_fox/my_fox/louvain-2/partition.png --cores all "
    "--configfile config/my_fox.yaml": ("tests/docs/test_extend.py", "partition.png"),
    ".venv/bin/snakemake --cores all --configfile config/garden.yaml": (
        "tests/docs/test_extend.py",
        '"--cores", "1", "--configfile"',
    ),
    ".venv/bin/snakemake --profile slurm --configfile config/garden.yaml": (
        "tests/slurm/story.py",
        'page.commands()["First run"]',
    ),
}
# Commands of `dac` that other tests run, with any options: `test_options_are_real` looks at these.
DAC_RUN_IN = {
    "train": ("tests/cli/test_train.py", 'dac("train", '),
    "new": ("tests/cli/test_new.py", 'dac("new", '),
    "doctor": ("tests/cli/test_doctor.py", 'dac("doctor"'),
    "status": ("tests/cli/test_status.py", 'dac("status", results)'),
    "report": ("tests/page/test_page.py", '["dac", "report", str(results)]'),
    "view": ("bench/viewer.py", '"-m", "dac", "view"'),  # which `test_the_viewers_speed` runs
    "--install-completion": ("tests/cli/test_completion.py", "_DAC_COMPLETE=source_bash"),
}
# What is run here, as it stands but for these sizes.
RUN_HERE = ("render", "export", "--help", "new --help")
SMALLER = {
    "dac render video": "--seconds 0.2",
    "dac export cloud": "--resolution 40 --views 6",
    "dac export splats": "--resolution 40 --views 6",
    "dac export mesh": "--resolution 24",
}
RESULTS = {  # folder, scene -> its model
    ("results", "pocket_lighthouse"): "azimuth-4/trunk-150-of-600/routed",
    ("results", "village_square"): "louvain-3/trunk-250-of-1000/routed",
    ("results/my_fox", "my_fox"): "louvain-2/trunk-1000-of-4000/routed",
    ("results/garden", "garden"): "louvain-3/trunk-150-of-600/routed",
    ("results/lego_small", "lego"): "azimuth-4/corrected/distill-15000-finetune-15000",
    ("results/equal_path/lego", "lego"): "azimuth-4/trunk-500-of-2000/routed",
    ("results/bonsai_small", "bonsai"): "louvain-4/corrected/distill-8000-finetune-8000",
}
# The tutorial's walks differ in names and data alone, and one is gone in small.
RUN_IN |= {
    f"snakemake --cores all --configfile config/{scene}.yaml": (
        "tests/docs/test_walk.py",
        'walks()["my_fox"]',
    )
    for scene in ("my_fox", "room", "square", "my_lego")
}
BENCH = "python -m bench.viewer "


def dac_words(command: str) -> str | None:
    """The words after `dac`, or None for another program's command."""
    return command.removeprefix("dac ") if command.startswith("dac ") else None


def starts(words: str, names: tuple[str, ...]) -> bool:
    return any(f"{words} ".startswith(f"{name} ") for name in names)


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_run_somewhere(page: str):
    for command in commands(ROOT / page):
        words = dac_words(command)
        if words is None:
            known = command in RUN_IN or command.startswith(BENCH)
        else:
            known = starts(words, RUN_HERE) or starts(words, tuple(DAC_RUN_IN))
        assert known, f"{page}: where is `{command}` tried?"


def test_the_places_are_there():
    said = {command for page in PAGES for command in commands(ROOT / page)}
    assert set(RUN_IN) <= said
    words = [dac_words(command) or "" for command in said]
    for name in (*DAC_RUN_IN, *RUN_HERE):
        assert any(starts(each, (name,)) for each in words), f"no page has `dac {name}`"
    for file, text in (RUN_IN | DAC_RUN_IN).values():
        assert text in (ROOT / file).read_text(encoding="utf-8"), (file, text)


def test_make_targets_are_there():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for command in commands(ROOT / page):
            if command.startswith("make "):
                assert command.split()[1] in targets, command


def parse(words: list[str]) -> None:
    """Parse what stands after `dac`, and run nothing.

    Raises:
        click.UsageError: there is no such command or option, or a value is of another kind.
    """
    command = get_command(app)
    context = command.context_class(command, info_name="dac")
    while hasattr(command, "resolve_command"):
        _, command, words = command.resolve_command(context, words)
        context = command.context_class(command, info_name=command.name, parent=context)
    command.parse_args(context, list(words))


@pytest.mark.parametrize("page", PAGES)
def test_options_are_real(page: str):
    for command in commands(ROOT / page):
        words = dac_words(command)
        if words and words[0] != "-" and not starts(words, RUN_HERE):
            parse(shlex.split(words))


@pytest.mark.parametrize("words", ["reports", "report --speed 3", "view --port high", "new a"])
def test_options_that_are_not_real_are_found(words: str):
    with pytest.raises(Exception, match=r"No such|valid integer|Missing parameter"):
        parse(words.split())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the results folders that the pages name, of untrained models."""
    scene = toy.scene()
    model = build_model(toy.model_settings(), scene.space, seed=0)
    with torch.no_grad():  # opaque, so that points and surfaces are found
        model.field.density[1].abs_().mul_(100)
    for (folder, name), trained in RESULTS.items():
        scene.save(tmp_path / folder / name / "scene")
        run = tmp_path / folder / name / "kplanes/seed0" / trained
        run.mkdir(parents=True)
        save_model(model, run, {"seed": 0, "steps": 20, "versions": {"dac": "0.1.0"}})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_commands_about_models_run_as_they_stand(page: str, project: Path):
    for text in blocks(ROOT / page, "json"):
        (project / "path.json").write_text(text)
    for command in commands(ROOT / page):
        if not starts(dac_words(command) or "", RUN_HERE):
            continue
        more = [more for name, more in SMALLER.items() if starts(command, (name,))]
        words = shlex.split(" ".join([command.replace("--view 120", "--view 3"), *more]))[1:]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, (command, done.output, done.exception)
        if "--out" in words:
            assert (project / words[words.index("--out") + 1]).stat().st_size > 0


@pytest.mark.slow
def test_the_viewers_speed(project: Path):
    """As the page has it, for a second, in a window that a first picture doesn't fill."""
    pytest.importorskip("viser")
    measured = [c for c in commands(ROOT / "docs/viewer.md") if c.startswith(BENCH)]
    assert measured
    for command in measured:
        words = shlex.split(f"{command} --seconds 1 --width 960 --height 600")[1:]
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, *words], cwd=project, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["scene"] in words and found["window"] == [960, 600]
        assert found["refined"] is not None


def test_the_tutorials_table_is_the_published_one():
    """Its screen shows the numbers of the first page."""
    row = re.compile(r"(KPlanes \(\dx\)|DaC-KPlanes \(\w+\))\W+(\d.*)")

    def numbers(page: str, first: str) -> list[tuple[str, list[str]]]:
        text = (ROOT / page).read_text(encoding="utf-8").split(first, 1)[1]
        found = row.findall(text)[:8]
        return [(name, re.findall(r"[+−]?[\d.,]*\d", rest)) for name, rest in found]

    published = numbers("README.md", "## Two commands")
    assert len(published) == 8
    whole = numbers("docs/tutorial.md", "## 2. Read the table")
    for (name, some), (same, all_) in zip(published, whole, strict=True):
        assert name == same and some[0] == all_[0] and {*some} <= {*all_}


def test_examples_that_pages_name_are_there():
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for name in re.findall(r"examples/\w+\.py", text):
            assert Path(ROOT, name).is_file(), name


def test_files_that_pages_name_are_there():
    """But for those that `docs/extend.md` makes, and what a run writes."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        if page.name == "extend.md":
            continue
        text = page.read_text(encoding="utf-8")
        for name in re.findall(
            r"`((?:dac|tests|bench|rules|workflow_scripts|examples)/[\w/.-]+)`", text
        ):
            assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_the_six_files_to_read_are_short_and_the_same_on_both_pages():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    architecture = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    files = re.findall(r"^\d\. \[`(dac/\S+)`\]\(\1\)", readme, re.MULTILINE)
    assert files == re.findall(r"^\| `(dac/\S+)` \|", architecture, re.MULTILINE)
    assert len(files) == 6
    lines = sum(len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file in files)
    assert 1_150 <= lines < 1_300, "the pages say some 1,200"


def test_the_picture_of_the_rooms_shows_them_all():
    picture = (ROOT / "docs/images/architecture.svg").read_text(encoding="utf-8")
    names = set(re.findall(r'font-weight="600"[^>]*>([^<]+)<', picture))
    shown = {word for name in names for word in re.findall(r"\w+", name)}
    there = {path.stem for path in (ROOT / "dac").iterdir() if not path.name.startswith("_")}
    assert there <= shown, there - shown
