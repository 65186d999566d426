"""The peak memory of a training job, and what it consists of.

    python -m bench.memory

The job is a baseline on the benchmark's scene, in a process of its own, through the function that
the workflow calls. Its peak is the kernel's account of it (VmHWM; ru_maxrss would start from the
peak of the process that started this one), shared libraries and mapped pictures included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from dac.settings import ModelSettings, TrainSettings

_MB = 2**20
_STEPS = 20


def measure(
    scene: Path, model: ModelSettings, rays: int, *, backend: str, threads: int
) -> dict[str, Any]:
    """Train a little in a new process.

    Args:
        scene: a scene's folder.

    Returns:
        In MB: `peak`; `imports`, resident when everything was imported and nothing done; `images`,
        `parameters` and `optimiser` (Adam's two moments), by their sizes; `beyond`, the peak less
        images and parameters. `share`, what was taken beyond the imports by the sizes of images,
        parameters, gradient (one) and moments.
    """
    job = {"scene": str(scene), "model": model.model_dump(mode="json"), "rays": rays}
    done = subprocess.run(
        [sys.executable, "-m", "bench.memory", "--job", json.dumps(job)],
        env=os.environ | {"DAC_BACKEND": backend, "OMP_NUM_THREADS": str(threads)},
        cwd=Path(__file__).parents[1],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return {"backend": backend, "threads": threads, "rays": rays, **found}


def line(found: dict[str, Any]) -> str:
    """One line for people."""
    return (
        f"peak memory of a training job, {found['backend']}: {found['peak']:.0f} MB, "
        f"of which images {found['images']:.0f}, parameters {found['parameters']:.0f}; "
        f"beyond these {found['beyond']:.0f} "
        f"(imports {found['imports']:.0f}, Adam's moments {found['optimiser']:.0f}); "
        f"without the imports {found['share']:.2f} times images and all of the model"
    )


def _job(job: dict[str, Any]) -> dict[str, float]:
    """What the new process does."""
    from dac.fields.model import load_model
    from dac.scenes.scene import Scene
    from dac.training.baseline import train_baseline

    imports = _status("VmRSS")
    settings = TrainSettings(rays=job["rays"], curve_points=2)
    model = ModelSettings.model_validate_json(json.dumps(job["model"]))
    scene = Path(job["scene"])
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "run"
        train_baseline(
            scene, model, settings, steps=_STEPS, seed=0, out=out, state=Path(name) / "state"
        )
        peak = _status("VmHWM")  # what follows may exceed it no more
        parameters = sum(4 * p.numel() for p in load_model(out).parameters())
    images = Scene.load(scene).images.nbytes
    sizes = {
        "peak": peak,
        "imports": imports,
        "images": images,
        "parameters": parameters,
        "optimiser": 2 * parameters,
        "beyond": peak - images - parameters,
    }
    share = (peak - imports) / (images + 4 * parameters)
    return {**{name: size / _MB for name, size in sizes.items()}, "share": share}


def _status(field: str) -> int:
    """Bytes that Linux gives of this process."""
    for text in Path("/proc/self/status").read_text().splitlines():
        name, _, value = text.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.job:
        print(json.dumps(_job(json.loads(options.job))))
        return
    for found in measure_both(options.threads):
        print(line(found))


def measure_both(threads: int) -> list[dict[str, Any]]:
    """A job of either backend, at the benchmark's sizes."""
    # Not at the top: a job's own process is to import no more than a job does.
    from bench.cases import SIZES
    from bench.scene import make_scene

    with tempfile.TemporaryDirectory() as name:
        scene = Path(name) / "scene"
        make_scene(SIZES.views, SIZES.view).save(scene)
        return [
            measure(scene, SIZES.model, SIZES.rays, backend=backend, threads=threads)
            for backend in ("native", "reference")
        ]


if __name__ == "__main__":
    main()
