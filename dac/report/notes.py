"""What keeps numbers from being read as more than they are: every caveat, phrased once.

Tables print them as notes, figures as small print, the page of a scene beside its verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dac.report.text import MISSING, UNSURE, with_interval

SATURATED = 0.6  # dB; the paper's baselines gain 0.1 to 0.6
SPEED = "a comparison is about training speed"

ONE_SEED = "One seed: how much another training would differ is not in the interval."
ONE_VIEW = f"[{MISSING}]: of one test view there is no interval, and no difference is sure."
ORACLE = (
    "Oracle: each test view by its best expert, which only the test view itself can tell: a bound, "
    "not a method."
)


def unsure(what: str) -> str:
    """What the mark of an interval means."""
    return f"{UNSURE} the interval includes zero: {what}"


def of_few(seeds: Iterable[float], views: Iterable[float]) -> list[str]:
    """What is missing where a difference rests on one seed or one view.

    Args:
        seeds, views: of each difference.
    """
    return [ONE_SEED] * (1 in set(seeds)) + [ONE_VIEW] * (1 in set(views))


def in_parentheses(sentences: Sequence[str]) -> list[str]:
    """Caveats under a table."""
    return [f"({sentence})" for sentence in sentences]


# --- Has the baseline stopped learning? -----------------------------------------------------------
# Where twice the steps still give it more than `SATURATED`, methods of unequal steps differ in how
# fast they train, whatever they reach in the end.


def saturation(gain: float) -> str:
    """What the 2x baseline's gain over the 1x, dB, says of all that follows."""
    if gain > SATURATED:
        return f"Not saturated (over {SATURATED} dB): what follows is about speed."
    return f"Nearly saturated (at most {SATURATED} dB)."


def still_learning(scenes: Sequence[str]) -> str:
    """Names the scenes whose 2x baseline gains more."""
    return (
        f"The 2x baseline still gains over {SATURATED} dB, so that rows compare training speed, "
        f"on: {', '.join(scenes)}."
    )


def doubled(gains: Sequence[tuple[str, float, float, float]]) -> str:
    """What twice the steps give the baseline.

    Args:
        gains: scene, and the gain's mean, low and high, dB.
    """
    if not gains:
        return "Without both baselines, nothing says whether they have stopped learning."
    texts = [f"{scene} {with_interval(*gain)}" for scene, *gain in gains]
    fast = [scene for scene, mean, *_ in gains if mean > SATURATED]
    text = f"Twice the steps give the baseline, dB: {', '.join(texts)}."
    return f"{text} Over {SATURATED} dB {SPEED}: {', '.join(fast)}." if fast else text
