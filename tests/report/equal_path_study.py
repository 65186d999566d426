"""The records of a made-up study `equal_path`: 1x is 100 steps, K = 4, a trunk of a quarter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Recorder = Callable[..., Path]
ROUTED = {"zoo": ["azimuth", 4, 0.25]}
SIZE = 1000
# What the baseline reaches after so many steps, dB.
BASELINE = {100: 30.0, 200: 31.0, 325: 31.8, 400: 32.0, 650: 32.6}
SPREAD = (-1.2, 0.1, 1.0, 0.1)


def study(
    record: Recorder, scene: str = "zoo", seeds: Sequence[int] = (0, 1), **changes: float
) -> list[Path]:
    """Its records; the routed model gains 2 dB at path 1x, 1.9 dB at 2x."""
    psnr = {"routed": 32.0, "batch": 31.5, "wide": 30.1, "merged": 31.2, "distilled": 30.5}
    psnr |= {"none": 31.9, "half": 31.6, "two": 31.0, "eight": 33.0, "random": 30.2} | changes
    files: list[Path] = []

    def add(method: str, value: float, path: int, total: int, size: int = 1, **label: Any) -> None:
        for seed in seeds:
            cost = {"path_steps": path, "total_steps": total, "model_bytes": size * SIZE}
            jitter = 0.01 * seed * len(files)
            files.append(
                record(scene, method, value + jitter, seed=seed, spread=SPREAD, **cost, **label)
            )

    def routed(value: float, K: int, trunk: int, horizon: int = 100, **label: Any) -> None:
        divided = {"division": "azimuth", "K": K, "trunk": trunk, "horizon": horizon}
        total = trunk + K * (horizon - trunk)
        add("routed", value, horizon, total, K, steps=horizon, **(divided | label))

    for steps, value in BASELINE.items():
        add(f"baseline-{steps / 100:g}x", value, steps, steps, steps=steps)
    add("big_batch", psnr["batch"], 100, 100, steps=100, K=4)
    add("wide", psnr["wide"], 100, 100, 4, steps=100, K=4)
    routed(psnr["routed"], 4, 25)
    routed(psnr["routed"] + 0.9, 4, 50, 200)
    routed(psnr["none"], 4, 0)
    routed(psnr["half"], 4, 50)
    routed(psnr["two"], 2, 25)
    routed(psnr["eight"], 8, 25)
    routed(psnr["random"], 4, 25, division="random")
    divided = {"division": "azimuth", "K": 4}
    merged = {**divided, "trunk": 25, "horizon": 100}
    add("merged", psnr["merged"], 200, 425, steps=100, **merged)
    student = {**divided, "mode": "corrected", "distill_steps": 10}
    add("dac", psnr["distilled"], 210, 510, steps=100, **student)
    return files
