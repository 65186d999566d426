"""Scoring a run: test views rendered, compared with the truth, and recorded.

An evaluation's folder holds `evaluation.json` (see `records`), `renders.npy` (V, H, W, 3) uint8 and
`depth.npy` (V, H, W) float16 of the V scored views, and some of them as PNG under `renders/` and
`depth/`. It appears whole or not at all; until then, each view that is done is kept (see
`view_store`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dac.conquer.routed import RoutedModel, load
from dac.divide.partition import Partition
from dac.divide.router import Router
from dac.errors import UserError
from dac.evaluation import pictures
from dac.evaluation.metrics import psnr
from dac.evaluation.records import Cost, Evaluation, Label, git_commit, mean_of, versions
from dac.evaluation.scoring import Scorer, Truth
from dac.evaluation.truth import mean_image
from dac.evaluation.view_store import ScoredView, ViewStore
from dac.fields.model import default_device, load_model
from dac.ops.backend import backend
from dac.ops.rays import Rendered
from dac.process.progress import with_progress
from dac.process.signals import deferred
from dac.scenes.scene import SCENE_FILES, Scene
from dac.settings import EvaluateSettings
from dac.storage.artifacts import explained_disk_errors, read_json, sha256
from dac.storage.provenance import source_digest
from dac.storage.states import Finished, digest_of

LARGEST_HALF = 65504.0


@dataclass(frozen=True)
class _Task:
    """What is scored, and where it is written.

    Attributes:
        scene_dir: the scene's folder.
        runs: whose models are scored.
        settings: of the evaluation.
        label: what the record calls the run.
        out: the evaluation's folder.
        state: the folder for what a killed evaluation needs.
        partition: partition.json, where the models are experts.
        earlier, side_by_side, generalist: runs that these build on; see `evaluate_model`.
    """

    scene_dir: Path
    runs: Sequence[Path]
    settings: EvaluateSettings
    label: Label
    out: Path
    state: Path
    partition: Path | None = None
    earlier: Sequence[Path] = ()
    side_by_side: Sequence[Path] = ()
    generalist: Path | None = None

    def inputs(self) -> dict[str, Path]:
        """The inputs that the record names."""
        files = {"scene.json": self.scene_dir / "scene.json"}
        if self.partition is not None:
            files["partition.json"] = self.partition
        for run in self.runs:
            files[f"{run.name}/model.safetensors"] = run / "model.safetensors"
        return files

    def digest(self, inputs: dict[str, str], device: str) -> str:
        """Of all that the result depends on."""
        folders = [*self.runs, *self.earlier, *self.side_by_side]
        folders += [] if self.generalist is None else [self.generalist]
        others = [self.scene_dir / name for name in SCENE_FILES]
        others += [folder / "model.json" for folder in folders]
        return digest_of(
            self.settings.model_dump(mode="json"),
            asdict(self.label),
            inputs,
            [sha256(file) for file in others],
            [device, versions()],
            source_digest("dac.evaluation.evaluate"),
        )


def evaluate_model(
    scene_dir: Path,
    run: Path,
    settings: EvaluateSettings,
    label: dict[str, Any],
    out: Path,
    *,
    state: Path,
    earlier: Sequence[Path] = (),
    side_by_side: Sequence[Path] = (),
    generalist: Path | None = None,
) -> Evaluation:
    """Score one model on the scene's test views; of a routed one, each expert as well.

    Args:
        scene_dir: the scene's folder.
        run: the run's folder, with model.safetensors and model.json.
        settings: which views, and how they are rendered.
        label: what this run is called; the fields of `records.Label`.
        out: the evaluation's folder, replaced.
        state: the folder for what a killed evaluation needs.
        earlier: runs that this one builds on, one after the other (for DaC: distillation); they
            count towards its cost.
        side_by_side: runs before those, independent of each other (for DaC: the experts).
        generalist: one more beside those, whose first steps are the earlier runs' (a routed
            model's baseline, of the experts' trunk).

    Raises:
        UserError: the scene, the run or the label is missing or damaged; no test view; disk full.
        SystemExit: SIGTERM, SIGUSR1 or SIGINT came; the views that are done are kept.
    """
    named, scene = Label.parse(label), Scene.load(scene_dir)
    model = load(run, default_device())
    scorer = Scorer(scene, model, settings.expert_stride, settings.chunk_rays)
    task = _Task(
        scene_dir,
        [run],
        settings,
        named,
        out,
        state,
        earlier=earlier,
        side_by_side=side_by_side,
        generalist=generalist,
    )
    return _evaluate(task, scorer, _training_cost([*earlier, run], side_by_side, generalist))


def evaluate_experts(
    scene_dir: Path,
    partition: Path,
    experts: Sequence[Path],
    settings: EvaluateSettings,
    label: dict[str, Any],
    out: Path,
    *,
    state: Path,
) -> Evaluation:
    """Score the paper's experts together: each test view is rendered by the one that owns it.

    Every expert's PSNR on every scored view is recorded too, on every `expert_stride`-th pixel both
    ways, so that the oracle (the best expert of each view) and each expert outside its own sector
    can be reported.

    Args:
        partition: partition.json.
        experts: K run folders, in the order of the partition's groups.

    Raises:
        UserError: as `evaluate_model`; the number of experts is not K.
        SystemExit: as `evaluate_model`.
    """
    named = Label.parse(label)
    scene, groups = Scene.load(scene_dir), Partition.load(partition)
    if len(experts) != groups.count:
        raise UserError(
            partition, f"has {groups.count} groups, but {len(experts)} experts are given"
        )
    models = [load_model(expert, default_device()) for expert in experts]
    model = RoutedModel(models, Router.of(scene, groups))
    scorer = Scorer(scene, model, settings.expert_stride, settings.chunk_rays)
    task = _Task(scene_dir, experts, settings, named, out, state, partition=partition)
    return _evaluate(task, scorer, _training_cost([], experts))


def scored_views(test: Sequence[int], wanted: int | None) -> list[int]:
    """`wanted` evenly spaced ones of the test views, or all of them.

    The first and last of N taken from n are half a gap from the ends, as bins' centres are.
    """
    if wanted is None or wanted >= len(test):
        return list(test)
    return [test[(2 * i + 1) * len(test) // (2 * wanted)] for i in range(wanted)]


def _evaluate(task: _Task, scorer: Scorer, training: _Training) -> Evaluation:
    """Score what is not yet scored, and write the evaluation's folder."""
    scene = scorer.scene
    views = scored_views(scene.test, task.settings.test_views)
    if not views:
        raise UserError(task.scene_dir, "has no test view", "choose another split (scene.split)")
    inputs = {name: sha256(file) for name, file in task.inputs().items()}
    device = _device_name(default_device())
    digest = task.digest(inputs, device)
    finished = Finished(task.state, digest)
    if finished.restore(task.out):
        return Evaluation.load(task.out)
    shape = (len(views), *scene.images.shape[1:3])
    with explained_disk_errors(task.state):
        store = ViewStore(task.state / "views", digest, shape, task.settings.pictures)
        with closing(store):
            if store.missing:
                _score_views(scorer, views, store, task.settings.pictures)
            record = _record(task, scorer, training, store.views, inputs, device)
            # A signal while the result is written is too late.
            with deferred(), finished.new_folder(task.out) as part:
                store.link_to(part)
                record.save(part)
    store.clear()
    return record


