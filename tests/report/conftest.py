"""Records, renders and curves of a made-up study, written as the stages write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import toy
from matplotlib.figure import Figure

from dac.evaluation.pictures import to_uint8
from dac.evaluation.records import Cost, Evaluation, ImageScore, Label, mean_of
from dac.evaluation.truth import truth_image
from dac.scenes.points import Points

Recorder = Callable[..., Path]


@pytest.fixture
def record(tmp_path: Path) -> Recorder:
    """`record(scene, method, psnr, seed=0, ...)` writes a record and returns its file.

    Each view's PSNR is `psnr` plus its value in `spread`.
    """
    count = iter(range(10_000))

    def write(
        scene: str,
        method: str,
        psnr: float,
        *,
        seed: int = 0,
        ssim: float = 0.9,
        ms_ssim: float | None = 0.95,
        steps: int = 100,
        mode: str | None = None,
        division: str | None = None,
        K: int | None = None,
        model: str = "kplanes",
        distill_steps: int | None = None,
        trunk: int | None = None,
        horizon: int | None = None,
        path_steps: int | None = None,
        model_bytes: int | None = None,
        total_steps: int | None = None,
        seconds: float = 61.4,
        spread: Sequence[float] = (-1, 0, 1),
        groups: Sequence[int] | None = None,
        expert_psnr: Sequence[Sequence[float]] | None = None,
        settings: dict[str, Any] | None = None,
    ) -> Path:
        images = tuple(
            ImageScore(
                f"v{i - 1}",
                psnr + off,
                ssim,
                ms_ssim,
                groups[i] if groups else None,
                tuple(expert_psnr[i]) if expert_psnr else None,
            )
            for i, off in enumerate(spread)
        )
        evaluation = Evaluation(
            scene=scene,
            label=Label(
                *(method, model, seed, steps, division, K, mode, distill_steps, trunk, horizon)
            ),
            mean=mean_of(images),
            images=images,
            test_views=len(images),
            mean_image_psnr=12.5,
            masked=False,
            cost=Cost(*(total_steps or steps * 3, seconds, 30.0, 2.0, 5e4, 2 * 10**9, path_steps)),
            parameters=1000,
            device="cpu",
            versions={},
            git_commit=None,
            inputs={},
            settings=settings or {},
            model_bytes=model_bytes,
        )
        folder = tmp_path / f"record{next(count)}"
        folder.mkdir()
        evaluation.save(folder)
        return folder / "evaluation.json"

    return write


@pytest.fixture
def equal_path_study(record: Recorder) -> Callable[..., list[Path]]:
    """`equal_path_study(scene, seeds=..., routed=32.0, ...)` writes that study's records.

    1x is 100 steps, K = 4 of azimuth, the trunk a quarter; a model has 1,000 bytes for each of the
    baseline's. Values are PSNR, dB, to which a seed adds a hundredth of its number.
    """

    def write(
        scene: str = "zoo",
        *,
        seeds: Sequence[int] = (0, 1),
        model: str = "kplanes",
        mode: str = "corrected",
        **psnr: float,
    ) -> list[Path]:
        value = {"routed": 32.0, "batch": 31.5, "wide": 30.1, "merged": 31.2, "distilled": 30.5}
        value |= {"none": 31.9, "half": 31.6, "two": 31.0, "eight": 33.0, "random": 30.2} | psnr
        files = []

        def add(of: float, method: str, path: int, total: int, size: int, **label: Any) -> None:
            cost = {"path_steps": path, "total_steps": total, "model_bytes": 1000 * size}
            for seed in seeds:
                label |= {"seed": seed, "model": model, "spread": (-1.2, 0.1, 1.0, 0.1)}
                files.append(record(scene, method, of + 0.01 * seed, **cost, **label))

        def routed(of: float, K: int, trunk: int, horizon: int = 100, **label: Any) -> None:
            label = {"division": "azimuth", "trunk": trunk, "horizon": horizon} | label
            total = trunk + K * (horizon - trunk)
            add(of, "routed", horizon, total, K, steps=horizon, K=K, **label)

        for steps, of in {100: 30.0, 200: 31.0, 325: 31.8, 400: 32.0, 650: 32.6}.items():
            add(of, f"baseline-{steps / 100:g}x", steps, steps, 1, steps=steps)
        add(value["batch"], "big_batch", 100, 100, 1, steps=100, K=4)
        add(value["wide"], "wide", 100, 100, 4, steps=100, K=4)
        routed(value["routed"], 4, 25)
        routed(value["routed"] + 0.9, 4, 50, 200)
        routed(value["none"], 4, 0)
        routed(value["half"], 4, 50)
        routed(value["two"], 2, 25)
        routed(value["eight"], 8, 25)
        routed(value["random"], 4, 25, division="random")
        grown = {"division": "azimuth", "K": 4, "trunk": 25, "horizon": 100, "steps": 100}
        add(value["merged"], "merged", 200, 425, 1, **grown)
        student = {"division": "azimuth", "K": 4, "mode": mode, "distill_steps": 10}
        add(value["distilled"], "dac", 210, 510, 1, steps=100, **student)
        return files

    return write


@dataclass(frozen=True)
class Written:
    """A table's files, read again: the CSV's numbers, and the others' text."""

    files: dict[str, Path]
    csv: pd.DataFrame
    md: str
    tex: str
    html: str

    @property
    def rows(self) -> list[str]:
        """Of the Markdown, below the head."""
        return self.md.split("\n\n")[0].splitlines()[2:]


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Written]:
    """`written(module, records, study, **settings)` has a module of `dac.report.tables` write."""

    def write(module: Any, records: Sequence[Path], study: str = "", **settings: Any) -> Written:
        files = {kind: tmp_path / f"table.{kind}" for kind in ("csv", "md", "tex", "html")}
        module.write(records, files, {"paper_values": False} | settings, study)
        texts = {kind: files[kind].read_text("utf-8") for kind in ("md", "tex", "html")}
        names = dict.fromkeys(("scene", "name", "model", "mode", "division"), str)
        table = pd.read_csv(files["csv"], dtype=names, keep_default_na=False, na_values=[""])
        return Written(files, table, **texts)

    return write


