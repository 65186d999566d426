"""The paper's studies at full size: every command in config/paper plans what a closed form counts.

The data sets are placeholders in the layouts that the configurations name; nothing is trained.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from project import ROOT, Project, job_counts

pytestmark = pytest.mark.slow

OBJECTS = ("chair", "ficus", "hotdog", "materials", "ship")
PLACES = ("M60", "Playground", "Train", "Truck")
COMMAND = re.compile(r"^#\s+snakemake --profile slurm --configfile (.+)$", re.MULTILINE)
COMMANDS = sorted(
    {
        command
        for path in (ROOT / "config" / "paper").glob("*.yaml")
        for command in COMMAND.findall(path.read_text())
    }
)


@dataclass(frozen=True)
class Cells:
    """Of one scene: distinct baselines, restarts, experts, ... a seed.

    Attributes:
        distill, finetune: each mode.
        distilled: scored without fine-tuning, too.
        other: baselines with more rays, and with more parameters.
        route, merge: models of specialists.
    """

    baseline: int
    expert: int
    distill: int
    finetune: int
    restart: int = 0
    distilled: int = 0
    other: int = 0
    trunk: int = 0
    specialist: int = 0
    route: int = 0
    merge: int = 0

    def jobs(self, scenes: int, seeds: int, modes: int) -> dict[str, int]:
        """Of all scenes, seeds and modes."""
        models = self.baseline + self.restart + modes * (self.finetune + self.distilled)
        models += 2 * self.other + self.route + self.merge
        counts = {
            "trunk": self.trunk,
            "specialist": self.specialist,
            "route": self.route,
            "merge": self.merge,
            "finetune_merged": self.merge,
            "big_batch": self.other,
            "wide": self.other,
            "baseline": self.baseline,
            "restart": self.restart,
            "expert": self.expert,
            "distill": modes * self.distill,
            "finetune": modes * self.finetune,
            "evaluate": models,
        }
        return {rule: scenes * seeds * count for rule, count in counts.items() if count}


# The 1x and 2x baselines are in all of them; K = 4, but where it varies.
MAIN = Cells(baseline=2, expert=4, distill=1, finetune=1, trunk=1, specialist=4, route=1, merge=1)
# Baselines of 1, 2, 1/4 + 4 * 3/4 and twice that times an expert's steps. Trunks: a quarter of 1
# and of 2, and a half. Specialists: four in 1, in 2, without a trunk, with half a one, and of
# random groups; two; eight.
EQUAL_PATH = Cells(
    baseline=4,
    other=1,
    trunk=3,
    specialist=5 * 4 + 2 + 8,
    route=7,
    merge=1,
    expert=4,
    distill=1,
    finetune=1,
)
# The third baseline has all of DaC's steps. The restarted one of 30,000 steps is the 1x baseline.
# DaC: as configured, of random groups, and of one group, whose expert is the 1x baseline.
CONTROLS = Cells(baseline=3, restart=1, expert=4 + 4, distill=3, finetune=3, distilled=3)
# 180 training and 200 test views of each object, 20 a job.
RENDERING = {"render_views": 5 * (9 + 10), "views": 5}
EXPECTED = {
    ("blender",): MAIN.jobs(scenes=5, seeds=3, modes=2) | RENDERING,
    ("blender", "blender_public"): MAIN.jobs(scenes=5, seeds=3, modes=2),
    ("tanks_and_temples",): MAIN.jobs(scenes=4, seeds=3, modes=2),
    ("blender", "controls"): CONTROLS.jobs(scenes=5, seeds=3, modes=2) | RENDERING,
    ("tanks_and_temples", "controls"): CONTROLS.jobs(scenes=4, seeds=3, modes=2),
    ("blender", "equal_path"): EQUAL_PATH.jobs(scenes=5, seeds=3, modes=1) | RENDERING,
    ("tanks_and_temples", "equal_path"): EQUAL_PATH.jobs(scenes=4, seeds=3, modes=1),
    # K = 2, 3, 4, 5.
    ("blender", "partitions"): Cells(2, 2 + 3 + 4 + 5, 4, 4).jobs(5, 1, 1) | RENDERING,
    # Four sectors, and six that overlap.
    ("blender", "overlap"): Cells(2, 4 + 6, 2, 2).jobs(scenes=5, seeds=1, modes=1) | RENDERING,
    # Five ways to share 60,000 steps, all with the same experts.
    ("blender", "schedule"): Cells(2, 4, 5, 5).jobs(scenes=5, seeds=1, modes=1) | RENDERING,
    # Louvain, spectral, azimuth and random with experts of their own; one group has none.
    ("tanks_and_temples", "division"): Cells(2, 4 * 4, 5, 5).jobs(scenes=4, seeds=1, modes=1),
    # Baselines of 30, 40, 50, 60 and 4 * 30 + 60 thousand steps; one distillation, which is a point
    # itself, and fine-tunings of 10, 20 and 30 thousand.
    ("tanks_and_temples", "convergence"): Cells(5, 4, 1, 3, distilled=1).jobs(
        scenes=2, seeds=1, modes=1
    ),
}
# docs/reproduce.md: command -> trainings, jobs.
ROW = re.compile(r"\| `(config/paper/[^`]+)` \| ([\d,]+) \| ([\d,]+) \|")
PAGE = {
    command: tuple(int(number.replace(",", "")) for number in numbers)
    for command, *numbers in ROW.findall((ROOT / "docs" / "reproduce.md").read_text())
}
TRAININGS = (
    *("baseline", "restart", "expert", "distill", "finetune"),
    *("trunk", "specialist", "finetune_merged", "big_batch", "wide"),
)
RULES = (*TRAININGS, "route", "merge", "evaluate", *RENDERING)


def names_of(command: str) -> tuple[str, ...]:
    return tuple(Path(file).stem for file in command.split())


@pytest.fixture(scope="module")
def full_size(
    new_project: Callable[..., Project],
    tmp_path_factory: pytest.TempPathFactory,
) -> Project:
    """The project with its own configurations and placeholders for their data sets."""
    project = new_project(tmp_path_factory.mktemp("full") / "dac")
    shutil.rmtree(project.folder / "config")
    shutil.copytree(ROOT / "config", project.folder / "config")
    for name in OBJECTS:
        write_object(project.folder / "data" / "nerf_synthetic" / name)
        blend = project.folder / "data" / "blend_files" / f"{name}.blend"
        blend.parent.mkdir(exist_ok=True)
        blend.touch()
    for name in PLACES:
        write_place(project.folder / "data" / "TanksAndTempleBG" / name)
    return project


def write_place(folder: Path) -> None:
    """Two views in NSVF's layout."""
    for part in ("rgb", "pose"):
        (folder / part).mkdir(parents=True)
    (folder / "intrinsics.txt").write_text("8 4 4 0\n")
    for name in ("0_0", "1_0"):
        Image.new("RGB", (8, 8)).save(folder / "rgb" / f"{name}.png")
        (folder / "pose" / f"{name}.txt").write_text("1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")


