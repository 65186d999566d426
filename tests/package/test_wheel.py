"""The wheel is the whole product: built, installed, and used from an empty folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from project import ROOT

WORKFLOW = (
    *("Snakefile", "rules", "workflow_scripts", "config", "profiles", "envs"),
    *("constraints.txt", "docs/results/step_times.json"),
)
BUILT_FROM = (*WORKFLOW, "dac", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")


def files_below(root: Path, *names: str) -> set[str]:
    """All files that these are or hold."""
    there = [file for name in names for file in (root / name, *(root / name).rglob("*"))]
    found = {file.relative_to(root).as_posix() for file in there if file.is_file()}
    return {file for file in found if "__pycache__" not in file}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has the wheel, and all else from this one."""
    folder = tmp_path_factory.mktemp("wheel")
    # Not in the checkout, which keeps no traces of a build.
    source = folder / "source"
    for name in files_below(ROOT, *BUILT_FROM):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "-w", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    packages = sysconfig.get_path("purelib", vars={"base": str(environment)})
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True)
    # A path that is added here brings no editable install along.
    Path(packages, "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return environment


def run(installed: Path, folder: Path, *arguments: str, status: int = 0) -> str:
    folder.mkdir(exist_ok=True)
    # A build of the kernels that is there already is taken: the wheel's sources are the same.
    known = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(installed / "bin" / "dac"), *arguments],
        cwd=folder,
        env=known | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_it_holds_the_workflow_as_it_is(installed: Path) -> None:
    (project,) = installed.glob("lib/python*/site-packages/dac/project")
    ours = files_below(ROOT, *WORKFLOW)
    assert files_below(project, ".") == ours
    for name in ours:
        assert (project / name).read_bytes() == (ROOT / name).read_bytes(), name


@pytest.mark.slow
def test_a_new_user_trains_and_looks(installed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    said = run(installed, folder, "doctor")
    assert "site-packages/dac/project" in said and "fail" not in said
    scene = ROOT / "scenes" / "pocket-lighthouse"
    said = run(installed, folder, "train", str(scene), "--preview", "--name", "light")
    assert len(said.splitlines()) <= 40 and "light: all of it in one file" in said
    results = folder / "results" / "light_preview"
    assert (results / "report-light.html").is_file()
    still = folder / "light.png"
    run(installed, folder, "render", "still", "--results", str(results), "--out", str(still))
    model = folder / "light.safetensors"
    run(installed, folder, "export", "model", "--results", str(results), "--out", str(model))
    assert still.stat().st_size > 1000 and model.stat().st_size > 100_000
    made = {path.name for path in folder.iterdir()} - {".snakemake"}
    assert made == {"light_preview.yaml", "results", "light.png", "light.safetensors", "light.md"}
