"""What a results folder holds of one scene, and what of it the page is about.

A folder may hold many divisions and schedules, from studies. The page is about the routed model
whose division, K and trunk most runs have, merged ones too; of its paths, the one with the most
runs, then that of the 1x baseline. Beside it, or alone where nothing is routed, stands the
distilled DaC that was run most often over seeds and modes; of equals, the one whose experts were
scored, then the one whose distillation is nearest to an expert's training in length. Before all
that, it is of the routed model's division, where one is. The page says where there was a choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dac.divide.partition import Partition
from dac.errors import UserError
from dac.evaluation.records import Evaluation, Label
from dac.report.controls import Controls, controls_of
from dac.report.equal_path import Setup as Specialists
from dac.report.methods import known_method
from dac.report.rows import Row, SceneRows, load_scenes, reference_of, trunk_share
from dac.scenes.points import Points
from dac.scenes.scene import Scene
from dac.settings import CONTROLS


class Setup(NamedTuple):
    """Which distilled DaC: its division into K groups, and the steps of its two phases."""

    division: str
    K: int
    distill_steps: int | None
    steps: int


@dataclass(frozen=True)
class SceneResults:
    """The parts of one scene's results that the page shows; None or empty for what isn't there.

    Attributes:
        folder: the scene's, `results/{scene}`.
        scene: as it was imported.
        points: the sparse model.
        partition: of the routed model's division, else of the setup's.
        setup: of the distilled DaC that the page is about.
        choices: how many setups there were, or kinds of specialists.
        specialists: their division, K and trunk.
        routed, merged: the models that are made of them.
        controls: the picked rows, for each mode of the conquer phase; once where there is no DaC.
            The first mode by name is the headline's, whatever it scores.
        evaluations: label of a run -> the folder of its evaluation.
        every: all rows of the model variant.
        other_models: variants that are left out, since fewer of their runs are there.
    """

    folder: Path
    scene: Scene
    points: Points | None
    partition: Partition | None
    setup: Setup | None
    choices: int
    specialists: Specialists | None
    routed: Row | None
    merged: Row | None
    controls: tuple[Controls, ...]
    evaluations: dict[Label, Path]
    every: SceneRows
    other_models: tuple[str, ...]

    @property
    def main(self) -> Controls:
        """The headline's rows."""
        return self.controls[0]

    @property
    def model(self) -> str:
        """The model variant."""
        return self.every.model

    @property
    def rows(self) -> list[Row]:
        """Baselines, the models of the specialists, DaC in all modes, experts: those there are."""
        main = self.main
        models = (self.routed, self.merged)
        baselines = [main.once, main.twice, *map(self.reference, models)]
        ours = [*models, *(controls.dac for controls in self.controls)]
        rows = [row for row in (*baselines, *ours, main.experts) if row is not None]
        return list({id(row): row for row in rows}.values())

    @property
    def control_rows(self) -> list[Row]:
        """What the models are held against, and their stages, in the order of the tables."""
        shown = {id(row) for row in self.rows}
        return [
            row
            for row in (*self.main.rows, *self.rivals)
            if id(row) not in shown
            and (known_method(row.label.method) != "baseline" or row is self.main.equal)
        ]

    @property
    def rivals(self) -> list[Row]:
        """Controls of the routed model's path: more rays, more parameters, no trunk, at random."""
        if self.routed is None:
            return []
        ours = self.routed.label
        beside = {"K": ours.K, "steps": ours.steps}
        return [
            *(
                row
                for method in ("big_batch", "wide")
                for row in self.every.select(method, **beside)
            ),
            *self.every.select("routed", **beside, division=ours.division, trunk=0),
            *self.every.select("routed", **beside, division="random", trunk=ours.trunk),
        ]

    def reference(self, row: Row | None) -> Row | None:
        """What a row's gain is over."""
        return None if row is None else reference_of(row, self.every.rows)

    def evaluation(self, row: Row) -> Path:
        """The folder of a row's first run."""
        return self.evaluations[row.runs[0].label]


def load_results(results: Path, scene: str) -> SceneResults:
    """Look through a results folder.

    Args:
        results: the workflow's results folder.
        scene: the scene's name, one of `dac.catalogue.scenes_of`.

    Raises:
        UserError: nothing was scored yet; a file is damaged.
    """
    folder = results / scene
    files = sorted(folder.glob("*/seed*/**/evaluation.json"))
    if not files:
        raise UserError(folder, "holds no evaluation yet", "run the workflow first")
    variants = load_scenes(files)
    rows = max(variants, key=lambda one: sum(len(row.runs) for row in one.rows))
    kinds = _specialists(rows.rows)
    specialists = max(kinds, key=lambda each: kinds[each], default=None)
    setups = _setups(rows.rows)
    setup = _choose(setups, rows.rows, specialists)
    imported = Scene.load(folder / "scene")
    points = folder / "points" / "points.npz"
    return SceneResults(
        folder=folder,
        scene=imported,
        points=Points.load(points) if points.is_file() else None,
        partition=_partition(folder, imported, specialists or setup, rows.rows),
        setup=setup,
        choices=max(len(setups), len(kinds)),
        specialists=specialists,
        routed=_model(rows, "routed", specialists),
        merged=_model(rows, "merged", specialists),
        controls=_pick(rows, setup),
        evaluations={Evaluation.load(file).label: file.parent for file in files},
        every=rows,
        other_models=tuple(one.model for one in variants if one is not rows),
    )


