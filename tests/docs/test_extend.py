"""What docs/extend.md shows, done to a copy of the project: it has to work as it stands there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import project
import pytest
import yaml
from doc_pages import ROOT, Edit, edits
from project import Project

from dac.scenes.formats.colmap import read_colmap

PAGE = ROOT / "docs" / "extend.md"

# The new field and the new reader, held against what they must give. Run in the copy.
CHECK = """
import sys
from pathlib import Path

import numpy as np
import torch

from dac.divide.height import bands
from dac.fields.tensor import TensorField
from dac.scenes.formats.scannet import read_scannet
from dac.settings import ModelSettings

assert bands(np.array([3.0, 1.0, 2.0, 5.0, 1.0]), 2).tolist() == [1, 0, 0, 1, 0]

settings = ModelSettings(decoder="tensor", resolution=5, scales=(1,), channels=2, hidden=4)
field = TensorField(settings).double()
ramp = torch.linspace(-1, 1, 5, dtype=torch.float64)
with torch.no_grad():
    # Plane ab holds the coordinate b, its line the coordinate across: y z + z y + z x.
    field.planes[0].copy_(ramp[:, None, None].expand(3, 5, 5, 2))
    field.lines[0].copy_(ramp[:, None, None].expand(3, 5, 1, 2))
x, y, z = points = torch.rand(3, 7, dtype=torch.float64) * 2 - 1
features = field.features(points.T)
torch.testing.assert_close(features, (y * z + z * y + z * x)[:, None].expand(7, 2))

views = read_scannet(Path(sys.argv[1]))
known = np.load(sys.argv[2])
np.testing.assert_allclose(views.poses, known["poses"], atol=1e-9)
np.testing.assert_allclose(views.intrinsics, known["intrinsics"])
"""


def write_scannet(colmap: Path, folder: Path) -> None:
    """The ball again, as ScanNet's export would have it; beside it what was written."""
    views = read_colmap(colmap)
    for name in ("color", "pose", "intrinsic"):
        (folder / name).mkdir(parents=True)
    for name, pose in zip(views.names, views.poses, strict=True):
        shutil.copy(colmap / "images" / name, folder / "color" / name)
        np.savetxt(folder / "pose" / Path(name).with_suffix(".txt"), [*pose, [0, 0, 0, 1]])
    fx, fy, cx, cy = views.intrinsics[0]
    lens = [[fx, 0, cx, 0], [0, fy, cy, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    np.savetxt(folder / "intrinsic" / "intrinsic_color.txt", lens)
    np.savez(folder.with_suffix(".npz"), poses=views.poses, intrinsics=views.intrinsics)


@pytest.fixture(scope="module")
def extended(
    write_tiny_scene: Callable[[Path], None], tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """A copy of the project with the page's edits, and the scene in the page's format."""
    copy = project.new_project(tmp_path_factory.mktemp("extended") / "dac", write_tiny_scene)
    for edit in edits(PAGE):
        edit.apply(copy.folder)
    write_scannet(copy.folder / "data" / "ball", copy.folder / "data" / "scan")
    scene = {"name": "garden", "path": "data/scan", "format": "scannet", "division": "height"}
    overlay = {
        "scenes": [{**scene, "K": 2}],
        "model": {"decoder": "tensor", "name": "tensorf"},
    }
    (copy.folder / "config" / "garden.yaml").write_text(yaml.safe_dump(overlay))
    return copy


def in_copy(copy: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=copy.folder,
        env={"PYTHONPATH": str(copy.folder), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_the_page_has_edits_of_four_kinds():
    new = [edit.file for edit in edits(PAGE) if edit.new]
    parts = ["dac/divide/height.py", "dac/scenes/formats/scannet.py", "dac/fields/tensor.py"]
    assert new == [*parts, "dac/divide/coverage.py", "workflow_scripts/coverage.py"]


def test_a_stage_takes_four_places():
    text = PAGE.read_text(encoding="utf-8")
    section = text[text.index("## A stage") : text.index("## Then")]
    assert len(re.findall(r"^`[\w./]+`(?:, a new file)?:$", section, re.MULTILINE)) == 4


def test_an_edit_that_fits_nowhere_is_refused(tmp_path: Path):
    (tmp_path / "a.py").write_text("one\ntwo\ntwo\n")
    Edit("a.py", False, "-one\n+1\n two\n@@\n-1\n+one\n").apply(tmp_path)
    assert (tmp_path / "a.py").read_text() == "one\ntwo\ntwo\n"
    for hunk in ("-three\n", "-two\n"):
        with pytest.raises(ValueError, match=r"a\.py holds [02] times"):
            Edit("a.py", False, hunk).apply(tmp_path)


@pytest.mark.slow
def test_the_parts_give_what_they_must(extended: Project):
    data = extended.folder / "data"
    (extended.folder / "check.py").write_text(CHECK)
    done = in_copy(extended, "check.py", str(data / "scan"), str(data / "scan.npz"))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_stage_is_planned_made_and_made_again(extended: Project):
    """By its own rule, and after an edit of its own module alone."""
    overlay = ("--configfile", "config/garden.yaml")
    target = "results/garden/coverage/coverage.json"
    planned = extended.planned(target, *overlay)
    assert planned["coverage"] == planned["freeze_coverage"] == planned["triangulate"] == 1
    assert not {"partition", "expert", "covisibility"} & set(planned)
    done = extended.snakemake("--cores", "1", target, *overlay)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads((extended.folder / target).read_text())
    assert 2 <= found["mean"] <= found["most"] <= 16
    frozen = json.loads((extended.folder / "results/garden/settings/coverage.json").read_text())
    assert frozen["modules"] == ["dac.divide.coverage"] and frozen["settings"] == {}
    assert extended.planned(target, *overlay) == {}
    with extended.edited("dac/divide/coverage.py", "views.max()", "views.max() + 0"):
        assert extended.planned(target, *overlay) == {"freeze_coverage": 1, "coverage": 1}
    assert extended.planned(target, *overlay) == {}


@pytest.mark.slow
def test_the_code_is_as_the_linter_wants_it(extended: Project):
    shutil.copy(ROOT / "pyproject.toml", extended.folder)
    for check in (["check"], ["format", "--check"]):
        done = in_copy(extended, "-m", "ruff", *check, "--no-cache", "dac")
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_settings_page_follows(extended: Project):
    (extended.folder / "docs").mkdir()
    for name in ("docs/make_settings.py", "docs/settings.md", "config/schema.json"):
        shutil.copy(ROOT / name, extended.folder / name)
    done = in_copy(extended, "docs/make_settings.py")
    assert done.returncode == 0, done.stderr
    text = (extended.folder / "docs" / "settings.md").read_text()
    assert all(f"`{name}`" in text for name in ("height", "scannet", "tensor"))


@pytest.mark.slow
def test_all_three_train_together(extended: Project):
    """The groups first, as the tutorial does; then all that the table needs."""
    overlay = ("--cores", "1", "--configfile", "config/garden.yaml")
    first = extended.snakemake("results/garden/height-2/partition.png", *overlay)
    assert first.returncode == 0, first.stderr[-4000:]
    results = extended.folder / "results"
    assert not (results / "tables").exists()
    then = extended.snakemake("results/tables/main.csv", *overlay)
    assert then.returncode == 0, then.stderr[-4000:]
    table = (results / "tables" / "main.csv").read_text()
    assert "garden" in table and ",height,2," in table
    fields = list(results.glob("garden/tensorf/seed0/height-2/*/*finetune*/model.json"))
    assert len(fields) == 1 and '"decoder": "tensor"' in fields[0].read_text()
