"""What the paper prints in its Tables 1 to 4, beside which ours can be put.

The values are as printed, slips included: `SLIPS` says which two can't be right. All are of one
training each; the paper's budgets are 30k steps for a baseline and an expert, 60k for the 2x
baseline, 30k of distillation and 30k of fine-tuning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dac.settings import CONTROLS

AVERAGE = "average"
BASELINE_1X, BASELINE_2X, DAC = "baseline-1x", "baseline-2x", "dac"


class Scores(NamedTuple):
    """PSNR (dB), SSIM and MS-SSIM."""

    psnr: float
    ssim: float
    ms_ssim: float


def _three(*values: float) -> dict[str, Scores]:
    """The scores of the 1x baseline, the 2x baseline and DaC."""
    methods = (BASELINE_1X, BASELINE_2X, DAC)
    return {method: Scores(*values[3 * i : 3 * i + 3]) for i, method in enumerate(methods)}


# Tables 1 and 2: scene -> method.
MAIN = {
    "chair": _three(35.05, 0.982, 0.996, 35.54, 0.983, 0.996, 35.60, 0.984, 0.996),
    "ficus": _three(32.02, 0.979, 0.992, 32.65, 0.982, 0.993, 32.83, 0.983, 0.993),
    "materials": _three(31.95, 0.966, 0.986, 32.32, 0.968, 0.990, 32.47, 0.969, 0.991),
    "hotdog": _three(37.67, 0.982, 0.993, 38.01, 0.983, 0.994, 38.08, 0.983, 0.994),
    "ship": _three(30.72, 0.888, 0.948, 31.17, 0.894, 0.952, 31.29, 0.896, 0.954),
    "truck": _three(21.64, 0.663, 0.803, 21.77, 0.672, 0.811, 22.01, 0.702, 0.851),
    "playground": _three(21.15, 0.669, 0.823, 21.30, 0.677, 0.830, 21.42, 0.678, 0.830),
    "train": _three(17.05, 0.574, 0.754, 17.23, 0.586, 0.766, 17.66, 0.596, 0.773),
    "m60": _three(18.43, 0.665, 0.741, 18.59, 0.872, 0.749, 19.14, 0.686, 0.772),
}

SYNTHETIC = ("chair", "ficus", "hotdog", "materials", "ship")


def _row(*values: float) -> dict[str, float]:
    return dict(zip((*SYNTHETIC, AVERAGE), values, strict=True))


# Table 3: K -> scene -> PSNR, dB.
PARTITIONS = {
    2: _row(35.52, 32.80, 38.01, 32.43, 31.21, 33.39),
    3: _row(35.61, 32.83, 38.00, 32.51, 31.22, 34.03),
    4: _row(35.60, 32.83, 38.08, 32.47, 31.29, 34.05),
    5: _row(35.61, 32.82, 38.04, 32.52, 31.24, 34.05),
}

# Table 4: thousands of steps of distillation, of 60 -> scene -> PSNR, dB.
SCHEDULE = {
    10: _row(35.63, 32.76, 36.10, 32.52, 30.44, 33.49),
    20: _row(35.63, 32.80, 38.00, 32.56, 31.14, 34.03),
    30: _row(35.60, 32.83, 38.08, 32.47, 31.29, 34.05),
    40: _row(35.43, 32.60, 37.87, 32.18, 31.10, 33.83),
    50: _row(35.01, 31.70, 37.16, 31.42, 30.52, 33.16),
}

# What the paper prints that can't be right: where -> a sentence.
SLIPS = {
    "m60": "The paper's SSIM of KPlanes (60k) on M60, printed 0.872, is very likely 0.672.",
    "partitions": "The paper's average for K = 2, printed 33.39, is 33.99 by its own values.",
}


def main_scores(scene: str, method: str, division: str | None = None) -> Scores | None:
    """The paper's scores of a method; None where it has none.

    Scenes are told by their names, in any case. The paper has no control divisions.
    """
    if division in CONTROLS:
        return None
    return MAIN.get(scene.lower(), {}).get(method)


def ablation_psnr(study: str, setting: Sequence[int | str | None], scene: str) -> float | None:
    """The paper's PSNR, dB, in Table 3 or 4; None where it has none.

    Args:
        study: `partitions` or `schedule`.
        setting: (K,), or the steps of distillation and fine-tuning, of which the shares count.
        scene: a scene, or `AVERAGE`.
    """
    if study == "partitions":
        found = PARTITIONS.get(setting[0]) if isinstance(setting[0], int) else None
    else:
        distill, finetune = setting
        if not isinstance(distill, int) or not isinstance(finetune, int) or distill < 1:
            return None
        thousands = 60 * distill / (distill + finetune)
        found = SCHEDULE.get(int(thousands)) if thousands.is_integer() else None
    return None if found is None else found.get(scene.lower())
