"""`make bench`: the native kernels against plain torch.

One process, the bodies in turns, medians; see docs/benchmarks.md for what is compared and what the
figures mean. Writes results/bench.json and prints a table.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bench import memory
from bench.cases import CASES, SIZES, Case, Setting
from bench.timing import Times, interleave
from dac.storage.artifacts import write_json

OUT = Path("results/bench.json")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15, help="turns of each body")
    parser.add_argument("--turn", type=float, default=0.05, help="seconds of a turn, about")
    parser.add_argument("--only", nargs="+", choices=CASES, metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    print(f"{_machine()}, {options.threads} threads, {options.rounds} rounds, medians", flush=True)
    print(_HEAD, flush=True)
    entries = []
    with _threads(options.threads):
        setting = Setting(SIZES)
        for name in options.only or CASES:
            case = CASES[name](setting)
            found = time_case(
                case, rounds=options.rounds, threads=options.threads, turn_seconds=options.turn
            )
            print(*map(_line, found), sep="\n", flush=True)
            entries += found
            # A case's models and their optimisers' states hang in cycles of closures.
            del case
            gc.collect()
    _write(options.out, entries)
    if not options.only:
        found = memory.measure_both(options.threads)
        print(*map(memory.line, found), sep="\n")
        _write(options.out.with_name("bench_memory.json"), found)


def _write(path: Path, data: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, data)
    print(f"Written: {path}")


def time_case(
    case: Case, *, rounds: int, threads: int, warmup: int = 2, turn_seconds: float = 0.05
) -> list[dict[str, Any]]:
    """A case's comparisons, as they go into the JSON file.

    Returns:
        One for each body but native; above a ratio of 1 native is faster.
    """
    with _threads(threads):
        times = interleave(case.bodies, rounds=rounds, warmup=warmup, turn_seconds=turn_seconds)
    ours = times.pop("native")
    return [_entry(case, against, ours, theirs, threads) for against, theirs in times.items()]


def _entry(case: Case, against: str, ours: Times, theirs: Times, threads: int) -> dict[str, Any]:
    entry = {
        "name": case.name,
        "against": against,
        "ratio": theirs.median / ours.median,
        "median_ms": 1e3 * ours.median,
        "against_median_ms": 1e3 * theirs.median,
        "cpu_ratio": theirs.cpu_median / ours.cpu_median,
        "cpu_ms": 1e3 * ours.cpu_median,
        "against_cpu_ms": 1e3 * theirs.cpu_median,
        "threads": threads,
        "rounds": len(ours.wall),
        "device": _machine(),
    }
    if case.rays is not None:
        entry["rays_per_second"] = case.rays / ours.median
        entry["against_rays_per_second"] = case.rays / theirs.median
    return entry


_HEAD = (
    f"{'':24}{'against':20}{'ratio':>7}{'native':>11}{'against':>11}{'CPU ratio':>11}{'rays/s':>11}"
)


def _line(entry: dict[str, Any]) -> str:
    rays = f"{entry['rays_per_second']:11,.0f}" if "rays_per_second" in entry else ""
    return (
        f"{entry['name']:24}{entry['against']:20}{entry['ratio']:6.2f}x"
        f"{entry['median_ms']:8.2f} ms{entry['against_median_ms']:8.2f} ms"
        f"{entry['cpu_ratio']:10.2f}x{rays}"
    )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _machine() -> str:
    return f"cpu ({platform.machine()}, {os.cpu_count()} processors, torch {torch.__version__})"


if __name__ == "__main__":
    main()
