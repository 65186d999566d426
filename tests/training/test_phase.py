"""The phases on the toy scene: they learn, resume bit for bit, and refuse what can't be done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import toy
from torch import Tensor

from dac.errors import UserError
from dac.fields.model import load_model
from dac.ops.backend import using
from dac.scenes.scene import Scene
from dac.settings import DistillSettings, FinetuneSettings
from dac.storage.artifacts import read_json
from dac.training import baseline as baseline_phase
from dac.training import expert as expert_phase
from dac.training import finetune as finetune_phase
from dac.training import images, loop
from dac.training.batches import RayBatch, RayBatches
from dac.training.checkpoints import Checkpoints, make_optimizer
from dac.training.curve import Progress
from dac.training.keys import mix
from dac.training.losses import interlevel_loss, regularisers
from dac.training.objective import Part, split
from dac.training.schedules import learning_rate_factor
from dac.training.update import StepResult, Update, autograd_update

OUTPUTS = {"model.safetensors", "model.json", "optimizer.safetensors", "curve.json"}
MODEL = toy.model_settings()
SHORT = toy.train_settings(steps=12, rays=48, curve_points=3, curve_rays=64, warmup_steps=3)
DISTILL = DistillSettings(steps=12, rays=48, warmup_steps=3, horizon=24)


def baseline(scene: Path, out: Path, **changes: Any) -> None:
    values = {"steps": 12, "seed": 0, "out": out, "state": out.with_suffix(".state"), **changes}
    settings = values.pop("train", SHORT)
    baseline_phase.train_baseline(scene, MODEL, settings, **values)


def expert(scene: Path, out: Path) -> None:
    expert_phase.train_expert(
        scene,
        scene.parent / "partition.json",
        1,
        MODEL,
        SHORT,
        seed=0,
        out=out,
        state=out.with_suffix(".state"),
    )


def finetune(start: str) -> Callable[[Path, Path], None]:
    def run(scene: Path, out: Path) -> None:
        student = out.parent / "student"
        if not student.exists():
            baseline(scene, student)
        finetune_phase.finetune(
            scene,
            student,
            SHORT,
            FinetuneSettings(steps=12, warmup_steps=3, start=start),  # type: ignore[arg-type]
            distill=DISTILL,
            seed=0,
            out=out,
            state=out.with_suffix(".state"),
        )

    return run


def same_run(a: Path, b: Path) -> bool:
    """Whether two runs ended in the same bits and took the same way there."""
    curves = [read_json(folder / "curve.json") for folder in (a, b)]
    for curve in curves:
        del curve["seconds"]
    return curves[0] == curves[1] and all(
        (a / name).read_bytes() == (b / name).read_bytes()
        for name in ("model.safetensors", "optimizer.safetensors")
    )


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int, how: Callable[[], object]) -> None:
    """Call `how` within the given step of the next run."""
    real, count = loop.LossReader.add, [0]

    def add(*arguments: Any) -> None:
        count[0] += 1
        if count[0] == steps:
            how()
        real(*arguments)

    monkeypatch.setattr(loop.LossReader, "add", add)


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


def crash() -> None:
    raise RuntimeError("power cut")


@pytest.mark.parametrize(
    "phase", [baseline, expert, finetune("fresh"), finetune("continued")], ids=lambda f: f.__name__
)
def test_a_resumed_run_equals_the_uninterrupted_one(
    phase: Callable[[Path, Path], None],
    toy_scene: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    phase(toy_scene, tmp_path / "whole")
    for stop in (5, 3):
        with monkeypatch.context() as patch:
            stop_after(patch, stop, terminate)
            with pytest.raises(SystemExit) as stopped:
                phase(toy_scene, tmp_path / "resumed")
        assert stopped.value.code == 128 + signal.SIGTERM
        assert not (tmp_path / "resumed").exists()
    assert [p.name for p in sorted((tmp_path / "resumed.state").iterdir())] == [
        "step-000000005",
        "step-000000008",
    ]
    phase(toy_scene, tmp_path / "resumed")
    assert same_run(tmp_path / "whole", tmp_path / "resumed")
    assert {path.name for path in (tmp_path / "resumed").iterdir()} == OUTPUTS
    assert [p.name for p in (tmp_path / "resumed.state").iterdir()] == ["finished"]


def test_a_crash_loses_only_what_was_not_saved(
    toy_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    often = SHORT.model_copy(update={"checkpoint_seconds": 1e-9})
    baseline(toy_scene, tmp_path / "whole", train=often)
    with monkeypatch.context() as patch:
        stop_after(patch, 8, crash)
        with pytest.raises(RuntimeError):
            baseline(toy_scene, tmp_path / "resumed", train=often)
    assert not (tmp_path / "resumed").exists()
    newest = tmp_path / "resumed.state" / "step-000000007" / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    baseline(toy_scene, tmp_path / "resumed", train=often)
    assert same_run(tmp_path / "whole", tmp_path / "resumed")


def test_a_step_is_made_once_the_state_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = loop.LoopSettings("tiny", 6, rate=lambda step: 0.1 + step)
    made, rates = [], []

    def run() -> Progress:
        model = torch.nn.Linear(1, 1, bias=False)
        model.device = torch.device("cpu")  # type: ignore[assignment]
        optimizer = make_optimizer(model, eps=1e-8)
        checkpoints = Checkpoints(tmp_path, "digest")

        def terms(step: int, part: Part) -> dict[str, Tensor]:
            return {"loss": model.weight.square().sum(), "one": torch.ones(())}

        def make(_: object, optimizer: torch.optim.Adam, parts: int) -> Update:
            made.append([int(state["step"]) for state in optimizer.state.values()])
            rates.append([])
            update = autograd_update(terms, optimizer, split(1, parts))

            def step(number: int, rate: float) -> StepResult:
                rates[-1].append(rate)
                done = update(number, rate)
                assert done.names == ("loss", "one") and not done.terms.requires_grad
                assert optimizer.param_groups[0]["lr"] == rate
                return done

            return step

        monkeypatch.setattr(loop, "make_update", make)
        objective: Any = SimpleNamespace(model=model)
        return loop.train(objective, optimizer, lambda: None, settings, checkpoints)

    with monkeypatch.context() as patch:
        stop_after(patch, 4, terminate)
        with pytest.raises(SystemExit):
            run()
    assert run().step == 6
    assert made == [[], [4]]
    assert rates == [[0.1, 1.1, 2.1, 3.1], [4.1, 5.1]]


def test_a_state_of_another_seed_is_not_continued(
    toy_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    baseline(toy_scene, tmp_path / "whole", seed=1)
    with monkeypatch.context() as patch:
        stop_after(patch, 4, terminate)
        with pytest.raises(SystemExit):
            baseline(toy_scene, tmp_path / "other")
    baseline(toy_scene, tmp_path / "resumed", seed=1)
    assert same_run(tmp_path / "whole", tmp_path / "resumed")


def test_sigterm_saves_the_state_of_a_real_process(toy_scene: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]);"
        "import toy; from dac.training.baseline import train_baseline;"
        "train_baseline(Path(sys.argv[2]), toy.model_settings(), toy.train_settings(rays=48),"
        "steps=100000, seed=0, out=Path(sys.argv[3]), state=Path(sys.argv[4]))"
    )
    out, state = tmp_path / "out", tmp_path / "state"
    where = [str(Path(toy.__file__).parent), str(toy_scene), str(out), str(state)]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *where],
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(loop.__file__).parents[2],
    )
    # The handler is there once training runs; a signal before that just ends the process.
    status = Path(f"/proc/{process.pid}/status")
    for _ in range(600):
        caught = [line for line in status.read_text().splitlines() if line.startswith("SigCgt")]
        if int(caught[0].split()[1], 16) & 1 << signal.SIGUSR1 - 1:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert not out.exists() and len(list(state.glob("step-*/manifest.json"))) == 2


def test_training_beats_the_mean_image(toy_scene: Path, tmp_path: Path) -> None:
    train = toy.train_settings(curve_points=3)
    baseline(toy_scene, tmp_path / "out", train=train, steps=120)
    curve = read_json(tmp_path / "out" / "curve.json")
    scene = Scene.load(toy_scene)
    images = scene.images / 255.0
    images = images[..., :3] * images[..., 3:] + 1 - images[..., 3:]
    error = images[list(scene.test)] - images[list(scene.train)].mean(axis=0)
    assert curve["psnr"][-1] > -10 * np.log10(np.square(error).mean()) + 4
    assert curve["steps"] == [40, 80, 120]
    photometric = curve["losses"]["photometric"]
    assert photometric == sorted(photometric, reverse=True)
    assert photometric[-1] < photometric[0] / 4


def test_the_folder_says_how_it_was_made(toy_scene: Path, tmp_path: Path) -> None:
    expert(toy_scene, tmp_path / "out")
    record = read_json(tmp_path / "out" / "model.json")
    assert record["stage"] == "expert" and record["stage_settings"]["group"] == 1
    assert record["seed"] == 0 and record["steps"] == 12 and record["seconds"] > 0
    assert record["rollbacks"] == 0 and record["parts"] == 1
    assert set(record["inputs"]) == {
        "scene/scene.json",
        "scene/images.npy",
        "scene/masks.npy",
        "partition.json",
    }
    assert record["versions"]["torch"] == torch.__version__
    assert load_model(tmp_path / "out").settings == MODEL


@pytest.mark.parametrize("decoder", ["hybrid", "explicit"])
def test_a_run_says_whether_kernels_ran_it(
    toy_scene: Path, tmp_path: Path, decoder: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = toy.model_settings(decoder=decoder)
    with using("native"):
        baseline_phase.train_baseline(
            toy_scene, settings, SHORT, steps=2, seed=0, out=tmp_path / "a", state=tmp_path / "s"
        )
    known = decoder == "hybrid"
    assert read_json(tmp_path / "a" / "model.json")["kernels"]["whole_rays"] is known
    assert ("the kernels lack this model" in caplog.text) is not known


def test_experts_share_their_initialisation_and_nothing_else(
    toy_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[dict[str, Tensor], set[int], Tensor]] = []

    made: list[images.RayBatches] = []

    class Watched(images.RayBatches):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            made.append(self)

    def watch(_phase: Any, _scene: Any, objective: Any, *_: Any, **__: Any) -> None:
        weights = {name: value.clone() for name, value in objective.model.state_dict().items()}
        (batches,) = made
        made.clear()
        views = {int(v) for step in range(30) for v in batches.pixels(step)[0]}
        seen.append((weights, views, batches(0).background))

    monkeypatch.setattr(images, "RayBatches", Watched)
    monkeypatch.setattr(expert_phase, "train_phase", watch)
    for group in (0, 1):
        expert_phase.train_expert(
            toy_scene,
            toy_scene.parent / "partition.json",
            group,
            MODEL,
            SHORT,
            seed=0,
            out=tmp_path,
            state=tmp_path,
        )
    (weights, views, colour), (other_weights, other_views, other_colour) = seen
    assert all(torch.equal(weights[name], other_weights[name]) for name in weights)
    scene = Scene.load(toy_scene)
    assert views | other_views == set(scene.train) and not views & other_views
    assert not torch.equal(colour, other_colour)


def test_twice_the_steps_at_a_constant_rate_continue_once_the_steps(
    toy_scene: Path, tmp_path: Path
) -> None:
    train = SHORT.model_copy(update={"schedule": "constant"})
    baseline(toy_scene, tmp_path / "once", train=train)
    baseline(toy_scene, tmp_path / "twice", train=train, steps=24, init=tmp_path / "once")
    straight = train.model_copy(update={"curve_points": 6})
    baseline(toy_scene, tmp_path / "straight", train=straight, steps=24)
    assert same_run(tmp_path / "twice", tmp_path / "straight")
    assert read_json(tmp_path / "twice" / "curve.json")["steps"] == [4, 8, 12, 16, 20, 24]
    assert read_json(tmp_path / "twice" / "model.json")["steps"] == 24


def test_a_baseline_goes_on_from_its_trunk_as_if_it_had_never_stopped(
    toy_scene: Path, tmp_path: Path
) -> None:
    baseline(toy_scene, tmp_path / "straight")
    few = SHORT.model_copy(update={"curve_points": 1})
    baseline(toy_scene, tmp_path / "trunk", train=few, steps=4, horizon=12)
    rest = SHORT.model_copy(update={"curve_points": 2})
    baseline(toy_scene, tmp_path / "whole", train=rest, init=tmp_path / "trunk")
    assert same_run(tmp_path / "whole", tmp_path / "straight")
    trunk, whole = (read_json(tmp_path / name / "model.json") for name in ("trunk", "whole"))
    assert (trunk["steps"], whole["steps"]) == (4, 12)
    assert whole["seconds"] > trunk["seconds"]
    with pytest.raises(UserError, match="a schedule of other than 13 steps"):
        baseline(toy_scene, tmp_path / "other", steps=13, init=tmp_path / "trunk")


def specialist(scene: Path, out: Path, trunk: Path, **changes: Any) -> None:
    values = {"seed": 0, "out": out, "state": out.with_suffix(".state"), **changes}
    settings = values.pop("train", SHORT)
    expert_phase.train_expert(
        scene, scene.parent / "partition.json", 1, MODEL, settings, trunk=trunk, **values
    )


def test_a_specialist_goes_on_from_the_trunk_with_its_optimiser_and_schedule(
    toy_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the trunk's own views and batches it is the baseline."""
    trunk = tmp_path / "trunk"
    baseline(toy_scene, trunk, steps=4, horizon=12)
    specialist(toy_scene, tmp_path / "own", trunk)
    record = read_json(tmp_path / "own" / "model.json")
    assert (record["steps"], record["earlier_steps"]) == (8, 4)
    assert read_json(tmp_path / "own" / "curve.json")["steps"] == [7, 9, 12]
    baseline(toy_scene, tmp_path / "whole", init=trunk)
    scene = Scene.load(toy_scene)
    every = lambda *_: list(scene.train)  # noqa: E731
    monkeypatch.setattr(expert_phase, "_indices", every)
    monkeypatch.setattr(expert_phase, "mix", lambda seed, stream, group: mix(seed, stream, 0))
    specialist(toy_scene, tmp_path / "same", trunk)
    for name in ("model.safetensors", "optimizer.safetensors"):
        parts = [(tmp_path / run / name).read_bytes() for run in ("same", "whole", "own")]
        assert parts[0] == parts[1] != parts[2]


