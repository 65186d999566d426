"""`dac train`: what it decides and writes, and a whole run as a user sees it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from project import ROOT, TINY

from dac.cli import train as command
from dac.cli.account import Account, stage_of
from dac.cli.driver import Driver
from dac.configuration import Configuration, Settings, merge, parse
from dac.errors import UserError
from dac.storage.project import DEFAULT_CONFIG
from dac.storage.yaml_files import read_yaml

Dac = Callable[..., str]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What would be run, in the place of running it."""
    runs: list[tuple[Any, ...]] = []
    monkeypatch.setattr(command, "_run", lambda *arguments: runs.append(arguments))
    return runs


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of 40 photos, in a working folder that holds nothing else."""
    folder = tmp_path / "My Garden"
    folder.mkdir()
    for i in range(40):
        Image.new("RGB", (24, 20), (i, 2 * i, 99)).save(folder / f"{i:03}.png")
    monkeypatch.chdir(tmp_path)
    return folder


def settings(file: Path) -> Settings:
    return parse(merge(read_yaml(DEFAULT_CONFIG), read_yaml(file)), str(file))


@pytest.mark.parametrize(
    ("options", "modes", "studies", "steps"),
    [
        ([], (), ("models",), 8000),
        (["--plain"], (), ("models",), 8000),
        (["--divide"], ("routed",), ("models",), 4000),
        (["--K", "2"], ("routed",), ("models",), 4000),
        (["--profile", "slurm"], ("routed",), ("models",), 4000),
        (["--study"], ("merged", "routed"), ("main",), 4000),
    ],
)
def test_what_is_made(
    photos: Path,
    dac: Dac,
    started: list[tuple[Any, ...]],
    options: list[str],
    modes: tuple[str, ...],
    studies: tuple[str, ...],
    steps: int,
) -> None:
    said = dac("train", photos, *options)
    written = settings(Path("My_Garden.yaml"))
    assert (written.modes, written.studies, written.train.steps) == (modes, studies, steps)
    assert written.results == "results/My_Garden"
    assert ("K = 2: " in said) == bool(modes)
    assert "\nWrote My_Garden.yaml, which you may change; " in said
    profile = "slurm" if "slurm" in options else None
    assert started == [(Path("My_Garden.yaml"), profile, None, False)]


def test_a_preview_has_results_of_its_own(
    photos: Path, dac: Dac, started: list[tuple[Any, ...]]
) -> None:
    said = dac("train", photos, "--preview", "--name", "garden")
    written = settings(Path("garden_preview.yaml"))
    assert (written.results, written.scenes[0].name) == ("results/garden_preview", "garden")
    assert "Enough for a look, too few to judge by." in said


def test_the_same_command_goes_on(photos: Path, dac: Dac, started: list[tuple[Any, ...]]) -> None:
    dac("train", photos)
    file = Path("My_Garden.yaml")
    assert dac("train", photos) == "As My_Garden.yaml says, which is there already.\n"
    assert dac("train", photos, "--plain") == "As My_Garden.yaml says, which is there already.\n"
    with pytest.raises(
        UserError, match=r"says something else than these options; to go on .*train"
    ):
        dac("train", photos, "--divide")
    mine = file.read_text().replace("steps: 8000", "steps: 9000")
    file.write_text(mine)  # what a user has changed holds
    dac("train", photos)
    dac("train", file)
    assert file.read_text() == mine and {run[0] for run in started} == {file}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["{data}", "--plain", "--study"], "--plain --study: are two things; choose one"),
        (["{data}", "--plain", "--K", "2"], "--plain: is one model on all views, without groups"),
        (["{data}", "--preview", "--size", "paper"], "--preview --size paper: are two sizes"),
        (["{data}", "--profile", "no"], "--profile no: no such profile; gpu, local, slurm, or a"),
        (["{data}", "--out", "/proc/a.yaml"], "/proc/a.yaml: can't be written .*name another file"),
        (["nowhere"], "nowhere: no such file or folder; check the path"),
        (["{data}", "--name", "a b"], "a b: is no name for a scene.*; try a_b"),
        (["{data}", "--name", "logs"], "logs: is no name.*; try logs_scene"),
        (["mine.yaml", "--divide"], "mine.yaml: says itself what to do; change it"),
        (["mine.yaml"], r"mine.yaml: no such file"),
    ],
)
def test_mistakes(
    photos: Path, dac: Dac, monkeypatch: pytest.MonkeyPatch, arguments: list[str], line: str
) -> None:
    with pytest.raises(UserError, match=line):
        dac("train", *(argument.format(data=photos) for argument in arguments))
    assert not list(photos.parent.glob("*.yaml"))


def test_a_folder_that_only_says_that_it_holds_images_gives_no_name(
    photos: Path, dac: Dac, started: list[tuple[Any, ...]]
) -> None:
    photos.rename(photos.parent / "images")
    (photos.parent / "house").mkdir()
    (photos.parent / "images").rename(photos.parent / "house" / "images")
    dac("train", photos.parent / "house" / "images")
    assert Path("house.yaml").is_file()


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("garden/sfm", "cameras"),
        ("garden/scene", "images"),
        ("garden/louvain-3/partition", "groups"),
        ("garden/rendered/train-0-9", "rendering"),
        ("garden/kplanes/seed0/trunk-1000-of-4000", "trunk"),
        ("garden/kplanes/seed0/louvain-3/trunk-1000-of-4000/expert2", "experts"),
        ("garden/kplanes/seed0/louvain-3/trunk-1000-of-4000/routed", "routed model"),
        ("garden/kplanes/seed0/louvain-3/trunk-1000-of-4000/routed/evaluation", "scores"),
        ("garden/kplanes/seed0/baseline-4000", "one model"),
        ("tables/main", "tables, figures"),
    ],
)
def test_stages_have_names(path: str, stage: str) -> None:
    assert stage_of(path) == stage


def write_job(results: Path, name: str, log: str, output: str | None = None) -> None:
    """What a job leaves behind: its log, and what it made."""
    file = results / "logs" / f"{name}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(log)
    if output is not None:
        (results / name).mkdir(parents=True, exist_ok=True)
        (results / name / output).write_text("{}")


def test_a_stage_is_told_once_when_all_of_it_is_done(tmp_path: Path) -> None:
    results = tmp_path / "results"
    data = {**TINY, "results": str(results), "modes": ["routed"], "studies": ["models"]}
    write_job(results, "ball/scene", "", "scene.json")
    # Of another length: its training and scores are not those that are wanted.
    write_job(results, "ball/kplanes/seed0/trunk-1-of-5", "", "model.json")
    said = StringIO()
    time.sleep(0.05)  # a file's time is that of the last tick
    account = Account(Configuration.checked(data), said)
    time.sleep(0.05)
    account.look()
    trunk = "ball/kplanes/seed0/trunk-2-of-6"
    for group in range(2):
        assert "experts" not in said.getvalue()
        expert = f"ball/kplanes/seed0/azimuth-2/trunk-2-of-6/expert{group}"
        write_job(results, expert, "", "model.json")
        account.look()
    write_job(results, trunk, "error: full\n")
    account.look()
    write_job(results, trunk, "", "model.json")
    account.look()
    account.look()
    account.end()
    lines = [line.split(maxsplit=2)[2] for line in said.getvalue().splitlines()]
    assert lines == ["experts         (2)", "trunk", "there already: images"]


def test_how_many_photos_have_cameras_is_told(tmp_path: Path) -> None:
    results = tmp_path / "results"
    said = StringIO()
    account = Account(Configuration.checked({**TINY, "results": str(results)}), said)
    time.sleep(0.05)
    log = "dac.sfm: Structure from motion made one model, of 70 of 72 photos.\n"
    write_job(results, "ball/sfm", log, "images.bin")
    account.look()
    assert said.getvalue().rstrip().endswith("cameras         of 70 of 72 photos")


def test_a_profile_that_is_none(tmp_path: Path) -> None:
    driver = Driver(tmp_path, tmp_path / "a.yaml", "cluster")
    with pytest.raises(
        UserError, match=r"--profile cluster: no such profile; gpu, local, slurm, or"
    ):
        driver.run(lambda: None)


def tiny(folder: Path, write_tiny_scene: Callable[[Path], None], **changes: Any) -> Path:
    """A tiny scene's configuration, and its data."""
    write_tiny_scene(folder / "data" / "ball")
    file = folder / "ball.yaml"
    file.write_text(yaml.safe_dump({**TINY, **changes}))
    return file


