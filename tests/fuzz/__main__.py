"""Hostile data sets and configurations, many of them: `make fuzz`.

    python tests/fuzz [--cases 2000] [--first 0] [--kind model] [--case 17] [--workers 2]

Each number is a case, the same in every run. Allowed are success and one line that names the file
or the key and what to do. Any other exception, a hang, a signal, a memory blow-up, or a file opened
outside of the data folder is a finding: it is printed with the command that repeats it, its folder
is kept under results/fuzz/, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("MALLOC_ARENA_MAX", "2")

from bases import KINDS
from cases import kind_of
from pool import Result, run_cases

KEPT = Path("results/fuzz")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one's number")
    parser.add_argument("--kind", choices=KINDS, action="append", help="cases of this kind alone")
    parser.add_argument("--case", type=int, help="this one alone, with all that it says")
    parser.add_argument("--seconds", type=float, default=20.0, help="that a case may take")
    parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 8))
    chosen = parser.parse_args()
    kinds = chosen.kind or KINDS
    wanted = (number for number in itertools.count(chosen.first) if kind_of(number) in kinds)
    numbers = list(itertools.islice(wanted, chosen.cases))
    if chosen.case is not None:
        numbers = [chosen.case]
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dac-fuzz-") as scratch:
        results = run_cases(numbers, Path(scratch), KEPT.absolute(), chosen.workers, chosen.seconds)
        findings = [_told(result, chosen.case is not None) for result in results]
    outcomes = Counter(name for name, _ in findings)
    found = Counter(finding for _, finding in findings if finding)
    counted = ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items()))
    print(f"{len(findings)} cases in {time.monotonic() - start:.0f} s: {counted}.")
    for finding, count in found.most_common():
        print(f"  {count} x {finding}")
    print(f"{sum(found.values())} findings.")
    return 1 if found else 0


def _told(result: Result, all_of_it: bool) -> tuple[str, str | None]:
    verdict = result.verdict
    if verdict.finding or all_of_it:
        print(f"case {result.number} ({verdict.kind}): {verdict.finding or verdict.outcome}")
        for change in verdict.changes:
            print(f"    {change!a}")
        print("    " + "\n    ".join(ascii(line) for line in verdict.said.splitlines()[-16:]))
    if verdict.finding:
        print(f"    repeat: .venv/bin/python tests/fuzz --case {result.number}")
        print(f"    kept:   {KEPT}/{result.number}", flush=True)
    return "found" if verdict.finding else verdict.outcome, verdict.finding


if __name__ == "__main__":
    sys.exit(main())
