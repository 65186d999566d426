"""Test views to compare: truth, a baseline and DaC, chosen by rule.

DaC is the routed model beside the baseline of its path, or else the headline's distilled one beside
the 2x baseline. Ranked by DaC's gain on each view, they are the largest, the smallest and the
quartiles between. Where there is no pair, one model is shown beside the truth, DaC's or the longest
baseline, and its own PSNR ranks. Pictures are of the first seed. They are stored
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
from dac.report.rows import Row
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
        pictures: data URIs of truth and models.
        labels: of the pictures, with PSNR where there is one.
        thumbnail: data URI.
        gain: DaC over the baseline; of one model, its PSNR.
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
        first: the place of the median, which is shown first.
        names: of the baseline and of DaC, or of one model.
        width, height: of the pictures in pixels.
        rule: how the views were chosen, and what was done to the pictures: the caption.
    """

    views: tuple[ComparedView, ...]
    first: int
    names: tuple[str, ...]
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
    """The views to compare; None where there are no pictures.

    Raises:
        UserError: a picture file is damaged.
    """
    rows = _rows(results)
    seeds = sorted(set.intersection(*(set(row.scores) for row in rows)))
    if not seeds:
        return None
    labels = [replace(row.label, seed=seeds[0]) for row in rows]
    folders = [results.evaluations[label] for label in labels]
    if not all((folder / "renders.npy").is_file() for folder in folders):
        return None
    methods = [Renders(folder) for folder in folders]
    chosen = choose(*methods)
    shown = _pictures(results.scene, [name for name, _, _ in chosen], methods)
    encoded, note = _encoded(shown)
    seed = f" (seed {seeds[0]})" if len(rows[-1].runs) > 1 else ""
    names = tuple(_name(row, results) for row in rows)
    by, ends = f"PSNR of {names[-1]}", "highest, the quartiles, and the lowest"
    if len(rows) > 1:
        by = f"DaC’s gain over the {names[0].removeprefix('baseline ')} baseline"
        ends = "largest gain, the quartiles, and the smallest"
    return Comparison(
        views=tuple(
            _view(each, uris, pictures, methods, names)
            for each, uris, pictures in zip(chosen, encoded, shown, strict=True)
        ),
        first=len(chosen) // 2,
        names=names,
        width=shown[0][0].shape[1],
        height=shown[0][0].shape[0],
        rule=f"Chosen by rule, not by eye: ranked by {by} on each of {len(methods[-1].index)} test "
        f"views{seed}, the {ends}. {note}",
    )


def _rows(results: SceneResults) -> list[Row]:
    """The baseline and DaC; or one of them, or another model."""
    ours = results.routed or results.main.dac
    theirs = results.reference(ours)
    pair = [row for row in (theirs, ours) if row is not None]
    return pair or [results.main.twice or results.main.once or results.every.rows[0]]


def _name(row: Row, results: SceneResults) -> str:
    if row is results.routed:
        return "DaC, routed"
    name = one_line(row.label.method)
    return "DaC" if row is results.main.dac else name.replace("baseline-", "baseline ")


def choose(*methods: Renders) -> list[tuple[str, str, float]]:
    """Views at the quartiles, from the best to the worst.

    Args:
        methods: the baseline and ours, whose gain ranks; or one, whose PSNR does.

    Returns:
        For each view its name, its rank in words, and the gain or the PSNR in dB.
    """
    *baseline, ours = methods
    common = common_views(methods)
    gains = {
        name: ours.score(name).psnr - sum(one.score(name).psnr for one in baseline)
        for name in common
    }
    ranked = sorted(gains, key=lambda name: -gains[name])
    last = len(ranked) - 1
    ends = ("largest gain", "smallest gain") if baseline else ("highest", "lowest")
    words = (ends[0], "upper quartile", "median", "lower quartile", ends[1])
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
    """Truth and models (H, W, 3) of each view.

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
    pictures: Sequence[Picture],
    methods: Sequence[Renders],
    names: tuple[str, ...],
) -> ComparedView:
    view, why, gain = chosen
    scores = zip(names, (method.score(view).psnr for method in methods), strict=True)
    return ComparedView(
        name=one_line(view),
        why=why,
        pictures=tuple(uris),
        labels=("truth", *(f"{name}, {psnr:.2f} dB" for name, psnr in scores)),
        thumbnail=_uri(_smaller(pictures[0], _THUMBNAIL), 80),
        gain=f"{signed(gain)} dB" if len(methods) > 1 else f"{gain:.2f} dB",
    )


def _encoded(shown: Sequence[Sequence[Picture]]) -> tuple[list[list[str]], str]:
    """Data URIs of all pictures within the budget, or the coarsest, and a sentence on them."""
    for longest in _LONGEST:
        smaller = [[_smaller(picture, longest) for picture in view] for view in shown]
        height, width = smaller[0][0].shape[:2]
        reduced = smaller[0][0].shape != shown[0][0].shape
        for quality in _QUALITIES:
            encoded = [[_uri(picture, quality) for picture in view] for view in smaller]
            if sum(len(uri) for view in encoded for uri in view) * 3 / 4 <= MOST_BYTES:
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
