"""How long a step takes at the sizes of a configuration: what `snakemake -n` sums up to hours.

    python -m bench.step_times config/paper/blender.yaml config/paper/tanks_and_temples.yaml

Times the native kernels on one core of this machine's CPU, for every model and number of rays in
the configurations (each on top of config/config.yaml), and writes docs/results/step_times.json.
Entries of other devices and sizes stay there. What counts is CPU time, so that other work on the
machine matters little.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from bench.cases import CASES, SIZES, Setting, Sizes
from bench.timing import interleave
from dac.configuration import merge, parse, resolve
from dac.settings import ModelSettings
from dac.storage.artifacts import write_json
from dac.storage.yaml_files import read_yaml
from dac.workflow.plan import StepTimes, read_step_times

OUT = Path("docs/results/step_times.json")
_EVERY = 5  # in most of a training, proposals learn every fifth step


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.step_times", description=__doc__)
    parser.add_argument("configurations", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    device = f"one core of a CPU ({platform.machine()})"
    found = [measure(sizes, device, options.rounds) for sizes in sizes_of(options.configurations)]
    old = read_step_times(options.out) if options.out.exists() else []
    fresh = {_key(entry) for entry in found}
    entries = [entry for entry in old if _key(entry) not in fresh] + found
    write_json(options.out, [asdict(entry) for entry in entries])
    print(f"Written: {options.out}")


def sizes_of(configurations: Sequence[Path]) -> list[Sizes]:
    """The distinct sizes of the configurations' scenes."""
    base = read_yaml(Path("config/config.yaml"))
    sizes: dict[tuple[str, int], Sizes] = {}
    for path in configurations:
        settings = parse(merge(base, read_yaml(path)), str(path))
        for entry in settings.scenes:
            scene = resolve(settings, entry.name)
            model = scene.model.model_copy(update={"name": ModelSettings().name})
            key = (model.model_dump_json(), scene.train.rays)
            sizes[key] = replace(SIZES, model=model, rays=scene.train.rays, trained=2)
    return list(sizes.values())


def measure(sizes: Sizes, device: str, rounds: int) -> StepTimes:
    """Time one size: medians of interleaved rounds."""
    setting = Setting(sizes)
    names = ("train_step", "train_step_no_proposal", "distill_step")
    bodies = {name: CASES[name](setting).bodies["native"] for name in names}
    times = interleave(bodies, rounds=rounds, warmup=1)
    learn, rest, distillation = (times[name].cpu_median for name in names)
    training = (learn + (_EVERY - 1) * rest) / _EVERY
    print(
        f"{device}: {sizes.rays} rays, {1e3 * training:.1f} ms a training step, "
        f"{1e3 * distillation:.1f} ms a distillation step",
        flush=True,
    )
    model = sizes.model.model_dump(mode="json", exclude={"name"})
    return StepTimes(device, model, sizes.rays, training, distillation)


def _key(entry: StepTimes) -> tuple[Any, ...]:
    return entry.device, repr(sorted(entry.model.items())), entry.rays


if __name__ == "__main__":
    main()
