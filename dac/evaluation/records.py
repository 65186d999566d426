"""One record per scored run: `evaluation.json`.

It holds the scores of every view and all that makes them traceable: settings, seed, steps, seconds,
device, versions, the git commit, and the digests of the inputs. Tables and figures read records.
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from dac.errors import UserError
from dac.storage.artifacts import read_json, write_json
from dac.version import __version__

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
RECORD_FILE = "evaluation.json"


@dataclass(frozen=True, config=_STRICT)
class Label:
    """What was scored, as the results' paths say it.

    Attributes:
        method: `baseline-1x`, `baseline-2x` (or as many times an expert's steps as it trained),
            `restart` (the baseline, its learning rate started again), `big_batch` and `wide` (K
            times its rays or its parameters), `trunk`, `experts` (the paper's, each on its own
            views), `distilled`, `dac`, `merged` or `routed`.
        model: the model variant's name.
        seed: of the run.
        steps: of the run itself (of one expert, for `experts` and `routed`).
        division, K: how the views were divided, where they were.
        mode: of the conquer phase, where there was one.
        distill_steps: of the distillation that `dac`, or `merged`, was fine-tuned from.
        trunk: steps that all specialists share, where there are specialists.
        horizon: steps of a specialist, the trunk's included.
    """

    method: str
    model: str
    seed: int
    steps: int
    division: str | None = None
    K: int | None = None
    mode: str | None = None
    distill_steps: int | None = None
    trunk: int | None = None
    horizon: int | None = None

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Label:
        """Check plain data.

        Raises:
            UserError: a key is missing, unknown or of another type.
        """
        try:
            return TypeAdapter(cls).validate_json(json.dumps(data))
        except ValidationError as error:
            raise UserError("label", _first_fault(error), "see dac/evaluation/records.py") from None


@dataclass(frozen=True, config=_STRICT)
class Mean:
    """Means over the scored views; MS-SSIM is None where the images are too small for it."""

    psnr: float
    ssim: float
    ms_ssim: float | None


@dataclass(frozen=True, config=_STRICT)
class ImageScore:
    """One view's scores.

    Attributes:
        name: the view.
        psnr, ssim, ms_ssim: of its render.
        group: the expert that rendered it, where experts were routed.
        expert_psnr: PSNR of every expert on this view, on the pixel grid of `expert_stride`.
    """

    name: str
    psnr: float
    ssim: float
    ms_ssim: float | None
    group: int | None = None
    expert_psnr: tuple[float, ...] | None = None


@dataclass(frozen=True, config=_STRICT)
class Cost:
    """What the run took.

    Attributes:
        training_steps, training_seconds: of this run and of all runs that it builds on: for DaC,
            the experts (one after the other), distillation and fine-tuning.
        longest_path_seconds, longest_path_steps: the same with the experts side by side; older
            records lack the steps.
        rendering_seconds, rays_per_second: of the scored views.
        memory_bytes: the most that one of these runs held: on a GPU what torch had allocated there,
            else the process's resident memory.
    """

    training_steps: int
    training_seconds: float
    longest_path_seconds: float
    rendering_seconds: float
    rays_per_second: float
    memory_bytes: int
    longest_path_steps: int | None = None


@dataclass(frozen=True, config=_STRICT)
class Evaluation:
    """The record of one scored run.

    Attributes:
        scene: the scene's name.
        label: what was scored.
        mean: over `images`.
        images: the scored views, in the scene's order; also the order of `renders.npy`.
        test_views: how many test views the scene has; fewer are scored where the settings say so.
        mean_image_psnr: mean PSNR of the training views' mean image, on the same views.
        masked: whether masks left pixels out.
        cost: steps and seconds.
        parameters: numbers in the model (in all experts together).
        device: that rendered.
        versions: of python, torch, torchmetrics and dac.
        git_commit: of the checkout that ran, `-dirty` if it was changed; None outside one.
        inputs: file -> SHA-256.
        settings: of the evaluation and of the model.
        model_bytes: of the file of weights (of all experts' together); older records lack it.
    """

    scene: str
    label: Label
    mean: Mean
    images: tuple[ImageScore, ...]
    test_views: int
    mean_image_psnr: float
    masked: bool
    cost: Cost
    parameters: int
    device: str
    versions: dict[str, str]
    git_commit: str | None
    inputs: dict[str, str]
    settings: dict[str, Any]
    model_bytes: int | None = None

    def save(self, folder: Path) -> None:
        """Write `folder`/evaluation.json."""
        write_json(folder / RECORD_FILE, asdict(self))

    @classmethod
    def load(cls, path: Path) -> Evaluation:
        """Read a record: the file, or the folder that holds it.

        Raises:
            UserError: it is missing or damaged.
        """
        path = path / RECORD_FILE if path.is_dir() else path
        again = "delete it and run the evaluation again"
        text = json.dumps(read_json(path))
        try:
            record = TypeAdapter(cls).validate_json(text)
        except ValidationError as error:
            raise UserError(path, f"is no record: {_first_fault(error)}", again) from None
        if not record.images:
            raise UserError(path, "scores no view", again)
        return record


def mean_of(images: Sequence[ImageScore]) -> Mean:
    """Means over views; MS-SSIM only if every view has it."""
    count = len(images)
    multi = [image.ms_ssim for image in images if image.ms_ssim is not None]
    return Mean(
        psnr=sum(image.psnr for image in images) / count,
        ssim=sum(image.ssim for image in images) / count,
        ms_ssim=sum(multi) / count if len(multi) == count else None,
    )


def versions() -> dict[str, str]:
    """Versions of what the scores depend on."""
    import torch
    import torchmetrics

    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchmetrics": str(torchmetrics.__version__),
        "dac": __version__,
    }


def git_commit() -> str | None:
    """The commit of the checkout that this file belongs to, `-dirty` if a tracked file differs.

    None where there is no git, no checkout, or this file isn't tracked (an installed package that
    happens to lie in somebody else's repository).
    """
    here = Path(__file__).resolve()
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        for arguments in (["ls-files", "--error-unmatch", here.name], describe):
            result = subprocess.run(
                ["git", "-C", str(here.parent), *arguments],
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None


def _first_fault(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