def test_a_trunk_of_another_schedule_is_refused(toy_scene: Path, tmp_path: Path) -> None:
    baseline(toy_scene, tmp_path / "trunk", steps=4, horizon=13)
    with pytest.raises(UserError, match="a schedule of other than 12 steps"):
        specialist(toy_scene, tmp_path / "out", tmp_path / "trunk")


def test_what_can_not_be_continued_is_refused(toy_scene: Path, tmp_path: Path) -> None:
    constant = SHORT.model_copy(update={"schedule": "constant"})
    baseline(toy_scene, tmp_path / "once", train=constant)
    for changes, message in (
        ({"train": SHORT, "steps": 24}, "only a constant schedule goes on after its end"),
        ({"train": constant, "steps": 12}, "has 12 steps"),
    ):
        with pytest.raises(UserError, match=message):
            baseline(toy_scene, tmp_path / "out", init=tmp_path / "once", **changes)
    with pytest.raises(UserError, match="no group 7"):
        expert_phase.train_expert(
            toy_scene,
            toy_scene.parent / "partition.json",
            7,
            MODEL,
            SHORT,
            seed=0,
            out=tmp_path / "out",
            state=tmp_path / "state",
        )
    assert not (tmp_path / "out").exists()


def restart(scene: Path, out: Path, **changes: Any) -> None:
    """The control: a baseline's learning rate starts again, `distill` is None."""
    settings = FinetuneSettings(steps=12, warmup_steps=3).model_copy(update=changes)
    finetune_phase.finetune(
        scene,
        out.parent / "baseline",
        SHORT,
        settings,
        distill=None,
        seed=0,
        out=out,
        state=out.with_suffix(".state"),
    )