def _record(
    task: _Task,
    scorer: Scorer,
    training: _Training,
    views: Sequence[ScoredView],
    inputs: dict[str, str],
    device: str,
) -> Evaluation:
    scene, images = scorer.scene, [view.score for view in views]
    seconds = sum(view.seconds for view in views)
    height, width = scene.images.shape[1:3]
    rate = len(views) * height * width / max(seconds, 1e-9)
    return Evaluation(
        scene=scene.name,
        label=task.label,
        mean=mean_of(images),
        images=tuple(images),
        test_views=len(scene.test),
        mean_image_psnr=sum(view.blank for view in views) / len(views),
        masked=scene.masks is not None,
        cost=Cost(
            training_steps=training.steps,
            training_seconds=training.seconds,
            longest_path_seconds=training.longest_path,
            rendering_seconds=seconds,
            rays_per_second=rate,
            memory_bytes=training.memory,
            longest_path_steps=training.path_steps,
        ),
        parameters=sum(p.numel() for p in scorer.model.parameters()),
        device=device,
        versions=versions(),
        git_commit=git_commit(),
        inputs=inputs,
        settings={
            "evaluate": task.settings.model_dump(mode="json"),
            "model": scorer.model.settings.model_dump(mode="json"),
        },
        model_bytes=sum((run / "model.safetensors").stat().st_size for run in task.runs),
    )


