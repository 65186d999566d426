"""Randomness as a function of (seed, step, ...) and of nothing else.

There is no generator whose state would have to be saved: whatever is drawn in a step comes from a
key mixed from the run's seed, the step and what it is for. A resumed run thus draws what the
uninterrupted one draws.
"""

from __future__ import annotations

from enum import IntEnum

_WORD = (1 << 64) - 1


class Stream(IntEnum):
    """What a random number is for: each has a stream of its own."""

    PIXELS = 1
    BACKGROUND = 2
    JITTER = 3
    NOVEL_RAYS = 4
    GROUP = 5
    STUDENT = 6
    PROBE = 7
    FINETUNE = 8
    TEACHER = 9


def mix(*parts: int) -> int:
    """A well-mixed key in [0, 2^63) of some integers (splitmix64, word by word)."""
    word = 0
    for part in parts:
        word = (word + (part & _WORD) + 0x9E3779B97F4A7C15) & _WORD
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
        word ^= word >> 31
    return word >> 1


def uniform(*parts: int) -> float:
    """A number in [0, 1) from a key."""
    return mix(*parts) / float(1 << 63)
