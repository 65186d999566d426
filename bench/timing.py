"""Interleaved timing of several bodies in one process.

A machine's speed drifts, with its temperature and with what else runs on it. So the bodies take
turns, A B C A B C ..., and a ratio compares medians over the same rounds. A body that is over
quickly runs several times in a turn, as it would in a loop. Process CPU time stands beside wall
time: on a loaded machine it is the steadier of the two.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

Clock = Callable[[], float]


@dataclass(frozen=True)
class Body:
    """Something to be timed.

    Attributes:
        run: one repetition.
        context: entered around each turn, outside the clock.
    """

    run: Callable[[], object]
    context: Callable[[], AbstractContextManager[object]] = nullcontext


@dataclass
class Times:
    """Seconds a repetition, one entry a round: wall and process CPU time."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median wall seconds."""
        return statistics.median(self.wall)

    @property
    def cpu_median(self) -> float:
        """Median CPU seconds, of all threads together."""
        return statistics.median(self.cpu)


def interleave(
    bodies: Mapping[str, Body],
    *,
    rounds: int,
    warmup: int = 2,
    turn_seconds: float = 0.05,
    clock: Clock = time.perf_counter,
    cpu_clock: Clock = time.process_time,
) -> dict[str, Times]:
    """Time bodies in turns.

    Args:
        rounds: turns of each body.
        warmup: untimed repetitions of each body before the first round.
        turn_seconds: a turn repeats its body until about this long has passed.

    Returns:
        The times of each body.
    """
    repeats = {name: _repeats(body, warmup, turn_seconds, clock) for name, body in bodies.items()}
    times = {name: Times() for name in bodies}
    for _ in range(rounds):
        for name, body in bodies.items():
            with body.context():
                wall, cpu = clock(), cpu_clock()
                for _ in range(repeats[name]):
                    body.run()
                times[name].wall.append((clock() - wall) / repeats[name])
                times[name].cpu.append((cpu_clock() - cpu) / repeats[name])
    return times


def _repeats(body: Body, warmup: int, turn_seconds: float, clock: Clock) -> int:
    """Warm up; how many repetitions fill a turn, by the fastest one seen."""
    shortest = turn_seconds
    with body.context():
        for _ in range(max(1, warmup)):
            began = clock()
            body.run()
            shortest = min(shortest, clock() - began)
    return max(1, round(turn_seconds / max(shortest, 1e-9)))
