"""What is seen when a camera crosses a border: changes from frame to frame, and PSNR on the way.

Notation: F frames of H x W pixels, colours in [0, 1]; the *stretch* of a film is where experts
blend, or the two frames beside a hard switch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dac.divide.poses import pose_distances
from dac.evaluation.metrics import psnr_of_error
from dac.report.statistics import paired

Floats = NDArray[np.float64]
Pictures = NDArray[np.float32]

SMALLEST_CHANGE = 0.5 / 255  # RMS; below it a film stands still, and no share of it means anything
MOST_JUMP = 10.0  # percent over the reference's change
MOST_BELOW = 0.3  # dB, a border's frame below its neighbours
MOST_LOST = 0.1  # dB, away from the views, below the baseline
BESIDE = 3  # frames on either side of a stretch that its own are held against


@dataclass(frozen=True)
class Stretch:
    """Frames `first` to `last` of a film, both included."""

    first: int
    last: int

    @classmethod
    def of(cls, shares: Floats) -> Stretch:
        """Where a film crosses its border: around the change of expert, as long as two blend.

        Args:
            shares: (F, K) of the experts in each frame.

        Raises:
            ValueError: it crosses none.
        """
        switched = np.flatnonzero(np.diff(shares.argmax(axis=1)))
        if not len(switched):
            raise ValueError("the film stays with one expert")
        alone = shares.max(axis=1) == 1
        before, after = np.flatnonzero(alone[: switched[0] + 1]), np.flatnonzero(alone)
        first = int(before[-1]) + 1 if len(before) else 0
        after = after[after > switched[-1]]
        last = int(after[0]) - 1 if len(after) else len(shares) - 1
        if first > last:  # a hard switch
            return cls(last, first)
        return cls(first, last)


def changes(film: Pictures) -> Floats:
    """(F - 1,) root mean square difference of each frame (F, H, W, 3) from the next."""
    squares = [np.square(b - a, dtype=np.float64).mean() for a, b in pairwise(film)]
    changed: Floats = np.sqrt(np.array(squares, np.float64))
    return changed


def excess(ours: Floats, reference: Floats) -> tuple[float, int]:
    """The largest excess of our changes over a reference's, in percent, and after which frame.

    Args:
        ours, reference: (F - 1,) `changes`; where the reference's are below `SMALLEST_CHANGE`, they
            don't count.

    Raises:
        ValueError: the reference stands still throughout.
    """
    moving = np.flatnonzero(reference >= SMALLEST_CHANGE)
    if not len(moving):
        raise ValueError("the reference stands still")
    more = 100 * (ours[moving] / reference[moving] - 1)
    worst = int(np.argmax(more))
    return float(more[worst]), int(moving[worst])


def psnrs(film: Pictures, truth: Pictures) -> Floats:
    """(F,) PSNR of every frame, dB."""
    errors = [np.square(a - b, dtype=np.float64).mean() for a, b in zip(film, truth, strict=True)]
    return np.array([psnr_of_error(float(error)) for error in errors])


def below_neighbours(scores: Floats, stretch: Stretch) -> tuple[float, int]:
    """How far the worst frame of a stretch is below the frames around it, in dB, and which it is.

    Below the mean of the `BESIDE` frames before and as many after the stretch; negative where all
    of its frames are better.
    """
    return _below(scores, stretch, np.full(len(scores), _beside(scores, stretch).mean()))


def below_line(scores: Floats, stretch: Stretch) -> tuple[float, int]:
    """As `below_neighbours`, below the line from the frames before the stretch to those after it.

    Where one side of a border is harder to draw than the other, frames there are below the mean of
    both sides without any dip.
    """
    before, after = _beside(scores, stretch)
    middle = (BESIDE + 1) / 2
    knots = [stretch.first - middle, stretch.last + middle]
    return _below(scores, stretch, np.interp(np.arange(len(scores)), knots, [before, after]))


def _beside(scores: Floats, stretch: Stretch) -> Floats:
    """(2,) mean scores of the frames before and after a stretch."""
    before = scores[max(stretch.first - BESIDE, 0) : stretch.first]
    after = scores[stretch.last + 1 : stretch.last + 1 + BESIDE]
    if not len(before) or not len(after):
        raise ValueError("the film begins or ends in a stretch where experts blend")
    return np.array([before.mean(), after.mean()])


def _below(scores: Floats, stretch: Stretch, level: Floats) -> tuple[float, int]:
    under = (level - scores)[stretch.first : stretch.last + 1]
    worst = int(np.argmax(under))
    return float(under[worst]), stretch.first + worst


def largest_step(scores: Sequence[float] | Floats) -> tuple[float, int]:
    """The largest difference of two consecutive scores, in dB, and after which frame."""
    steps = np.abs(np.diff(scores))
    return float(steps.max()), int(np.argmax(steps))


@dataclass(frozen=True)
class Shot:
    """A film or the away set, rendered; pictures are (F, H, W, 3).

    Attributes:
        poses: (F, 3, 4) in the scene's frame.
        shares: (F, K) of the experts in the routed model's frames, the generalist's left out.
        by: the renders of `routed`, `hard` and `baseline`.
        truth: or None.
    """

    poses: Floats
    shares: Floats
    by: dict[str, Pictures]
    truth: Pictures | None


def film_record(shot: Shot) -> dict[str, Any]:
    """What is to be said of a film, of each way to render it."""
    stretch = Stretch.of(shot.shares)
    reference = changes(shot.by["baseline"] if shot.truth is None else shot.truth)
    single = changes(shot.by["baseline"])
    record: dict[str, Any] = {
        "stretch": asdict(stretch),
        "reference_changes": _rounded(reference, 5),
    }
    for name, film in shot.by.items():
        moves = changes(film)
        more, frame = excess(moves, reference)
        found: dict[str, Any] = {
            "changes": _rounded(moves, 5),
            "excess_percent": round(more, 2),
            "excess_after_frame": frame,
            "excess_over_baseline_percent": round(excess(moves, single)[0], 2),
        }
        if shot.truth is not None:
            scores = psnrs(film, shot.truth)
            found["psnr"] = _rounded(scores, 3)
            found["mean_psnr"] = round(float(scores.mean()), 3)
            for key, (value, at) in {
                "below_neighbours": below_neighbours(scores, stretch),
                "below_line": below_line(scores, stretch),
                "largest_step": largest_step(scores),
            }.items():
                found |= {key: round(value, 3), f"{key}_at_frame": at}
        record[name] = found
    return record


def away_record(shot: Shot, training: Floats) -> dict[str, Any]:
    """Routed and hard against the baseline on views away from the training views (n, 3, 4)."""
    assert shot.truth is not None
    scores = {name: psnrs(views, shot.truth) for name, views in shot.by.items()}
    gain = paired([(scores["routed"] - scores["baseline"])[None]])
    nearest = pose_distances(shot.poses, training).min(axis=1)
    return {
        "psnr": {name: _rounded(values, 3) for name, values in scores.items()},
        "mean_psnr": {name: round(float(values.mean()), 3) for name, values in scores.items()},
        "distance": _rounded(nearest, 4),
        "routed_over_baseline": {key: round(value, 3) for key, value in asdict(gain).items()},
        "worst_view": round(float((scores["routed"] - scores["baseline"]).min()), 3),
        "views_below": int((scores["routed"] < scores["baseline"] - MOST_LOST).sum()),
    }


def _rounded(values: Floats, digits: int) -> list[float]:
    rounded: list[float] = np.round(values, digits).tolist()
    return rounded


def sentences(record: dict[str, Any]) -> list[str]:
    """What the record says, and by how much each threshold is met or missed."""
    said = []
    of = record["reference"]
    for name, film in record["films"].items():
        ways = [film[way] for way in ("routed", "hard", "baseline")]
        more, hard, single = (way["excess_percent"] for way in ways)
        said.append(
            f"{name}: changes up to {more:+.1f} % over the {of}'s (hard switch {hard:+.1f} %, "
            f"baseline {single:+.1f} %): {_judged(MOST_JUMP - more, '%')}"
        )
        if of == "truth":
            for key, words in (("below_neighbours", "neighbours"), ("below_line", "their line")):
                under, hard, single = (way[key] for way in ways)
                said.append(
                    f"{name}: a border's frame {under:+.2f} dB below {words} (hard switch "
                    f"{hard:+.2f}, baseline {single:+.2f}): {_judged(MOST_BELOW - under, 'dB')}"
                )
    if "away" in record:
        away = record["away"]
        gain = away["routed_over_baseline"]
        said.append(
            f"away: routed over baseline {gain['mean']:+.2f} dB [{gain['low']:+.2f}, "
            f"{gain['high']:+.2f}] on {gain['views']} views, the worst {away['worst_view']:+.2f}, "
            f"{away['views_below']} below -{MOST_LOST}: {_judged(gain['mean'] + MOST_LOST, 'dB')}"
        )
    return said


def _judged(spare: float, unit: str) -> str:
    return f"met by {spare:.2f} {unit}" if spare >= 0 else f"missed by {-spare:.2f} {unit}"
