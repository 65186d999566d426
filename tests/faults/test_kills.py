"""Trainings killed at random moments, again and again: nothing is lost, and the bits are the same.

Half of the kills strike at a random time, half at a random change of the files of a state. Each of
both is SIGKILL or SIGTERM. What a run does follows from its seed:

    make test-faults ONLY=distillation:17    repeats one run
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from attempts import Answer, Server, Servers
from safetensors.torch import load_file
from toy_jobs import TRAININGS, ToyJob, Toys

from dac.storage.states import unseal

STEPS = 120
INTERVAL = 0.1  # seconds between two states
# Between the clock that the loop reads and the moment that the trace tells, others may run.
UNFAIR = 0.5
MOST_KILLS = 6  # of one run


@dataclass
class Loss:
    """What the kills of some runs cost.

    Attributes:
        kills: by SIGKILL, by SIGTERM.
        in_save: how many came while a state was being saved.
        seconds: worst work lost: from the newest whole state to the last step done.
        since_state: worst time from the newest whole state to the kill, saving included.
        answer: worst time from SIGTERM to the process's end.
    """

    kills: tuple[int, int] = (0, 0)
    in_save: int = 0
    seconds: float = 0.0
    since_state: float = 0.0
    answer: float = 0.0

    def plus(self, other: Loss) -> Loss:
        return Loss(
            (self.kills[0] + other.kills[0], self.kills[1] + other.kills[1]),
            self.in_save + other.in_save,
            max(self.seconds, other.seconds),
            max(self.since_state, other.since_state),
            max(self.answer, other.answer),
        )


@pytest.mark.parametrize("kind", TRAININGS)
def test_killed_at_random(
    kind: str,
    toys: Toys,
    servers: Servers,
    workers: ThreadPoolExecutor,
    tmp_path: Path,
    figure: Callable[[str, str, Any], None],
    long: bool,
) -> None:
    wanted = -(-(1000 if long else 200) // len(TRAININGS))
    with servers.one() as server:
        whole = toys.job(kind, tmp_path / "whole", steps=STEPS, checkpoint_seconds=INTERVAL)
        uninterrupted = server.attempt(whole, fault={"effect": "none", "nth": 0})
    assert uninterrupted.status == 0 and whole.is_whole(), uninterrupted.said

    def run(seed: int) -> Loss:
        job = toys.job(kind, tmp_path / str(seed), steps=STEPS, checkpoint_seconds=INTERVAL)
        with servers.one() as server:
            try:
                return killed_run(server, job, whole, uninterrupted, random.Random(seed))
            except AssertionError as error:
                hint = f"repeat it: make test-faults ONLY={kind}:{seed}\n"
                raise AssertionError(hint + str(error)) from error

    only = os.environ.get("ONLY", "")
    if only:
        of_kind, seed = only.split(":")
        if of_kind == kind:
            run(int(seed))
        return
    total, runs = Loss(), 0
    while sum(total.kills) < wanted:
        seeds = range(runs, runs + 4)
        for loss in workers.map(run, seeds):
            total = total.plus(loss)
        runs += len(seeds)
    figure(f"killed {kind}", "runs", runs)
    figure(f"killed {kind}", "SIGKILL + SIGTERM", "{} + {}".format(*total.kills))
    figure(f"killed {kind}", "of them while saving", total.in_save)
    figure(f"killed {kind}", "states that can't be read, runs lost", "0, 0")
    figure(f"killed {kind}", "worst loss of work, s (interval 0.1)", total.seconds)
    figure(f"killed {kind}", "worst time since the last state, saving too, s", total.since_state)
    figure(f"killed {kind}", "worst SIGTERM to exit, s", total.answer)


def killed_run(
    server: Server, job: ToyJob, whole: ToyJob, uninterrupted: Answer, chance: random.Random
) -> Loss:
    """Kill a run some times, let it end, compare."""
    lasts = uninterrupted.ended - uninterrupted.began
    changes = [n for n, change in enumerate(uninterrupted.changes, 1) if " state/" in change]
    total, newest = Loss(), 0
    for _ in range(chance.randint(1, MOST_KILLS)):
        number = chance.choice((signal.SIGKILL, signal.SIGTERM))
        if chance.random() < 0.5:
            answer = server.attempt(job, kill=(chance.uniform(0, 1.05 * lasts), number))
        else:
            effect = "kill" if number == signal.SIGKILL else "term"
            answer = server.attempt(job, fault={"effect": effect, "nth": chance.choice(changes)})
        assert answer.status in (0, -signal.SIGKILL, -signal.SIGTERM, 143), answer.said
        resumed = newest
        check_resumed(answer, resumed)
        newest = newest_state(job)
        if answer.status != 0:
            finished = (job.state / "finished").exists()
            total = total.plus(loss_of(answer, STEPS if finished else newest, resumed))
        elif job.is_whole():
            break
    last = server.attempt(job)
    assert last.status == 0, last.said
    check_resumed(last, newest)
    assert job.is_whole() and job.result() == whole.result()
    assert job.leftovers() == []
    assert [path.name for path in job.state.iterdir()] == ["finished"]
    return total


def newest_state(job: ToyJob) -> int:
    """Steps of the newest state; all that bear a state's name are whole."""
    states = sorted(job.state.glob("step-*"))
    for state in states:
        about = unseal(state)  # DamagedError: a half-written state got its name
        assert about["step"] == int(state.name.removeprefix("step-"))
        assert load_file(state / "tensors.safetensors")
    return unseal(states[-1])["step"] if states else 0


def check_resumed(answer: Answer, newest: int) -> None:
    """An attempt goes on from the newest state."""
    steps = [step for what, step, _ in answer.trace if what == "step"]
    if steps:
        assert steps[0] == newest + 1, f"went on at {steps[0]}, the newest state was {newest}"


def loss_of(answer: Answer, newest: int, resumed: int) -> Loss:
    """What one kill cost; a finished result counts as a state of all steps."""
    steps = [(step, when) for what, step, when in answer.trace if what == "step"]
    last = steps[-1][0] if steps else resumed
    saving = [what for what, _, _ in answer.trace if what in ("saving", "saved")]
    told = answer.status in (143, -signal.SIGTERM)
    loss = Loss((0, 1) if told else (1, 0), in_save=int(saving[-1:] == ["saving"]))
    if told and answer.killed is not None:
        loss.answer = answer.ended - answer.killed
    if told:
        assert newest >= min(last, STEPS - 1), f"SIGTERM in step {last + 1}, saved {newest}"
        return loss
    kept = [when for what, step, when in answer.trace if step == newest and what != "saving"]
    if not kept:
        return loss  # killed before it had loaded or saved anything
    lost = [when for step, when in steps if step > newest]
    loss.since_state = (answer.killed or answer.ended) - kept[-1]
    if lost:
        loss.seconds = lost[-1] - kept[-1]
    # When the last step but one was done, it was not yet time for a state.
    before = lost[-2] - kept[-1] if len(lost) > 1 else 0.0
    assert before <= INTERVAL + UNFAIR, f"{before:.2f} s of work lost"
    return loss