@pytest.fixture
def drawn(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """`drawn(module, called=..., settings=..., **inputs)` has a figure's module draw.

    With `twice` it draws again and compares the bytes.
    """

    def draw(
        module: Any,
        *,
        called: str = "zoo",
        mode: str = "paper",
        settings: dict[str, Any] | None = None,
        twice: bool = False,
        **inputs: list[Path],
    ) -> dict[str, Path]:
        kinds = ("png", "pdf", *(["csv"] if module.__name__.endswith("convergence_study") else []))
        files: dict[str, Path] = {}
        # A rule has these two besides, which no figure reads.
        inputs |= {"settings": [tmp_path / "settings.json"], "caption": [tmp_path / "caption.rst"]}
        for name in ("again", "figure") if twice else ("figure",):
            files = {kind: tmp_path / f"{name}.{kind}" for kind in kinds}
            module.draw(inputs, files, settings or {}, {"scene": called, "mode": mode})
        if twice:
            for kind in kinds:
                assert files[kind].read_bytes() == (tmp_path / f"again.{kind}").read_bytes()
            assert files["pdf"].read_bytes().startswith(b"%PDF")
        return files

    return draw


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are written from now on, to look into."""
    kept: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: Any, **kwargs: Any) -> None:
        kept.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    return kept


@pytest.fixture
def curves(tmp_path: Path) -> dict[str, list[Path]]:
    """Each run's curve, as figures take them; an interlevel term comes late, as in training."""

    def run(name: str, steps: int, terms: tuple[str, ...]) -> Path:
        at = [steps // 4 * i for i in range(1, 5)]
        losses = {term: [0.1 / (i + 1) / (k + 1) for k in range(4)] for i, term in enumerate(terms)}
        losses["interlevel"] = [None, 0.0, 1e-3, 1e-3]
        curve = {
            "steps": at,
            "psnr": [15.0, 18.0, 20.0, 21.0],
            "losses": losses,
            "seconds": [step / 10 for step in at],
            "lr": [1e-2] * 4,
        }
        (tmp_path / name).mkdir()
        (tmp_path / name / "curve.json").write_text(json.dumps(curve))
        return tmp_path / name / "curve.json"

    photo = ("photometric", "plane_tv")
    return {
        "baseline_1x": [run("baseline-100", 100, photo)],
        "baseline_2x": [run("baseline-200", 200, photo)],
        "experts": [run(f"expert{i}", 100 + 20 * i, photo) for i in range(3)],
        "distill": [run("distill", 80, ("colour", "alpha"))],
        "finetune": [run("finetune", 60, photo)],
    }


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder with `scene`, its `points.npz`, and the evaluations `reference`, `ours`, `experts`.

    Each evaluation's renders are the truth, off by a constant: 0.2, but 0.1 in the left half for
    ours; the depth is 3.3 everywhere, just behind the sphere's near side, on
    which the points are.
    """
    scene = toy.scene()
    scene.save(tmp_path / "scene")
    xyz = np.random.default_rng(0).normal(size=(300, 3))
    Points(
        xyz=(0.8 * xyz / np.linalg.norm(xyz, axis=1, keepdims=True)).astype(np.float32),
        rgb=np.zeros((300, 3), np.uint8),
        offsets=np.zeros(301, np.int64),
        views=np.zeros(0, np.int32),
        error=np.zeros(300, np.float32),
    ).save(tmp_path / "points.npz")
    truths = np.stack([truth_image(scene, view).numpy() for view in scene.test])
    for name, method in (("reference", "baseline-2x"), ("ours", "dac"), ("experts", "experts")):
        off = np.full(truths.shape, 0.2)
        if name != "reference":
            off[:, :, :12] = 0.1
        renders = np.where(truths > 0.5, truths - off, truths + off)
        images = []
        for i, view in enumerate(scene.test):
            mse = float((off[i] ** 2).mean())
            psnr = -10 * np.log10(mse) + 0.01 * i
            routed = (i % 2, (psnr, psnr - 3.0)) if name == "experts" else (None, None)
            images.append(ImageScore(scene.names[view], float(psnr), 0.9, None, *routed))
        folder = tmp_path / name
        folder.mkdir()
        np.save(folder / "renders.npy", np.stack([to_uint8(_tensor(r)) for r in renders]))
        np.save(folder / "depth.npy", np.full(renders.shape[:3], 3.3, np.float16))
        Evaluation(
            scene=scene.name,
            label=Label(method, "kplanes", 0, 100),
            mean=mean_of(images),
            images=tuple(images),
            test_views=4,
            mean_image_psnr=12.5,
            masked=False,
            cost=Cost(100, 1.0, 1.0, 1.0, 1.0, 1),
            parameters=1,
            device="cpu",
            versions={},
            git_commit=None,
            inputs={},
            settings={},
        ).save(folder)
    return tmp_path


def _tensor(array: np.ndarray) -> object:
    import torch

    return torch.from_numpy(array)