def test_a_restart_trains_a_baseline_on(
    toy_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    baseline(toy_scene, tmp_path / "baseline")
    start = load_model(tmp_path / "baseline").state_dict()
    seen: list[dict[str, Tensor]] = []
    real = finetune_phase.train_phase

    def watch(phase: Any, views: Any, objective: Any, *rest: Any, **named: Any) -> None:
        weights = objective.model.state_dict()
        seen.append({name: value.clone() for name, value in weights.items()})
        real(phase, views, objective, *rest, **named)

    monkeypatch.setattr(finetune_phase, "train_phase", watch)
    restart(toy_scene, tmp_path / "out")
    (weights,) = seen
    assert all(torch.equal(weights[name], value) for name, value in start.items())
    after = load_model(tmp_path / "out").state_dict()
    assert any(not torch.equal(after[name], value) for name, value in start.items())
    assert {path.name for path in (tmp_path / "out").iterdir()} == OUTPUTS
    record = read_json(tmp_path / "out" / "model.json")
    assert record["stage"] == "finetune" and record["steps"] == 12
    assert record["stage_settings"]["distill"] is None
    digest = sha256((tmp_path / "baseline" / "model.safetensors").read_bytes()).hexdigest()
    assert record["inputs"]["student/model.safetensors"].removeprefix("sha256:") == digest
    assert "student/optimizer.safetensors" not in record["inputs"]


def test_a_restart_is_what_finetuning_does_to_the_same_weights(
    toy_scene: Path, tmp_path: Path
) -> None:
    baseline(toy_scene, tmp_path / "baseline")
    restart(toy_scene, tmp_path / "restart")
    (tmp_path / "student").symlink_to(tmp_path / "baseline")
    finetune("fresh")(toy_scene, tmp_path / "finetuned")
    assert same_run(tmp_path / "restart", tmp_path / "finetuned")


def test_a_restart_can_not_go_on_with_a_distillation(toy_scene: Path, tmp_path: Path) -> None:
    baseline(toy_scene, tmp_path / "baseline")
    with pytest.raises(UserError) as caught:
        restart(toy_scene, tmp_path / "out", start="continued")
    what = "'continued' goes on with a distillation, not with a baseline"
    assert str(caught.value) == f"finetune.start: {what}; set it to fresh"
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.state").exists()


def test_finetunings_rates() -> None:
    settings = FinetuneSettings(steps=100, learning_rate=0.5, warmup_steps=10)
    fresh = finetune_phase.finetune_rate(settings, DISTILL)
    assert fresh(0) == 0.05 and fresh(10) == 0.5 and fresh(99) < 1e-3
    restarted = finetune_phase.finetune_rate(settings, None)
    assert [restarted(step) for step in (0, 10, 99)] == [fresh(step) for step in (0, 10, 99)]
    going_on = settings.model_copy(update={"start": "continued"})
    distill = DistillSettings(steps=100, learning_rate=0.5, warmup_steps=10, horizon=200)
    rate = finetune_phase.finetune_rate(going_on, distill)
    for step in (0, 50, 99):
        assert rate(step) == 0.5 * learning_rate_factor(100 + step, warmup=10, horizon=200)
    with pytest.raises(UserError, match=r"needs distill\.horizon"):
        finetune_phase.finetune_rate(going_on, DistillSettings())


def test_a_loss_that_is_not_finite_stops_the_run(
    toy_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Poisoned(RayBatches):
        def __call__(self, step: int) -> RayBatch:
            batch = super().__call__(step)
            return replace(batch, rgb=batch.rgb * float("nan")) if step == 5 else batch

    monkeypatch.setattr(images, "RayBatches", Poisoned)
    with pytest.raises(UserError, match="toy baseline: the loss 'photometric' is nan in step 5"):
        baseline(toy_scene, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out.state"]


def test_progress_is_json_lines_with_the_time_left(
    toy_scene: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    baseline(toy_scene, tmp_path / "out")
    line = json.loads(capfd.readouterr().err.splitlines()[-1])
    assert line["run"] == "toy baseline" and line["step"] == line["steps"] == 12
    assert line["eta_seconds"] == 0 and line["psnr"] is not None


def test_proposals_rest_in_steps_in_which_they_do_not_learn() -> None:
    scene = toy.scene()
    model = expert_phase.build_model(MODEL, scene.space, 0)
    train = toy.train_settings()
    objective = images.ImageObjective(model, scene, scene.train, train, 0)
    steps = [2000, 2001, 2002, 2003, 2004]
    learned = []
    for step in steps:
        model.zero_grad()
        terms = objective.terms(objective.draw(step))
        torch.stack(list(terms.values())).sum().backward()
        touched = [p.grad is not None for p in model.proposal_fields.parameters()]
        assert all(touched) or not any(touched)
        assert ("interlevel" in terms) == ("proposal_tv" in terms) == touched[0]
        assert all(p.grad is not None for p in model.field.parameters())
        learned.append(touched[0])
    assert sum(learned) == 1


def test_terms_of_weight_zero_are_left_out() -> None:
    scene = toy.scene()
    model = expert_phase.build_model(MODEL, scene.space, 0)
    train = toy.train_settings(plane_tv=0.0, proposal_tv=0.0, distortion=0.0, interlevel=2.0)
    batch = images.RayBatches(
        scene,
        scene.train,
        rays=32,
        seed=0,
        background="white",
        device=torch.device("cpu"),
    )(0)
    out = model.render(model.make_rays(batch.origins, batch.directions))
    terms = regularisers(model, train, out.s, out.weights, out.proposals, proposals_learn=True)
    assert set(terms) == {"interlevel"}
    expected = 2 * interlevel_loss(out.s, out.weights, out.proposals)
    assert torch.equal(terms["interlevel"], expected)