def _score_views(scorer: Scorer, views: Sequence[int], store: ViewStore, pictured: int) -> None:
    """Score the views that are missing in the store, and keep each there."""
    scene, missing = scorer.scene, store.missing
    shown = set(scored_views(range(len(views)), pictured)) if pictured else set()
    blank = mean_image(scene)
    done = len(views) - len(missing)
    backend(default_device().type)  # compiles the kernels, and may be told to go meanwhile
    with deferred() as stop:
        for position in with_progress(missing, f"{scene.name} test views", done):
            view = views[position]
            truth = Truth.of(scene, view)
            start = time.perf_counter()
            rendered = scorer.render(view, stop)
            seconds = time.perf_counter() - start
            score = scorer.score(view, rendered, truth, stop)
            scored = ScoredView(score, psnr(blank, truth.image, truth.usable), seconds)
            render = pictures.to_uint8(rendered.rgb)
            depth = rendered.depth.clamp_max(LARGEST_HALF).numpy().astype(np.float16)
            name = pictures.picture_name(position, scene.names[view])
            shots = _pictures(name, render, rendered) if position in shown else {}
            store.add(position, scored, render, depth, shots)
            if stop.received:
                stop.leave()


def _pictures(
    name: str, render: NDArray[np.uint8], rendered: Rendered
) -> dict[str, NDArray[np.uint8]]:
    """Pictures of a view, by their files below the evaluation's folder."""
    depth = pictures.depth_picture(rendered.depth, rendered.accumulation)
    return {f"renders/{name}": render, f"depth/{name}": depth}


class _Training(NamedTuple):
    """What training took; see `records.Cost`."""

    steps: int
    seconds: float
    longest_path: float
    path_steps: int
    memory: int


def _training_cost(
    one_after_another: Sequence[Path], side_by_side: Sequence[Path], generalist: Path | None = None
) -> _Training:
    """All runs together; the chain's steps are the generalist's first."""
    chain = [_training_of(run) for run in one_after_another]
    parallel = [_training_of(run) for run in side_by_side]
    longest = sum(run.seconds for run in chain)
    if generalist is not None:
        whole = _training_of(generalist)
        after = whole.steps - sum(run.steps for run in chain)
        seconds = whole.seconds * after / whole.steps
        parallel.append(_Training(after, seconds, seconds, after, whole.memory))
    runs = chain + parallel
    return _Training(
        steps=sum(run.steps for run in runs),
        seconds=sum(run.seconds for run in runs),
        longest_path=longest + max((run.seconds for run in parallel), default=0.0),
        path_steps=sum(run.steps for run in chain)
        + max((run.steps for run in parallel), default=0),
        memory=max(run.memory for run in runs),
    )


def _training_of(run: Path) -> _Training:
    data = read_json(run / "model.json")
    try:
        seconds = float(data["seconds"])
        steps, memory = int(data["steps"]), int(data["memory_bytes"])
        return _Training(steps, seconds, seconds, steps, memory)
    except (KeyError, TypeError, ValueError) as error:
        again = "delete the folder and run its rule again"
        raise UserError(run / "model.json", f"lacks its cost ({error!r})", again) from None


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