def run(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dac", *arguments]
    known = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=known,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("modes", [[], ["routed"], ["merged", "routed"]])
def test_a_run_says_a_line_a_stage(
    tmp_path: Path, write_tiny_scene: Callable[[Path], None], modes: list[str]
) -> None:
    studies = ["main"] if len(modes) > 1 else ["models"]
    tiny(tmp_path, write_tiny_scene, modes=modes, studies=studies)
    said, errors = run(tmp_path, "train", "ball.yaml").communicate()
    assert errors == ""
    stages = re.findall(r"^ +\d+ (?:min \d\d )?s  (\w[\w', ]*?)(?:  .*)?$", said, re.MULTILINE)
    assert {"images", "scores", "tables, figures"} <= {*stages}
    assert ("experts" in stages) == ("trunk" in stages) == bool(modes)
    assert len(stages) == len({*stages}) and len(said.splitlines()) <= 40
    assert re.search(r"^ball: \d+\.\d\d dB on 2 test views: ", said, re.MULTILINE)
    assert (tmp_path / "results" / "report-ball.html").stat().st_size > 10_000
    assert "\n  " in said and " view results\n" in said
    again, errors = run(tmp_path, "train", "ball.yaml").communicate()
    assert errors == "" and "there already: " in again
    assert len(again.splitlines()) < len(said.splitlines())


@pytest.mark.slow
def test_a_failure_ends_with_the_jobs_own_line(
    tmp_path: Path, write_tiny_scene: Callable[[Path], None]
) -> None:
    tiny(tmp_path, write_tiny_scene, modes=[], studies=["models"])
    photo = tmp_path / "data/ball/images/view_03.png"
    photo.write_bytes(photo.read_bytes()[:200])
    process = run(tmp_path, "train", "ball.yaml")
    _, errors = process.communicate()
    assert process.returncode == 1
    assert re.fullmatch(r"error: .*view_03\.png: .*; .* \(results/logs/ball/scene\.log\)\n", errors)


@pytest.mark.slow
def test_ctrl_c_leaves_a_state_that_goes_on(
    tmp_path: Path, write_tiny_scene: Callable[[Path], None]
) -> None:
    """And while one runs, another can't."""
    train = {**TINY["train"], "steps": 20_000, "rays": 64}
    tiny(tmp_path, write_tiny_scene, modes=[], studies=["models"], train=train)
    process = run(tmp_path, "train", "ball.yaml")
    log = tmp_path / "results/logs/ball/kplanes/seed0/baseline-20000.log"
    deadline = time.monotonic() + 120
    while not (log.exists() and '"step"' in log.read_text()):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    other = run(tmp_path, "train", "ball.yaml")
    assert "error: results: another `dac train` works on this folder" in other.communicate()[1]
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.endswith("Stopped. The same command goes on from here.\n")
    states = (tmp_path / "results/state/ball/kplanes/seed0/baseline-20000").glob("step-*")
    assert max(int(state.name.removeprefix("step-")) for state in states) > 0


def test_without_snakemake(tmp_path: Path, write_tiny_scene: Callable[[Path], None]) -> None:
    """One line, with what installs it."""
    tiny(tmp_path, write_tiny_scene)
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nfrom importlib.machinery import PathFinder\n\n"
        "class Without(PathFinder):\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None):\n"
        "        found = PathFinder.find_spec(name, path, target)\n"
        "        return None if name == 'snakemake' else found\n\n"
        "sys.meta_path[:] = [Without if f is PathFinder else f for f in sys.meta_path]\n"
    )
    command = [sys.executable, "-m", "dac", "train", "ball.yaml"]
    known = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run(command, cwd=tmp_path, env=known, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (
        "error: snakemake: is not installed; "
        f"{sys.executable} -m pip install 'dac-nerf[workflow]'\n"
    )


def test_one_model_needs_no_groups(
    photos: Path, dac: Dac, started: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    for photo in sorted(photos.iterdir())[5:]:
        photo.unlink()
    dac("train", photos)
    with pytest.raises(UserError, match="4 training views are too few for 2 groups"):
        dac("train", photos, "--divide", "--name", "other")
    for photo in sorted(photos.iterdir())[2:]:
        photo.unlink()
    with pytest.raises(UserError, match="2 images, of which 1 would be trained on; a model needs"):
        dac("train", photos, "--name", "third")
