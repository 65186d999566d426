"""What training a scene takes of the host's memory, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy

from dac.fields.model import build_model
from dac.settings import ModelSettings

ROOT = Path(__file__).parents[2]
SIDE, VIEWS = 1000, 90

# A run on the standard model that goes back to its saved state once, as it does from a bad step.
JOB = """
import json, sys
from dataclasses import replace
from pathlib import Path

from bench.memory import _status
from dac.ops.backend import backend
from dac.settings import ModelSettings, TrainSettings
from dac.training import images
from dac.training.baseline import train_baseline
from dac.training.batches import RayBatches

class Spoilt(RayBatches):
    spoilt = False
    def __call__(self, step):
        batch = super().__call__(step)
        if step != 3 or Spoilt.spoilt:
            return batch
        Spoilt.spoilt = True
        return replace(batch, rgb=batch.rgb * float("nan"))

images.RayBatches = Spoilt
backend()
imports = _status("VmRSS")
folder = Path(sys.argv[1])
train_baseline(
    folder / "scene", ModelSettings(), TrainSettings(curve_points=1, checkpoint_seconds=1e-9),
    steps=4, seed=0, out=folder / "out", state=folder / "state",
)
print(json.dumps({"imports": imports, "peak": _status("VmHWM"), "spoilt": Spoilt.spoilt}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_is_the_images_and_the_model(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 4), dtype=np.uint8)
    scene = replace(
        toy.scene(size=2),
        names=tuple(f"view{view}" for view in range(VIEWS)),
        cameras=toy.cameras(VIEWS, SIDE),
        images=np.broadcast_to(noise, (VIEWS, SIDE, SIDE, 4)),
        train=tuple(range(1, VIEWS)),
        test=(0,),
    )
    scene.save(tmp_path / "scene")
    images = (tmp_path / "scene" / "images.npy").stat().st_size
    model = build_model(ModelSettings(), scene.space, 0)
    parameters = sum(4 * parameter.numel() for parameter in model.parameters())
    # One thread: each has a gradient of its own.
    done = subprocess.run(
        [sys.executable, "-c", JOB, str(tmp_path)],
        env=os.environ | {"DAC_BACKEND": "native", "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found = json.loads(done.stdout)
    assert found["spoilt"]
    assert found["peak"] - found["imports"] < 1.2 * (images + 4 * parameters)