def _setups(rows: Sequence[Row]) -> dict[Setup, int]:
    """Every setup of DaC but the controls', and how many runs it has; theirs, if that is all."""
    runs: dict[Setup, int] = {}
    for row in rows:
        label = row.label
        if label.method == "dac" and label.division is not None and label.K is not None:
            setup = Setup(label.division, label.K, label.distill_steps, label.steps)
            runs[setup] = runs.get(setup, 0) + len(row.runs)
    own = {setup: count for setup, count in runs.items() if setup.division not in CONTROLS}
    return own or runs


def _specialists(rows: Sequence[Row]) -> dict[Specialists, int]:
    """Every division, K and trunk of routed and merged models, and how many runs it has.

    Those of control divisions are none, unless that is all.
    """
    runs: dict[Specialists, int] = {}
    for row in rows:
        label, share = row.label, trunk_share(row.label)
        if share is not None and label.division and label.K:
            routed = Specialists(label.division, label.K, share)
            runs[routed] = runs.get(routed, 0) + len(row.runs)
    own = {routed: count for routed, count in runs.items() if routed.division not in CONTROLS}
    return own or runs


def _model(rows: SceneRows, method: str, routed: Specialists | None) -> Row | None:
    """The routed or merged model of some specialists; see the module's text."""
    if routed is None:
        return None
    once = next((row.label.steps for row in rows.select("baseline-1x")), None)
    ours = [row for row in rows.select(method) if routed.holds(row.label)]

    def merit(row: Row) -> tuple[int, bool, int]:
        horizon = row.label.horizon or 0
        return len(row.runs), horizon == once, -horizon

    return max(ours, key=merit, default=None)


def _choose(
    setups: dict[Setup, int], rows: Sequence[Row], routed: Specialists | None
) -> Setup | None:
    """See the module's text; the first in the tables' order, of equals."""
    scored = {(row.label.division, row.label.K) for row in rows if row.label.method == "experts"}
    expert = next((row.label.steps for row in rows if row.label.method == "baseline-1x"), 0)

    def merit(setup: Setup) -> tuple[bool, int, bool, int]:
        off = abs((setup.distill_steps or 0) - expert)
        return (
            routed is not None and (setup.division, setup.K) == (routed.division, routed.K),
            setups[setup],
            (setup.division, setup.K) in scored,
            -off,
        )

    return max(setups, key=merit, default=None)


def _pick(rows: SceneRows, setup: Setup | None) -> tuple[Controls, ...]:
    """The rows of each mode of a setup; where there is no DaC, those of no mode."""
    if setup is None:
        experts = rows.select("experts")
        label = experts[0].label if experts else rows.rows[0].label
        return (controls_of(rows, label.division or "", label.K or 0),)
    kept = [row for row in rows.rows if _belongs(row.label, setup)]
    scene = SceneRows(rows.scene, rows.model, rows.several_models, kept)
    division, K = setup.division, setup.K
    ours = scene.select("dac", division=division, K=K)
    modes = sorted({row.label.mode for row in ours}, key=str)
    return tuple(controls_of(scene, division, K, mode) for mode in modes)


def _belongs(label: Label, setup: Setup) -> bool:
    """Whether a row is of this setup, or is one of its rivals or controls."""
    ours = (label.division, label.K) == (setup.division, setup.K)
    if label.method == "dac":
        same = (label.distill_steps, label.steps) == (
            setup.distill_steps,
            setup.steps,
        )
        return same and (ours or label.division in CONTROLS)
    if label.method == "distilled":
        same = setup.distill_steps in (None, label.steps)
        return same and (ours or label.division in CONTROLS)
    return label.method != "experts" or ours


def _partition(
    folder: Path, scene: Scene, setup: Setup | Specialists | None, rows: Sequence[Row]
) -> Partition | None:
    """Of the setup; where there is none, of the scored experts, or the only one.

    Raises:
        UserError: it is damaged, or of another scene.
    """
    files = sorted(folder.glob("*/partition.json"))
    wanted = [(row.label.division, row.label.K) for row in rows if row.label.method == "experts"]
    if setup is not None:
        wanted = [(setup.division, setup.K)]
    if wanted:
        division, K = wanted[0]
        files = [file for file in files if file.parent.name == f"{division}-{K}"]
    if len(files) != 1:
        return None
    partition = Partition.load(files[0])
    if set(partition.owner) != {scene.names[view] for view in scene.train}:
        what = "divides other views than the scene's training views"
        raise UserError(files[0], what, "delete it, run again")
    return partition
