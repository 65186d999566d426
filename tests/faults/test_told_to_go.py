"""SIGTERM in every phase of every kind of job: the process ends within 10 s, all on disk whole."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attempts import Process, Servers
from toy_jobs import ToyJob, Toys

from dac.storage.states import unseal

LIMIT = 10.0  # seconds from the signal to the end
MANY = 1_000_000  # steps: a run that doesn't end by itself

# What goes on -> kind of job, function whose call shows that it has begun, seconds to wait then.
PHASES = {
    "reading inputs": ("training", "dac.scenes.scene:Scene.load", 0.0),
    "checking inputs": ("training", "dac.training.phase:sha256", 0.0),
    "compiling kernels": ("training", "dac.ops.build:_compile", 1.5),
    "evaluation: compiling kernels": ("evaluation", "dac.ops.build:_compile", 1.5),
    "training": ("training", "dac.training.console:Console.step", 0.5),
    "saving": ("training", "dac.training.checkpoints:save_file", 0.0),
    "probing": ("training", "dac.fields.model:Model.picture", 0.0),
    "writing the result": ("training", "dac.training.phase:save_optimizer", 0.0),
    "distillation": ("distillation", "dac.training.console:Console.step", 0.5),
    "fine-tuning": ("fine-tuning", "dac.training.console:Console.step", 0.5),
    "evaluation: rendering": ("evaluation", "dac.fields.model:Model.picture", 0.0),
    "evaluation: importing the metrics": ("evaluation", "dac.evaluation.metrics:ssim", 0.0),
    "importing a scene": ("import", "dac.scenes.importer:decode", 0.0),
    "SfM: reading photos": ("sfm", "dac.scenes.sfm.reconstruct:decode_photos", 0.0),
    "SfM: features": ("sfm", "pycolmap:extract_features", 0.1),
    "SfM: matching": ("sfm", "pycolmap:match_exhaustive", 0.1),
    "SfM: mapping": ("sfm", "pycolmap:incremental_mapping", 0.1),
}
SHORT = ("saving", "probing", "writing the result")  # are reached by a run that soon ends


def new_job(toys: Toys, kind: str, place: Path, steps: int) -> ToyJob:
    return toys.sfm_job(place) if kind == "sfm" else toys.job(kind, place, steps=steps)


def test_told_to_go_in_every_phase(
    toys: Toys,
    servers: Servers,
    workers: ThreadPoolExecutor,
    tmp_path: Path,
    figure: Callable[[str, str, Any], None],
) -> None:
    def tell(phase: str) -> tuple[float, int]:
        kind, function, wait = PHASES[phase]
        steps = 30 if phase in SHORT else MANY
        job = new_job(toys, kind, tmp_path / phase.replace(":", "").replace(" ", "-"), steps)
        fresh = (
            {"DAC_BUILD_DIR": str(job.place.with_name(f"{job.place.name}.kernels"))}
            if "kernels" in phase
            else {}
        )
        process = Process(job, function, **fresh)
        process.wait_until(process.announced.exists)
        time.sleep(wait)
        seconds = process.tell(signal.SIGTERM)
        assert seconds <= LIMIT, f"{phase}: {seconds:.1f} s"
        if phase == "writing the result":  # too late to stop for: it is written
            assert process.status in (0, 143) and job.is_whole(), process.said()
        else:
            assert process.status == 143, f"{phase}: {process.status}: {process.said()}"
            assert not job.is_whole()
        for state in job.state.glob("step-*"):
            unseal(state)
        if "training" in phase or kind in ("distillation", "fine-tuning"):
            assert len(list(job.state.glob("step-*"))) == 2  # before the first step, and now
        return seconds, process.status

    for phase, (seconds, status) in zip(PHASES, workers.map(tell, PHASES), strict=True):
        figure("SIGTERM to exit, s", f"{phase} (status {status})", seconds)


def test_told_to_go_while_starting(
    toys: Toys,
    workers: ThreadPoolExecutor,
    tmp_path: Path,
    figure: Callable[[str, str, Any], None],
    long: bool,
) -> None:
    chance = random.Random(0)
    delays = [chance.uniform(0.0, 2.5) for _ in range(40 if long else 8)]

    def tell(delay: float) -> tuple[float, int]:
        job = toys.job("training", tmp_path / str(delay), steps=MANY)
        process = Process(job)
        time.sleep(delay)
        seconds = process.tell(signal.SIGTERM)
        # Before the job listens, the signal itself ends it; shells call that 143, too.
        assert process.status in (143, -signal.SIGTERM), process.said()
        assert seconds <= LIMIT and not job.out.exists()
        return seconds, process.status

    worst = max(seconds for seconds, _ in workers.map(tell, delays))
    figure("SIGTERM to exit, s", f"starting and importing, worst of {len(delays)} moments", worst)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_told_to_go_while_waiting_for_another_process(
    number: signal.Signals, toys: Toys, tmp_path: Path, figure: Callable[[str, str, Any], None]
) -> None:
    job = toys.job("training", tmp_path / "r", steps=MANY)
    first = Process(job, "dac.training.console:Console.step")
    first.wait_until(first.announced.exists)
    second = Process(job)
    second.wait_until(lambda: "waiting for another process" in second.said())
    assert f"process {first.pid} " in second.said()
    seconds = second.tell(number)
    assert second.status == 128 + number and seconds <= LIMIT
    figure("SIGTERM to exit, s", f"waiting for another process ({number.name})", seconds)
    seconds = first.tell(number)
    assert first.status == 128 + number and seconds <= LIMIT
    figure("SIGTERM to exit, s", f"training meanwhile ({number.name})", seconds)


def test_of_two_processes_of_one_job_the_second_takes_the_result(
    toys: Toys, servers: Servers, tmp_path: Path, figure: Callable[[str, str, Any], None]
) -> None:
    whole, job = (toys.job("training", tmp_path / name, steps=1500) for name in ("whole", "r"))
    first = Process(job, "dac.training.console:Console.step")
    first.wait_until(first.announced.exists)
    second = Process(job)
    second.wait_until(lambda: "waiting for another process" in second.said())
    assert (first.wait(), second.wait()) == (0, 0), first.said() + second.said()
    assert "finished before; its result is taken from" in second.said()
    assert "step" not in second.said()
    with servers.one() as server:
        assert server.attempt(whole).status == 0
    assert job.is_whole() and job.result() == whole.result() and job.leftovers() == []
    figure("two processes, one job", "trainings", 1)
