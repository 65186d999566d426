"""Test views to compare: truth, a baseline and DaC, chosen by rule.

DaC is the routed model beside the baseline of its path, or else the headline's distilled one beside
the 2x baseline. Ranked by DaC's gain on each view, they are the largest, the smallest and the
quartiles between. Pictures are of the first seed. They are stored
without loss if all of them together keep within `MOST_BYTES`, else ever more coarsely.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dac.errors import UserError
from dac.evaluation.pictures import to_uint8
from dac.evaluation.truth import truth_image
from dac.page.results import SceneResults
from dac.report.renders import Renders, common_views
from dac.report.text import one_line, signed
from dac.scenes.points import Points
from dac.scenes.scene import Scene

Picture = NDArray[np.uint8]

MOST_BYTES = 3_000_000  # of all compared pictures, before base64 adds a third
_LONGEST = (1200, 800, 480)  # pixels
_QUALITIES = (None, 95, 88, 75)  # None: without loss
_COVER, _THUMBNAIL = 720, 112


@dataclass(frozen=True)
class ComparedView:
    """One test view.

    Attributes:
        name: the view's.
        why: its rank.
        pictures: data URIs of truth, baseline and DaC, those that are there.
        labels: of the pictures, with PSNR where there is one.
        thumbnail: data URI.
        gain: DaC over the baseline; empty where one of them is missing.
    """

    name: str
    why: str
    pictures: tuple[str, ...]
    labels: tuple[str, ...]
    thumbnail: str
    gain: str


@dataclass(frozen=True)
class Comparison:
    """The compared views.

    Attributes:
        views: by rank.
        names: of the baseline and of DaC.
        width, height: of the pictures in pixels.
        rule: how the views were chosen, and what was done to the pictures: the caption.
    """

    views: tuple[ComparedView, ...]
    names: tuple[str, str]
    width: int
    height: int
    rule: str


@dataclass(frozen=True)
class Cover:
    """The page's first picture.

    Attributes:
        uri: its data URI.
        name: of its view.
        tall: whether it is taller than wide.
    """

    uri: str
    name: str
    tall: bool


def cover(scene: Scene, points: Points | None) -> Cover:
    """The test view that sees most of the sparse points; without points, the middle one.

    What most points are on is what the views have in common: the scene's matter.
    """
    views = scene.test or scene.train
    view = views[len(views) // 2]
    if points is not None:
        seen = np.bincount(points.views, minlength=len(scene.names))
        view = max(views, key=lambda view: int(seen[view]))
    picture = to_uint8(truth_image(scene, view))
    uri = _uri(_smaller(picture, _COVER), 90)
    return Cover(uri, one_line(scene.names[view]), picture.shape[0] > picture.shape[1])


def comparison(results: SceneResults) -> Comparison | None:
    """The views to compare; None where the baseline or DaC has no pictures.

    Raises:
        UserError: a picture file is damaged.
    """
    ours = results.routed or results.main.dac
    theirs = results.reference(ours)
    if ours is None or theirs is None:
        return None
    seeds = sorted(set(theirs.scores) & set(ours.scores))
    if not seeds:
        return None
    labels = [replace(row.label, seed=seeds[0]) for row in (theirs, ours)]
    folders = [results.evaluations[label] for label in labels]
    if not all((folder / "renders.npy").is_file() for folder in folders):
        return None
    methods = [Renders(folder) for folder in folders]
    chosen = choose(*methods)
    triples = _pictures(results.scene, [name for name, _, _ in chosen], methods)
    encoded, note = _encoded(triples)
    seed = f" (seed {seeds[0]})" if len(ours.runs) > 1 else ""
    length = theirs.label.method.removeprefix("baseline-")
    names = f"baseline {length}", "DaC, routed" if ours is results.routed else "DaC"
    return Comparison(
        views=tuple(
            _view(each, uris, triple, methods, names)
            for each, uris, triple in zip(chosen, encoded, triples, strict=True)
        ),
        names=names,
        width=triples[0][0].shape[1],
        height=triples[0][0].shape[0],
        rule=f"Chosen by rule, not by eye: ranked by DaC’s gain over the {length} baseline on each "
        f"of {len(methods[1].index)} test views{seed}, the largest gain, the quartiles, and the "
        f"smallest. {note}",
    )


def choose(baseline: Renders, ours: Renders) -> list[tuple[str, str, float]]:
    """Views at the quartiles of the gain, from the largest to the smallest.

    Returns:
        For each view its name, its rank in words, and the gain in dB.
    """
    common = common_views([ours, baseline])
    gains = {name: ours.score(name).psnr - baseline.score(name).psnr for name in common}
    ranked = sorted(gains, key=lambda name: -gains[name])
    last = len(ranked) - 1
    words = ("largest gain", "upper quartile", "median", "lower quartile", "smallest gain")
    ranks = {round(i * last / 4): i for i in (2, 1, 3, 4, 0)}  # of few views, the ends stay
    return [
        (ranked[rank], _rank(words[i], gains[ranked[rank]]), gains[ranked[rank]])
        for rank, i in sorted(ranks.items())
    ]


def _rank(word: str, gain: float) -> str:
    """A gain below zero is a loss."""
    if gain >= 0 or "gain" not in word:
        return word
    return "smallest loss" if word.startswith("largest") else "largest loss"


def _pictures(
    scene: Scene, names: Sequence[str], methods: Sequence[Renders]
) -> list[list[Picture]]:
    """Truth, baseline and DaC (H, W, 3) of each view.

    Raises:
        UserError: pictures are damaged, or of another scene.
    """
    size = scene.images.shape[1:3]
    for method in methods:
        expected = (len(method.index), *size, 3)
        if method.images.shape != expected or not set(names) <= set(scene.names):
            what = "holds other pictures than those of the scene's test views"
            raise UserError(method.folder / "renders.npy", what, "run the evaluation again")
    truths = [to_uint8(truth_image(scene, view)) for view in scene.indices(list(names))]
    return [
        [truth, *(method.image(name) for method in methods)]
        for name, truth in zip(names, truths, strict=True)
    ]


def _view(
    chosen: tuple[str, str, float],
    uris: Sequence[str],
    triple: Sequence[Picture],
    methods: Sequence[Renders],
    names: tuple[str, str],
) -> ComparedView:
    view, why, gain = chosen
    scores = zip(names, (method.score(view).psnr for method in methods), strict=True)
    return ComparedView(
        name=one_line(view),
        why=why,
        pictures=tuple(uris),
        labels=("truth", *(f"{name}, {psnr:.2f} dB" for name, psnr in scores)),
        thumbnail=_uri(_smaller(triple[0], _THUMBNAIL), 80),
        gain=f"{signed(gain)} dB",
    )


def _encoded(triples: Sequence[Sequence[Picture]]) -> tuple[list[list[str]], str]:
    """Data URIs of all pictures within the budget, or the coarsest, and a sentence on them."""
    for longest in _LONGEST:
        smaller = [[_smaller(picture, longest) for picture in triple] for triple in triples]
        height, width = smaller[0][0].shape[:2]
        reduced = smaller[0][0].shape != triples[0][0].shape
        for quality in _QUALITIES:
            encoded = [[_uri(picture, quality) for picture in triple] for triple in smaller]
            if sum(len(uri) for triple in encoded for uri in triple) * 3 / 4 <= MOST_BYTES:
                break
        else:
            continue
        break
    size = f"Pictures are {width} x {height} pixels" + (", reduced" if reduced else "")
    stored = "stored without loss" if quality is None else f"stored as WebP of quality {quality}"
    return encoded, f"{size}, {stored}; PSNR is of the unreduced renders."


def _smaller(picture: Picture, longest: int) -> Picture:
    """A picture whose longer side is at most `longest`."""
    from PIL import Image

    height, width = picture.shape[:2]
    share = longest / max(height, width)
    if share >= 1:
        return picture
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def _uri(picture: Picture, quality: int | None) -> str:
    """A data URI of WebP; None: without loss."""
    from PIL import Image

    options: dict[str, Any] = {"lossless": True} if quality is None else {"quality": quality}
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", method=4, **options)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