def write_object(folder: Path) -> None:
    """Two views in NeRF-synthetic's layout."""
    pose = [[1, 0, 0, 0], [0, 0, -1, -4], [0, 1, 0, 0], [0, 0, 0, 1]]
    for part in ("train", "test"):
        (folder / part).mkdir(parents=True)
        Image.new("RGBA", (8, 8)).save(folder / part / "r_0.png")
        frames = [{"file_path": f"./{part}/r_0", "transform_matrix": pose}]
        poses = {"camera_angle_x": 0.69, "frames": frames}
        (folder / f"transforms_{part}.json").write_text(json.dumps(poses))


def test_the_configurations_name_every_command_that_is_counted_here() -> None:
    assert {names_of(command) for command in COMMANDS} == EXPECTED.keys()
    for command in COMMANDS:
        assert all((ROOT / file).is_file() for file in command.split())
    # Every configuration says how it is run.
    stems = {path.stem for path in (ROOT / "config" / "paper").glob("*.yaml")}
    assert {name for names in EXPECTED for name in names} == stems


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: "+".join(names_of(command)))
def test_a_command_plans_what_the_closed_form_counts(full_size: Project, command: str) -> None:
    expected = EXPECTED[names_of(command)]
    result = full_size.snakemake("--dry-run", "--configfile", *command.split())
    assert result.returncode == 0, result.stderr
    planned = job_counts(result.stdout + result.stderr)
    assert {rule: count for rule, count in planned.items() if rule in RULES} == expected
    trained = sum(expected.get(rule, 0) for rule in TRAININGS)
    assert f"Configured: {trained:,} trainings: " in result.stderr
    if command in PAGE:
        assert PAGE[command] == (trained, sum(planned.values()) + 1)  # and the target `all`


def test_the_page_lists_commands_of_the_configurations() -> None:
    assert len(PAGE) == 9 and PAGE.keys() <= set(COMMANDS)
