"""Micro-batches: a batch in parts, one after another, where memory does not hold it whole.

Every term of a loss is a mean over the batch's rays or does not depend on them. So the gradients of
the parts' terms, each weighted by its part's share of the rays, add up to the whole batch's; and as
rays keep their number in the batch, by which their samples are jittered, the sum differs from it by
rounding alone.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple


class Part(NamedTuple):
    """The rays [first, end) of a batch of `of` rays."""

    first: int
    end: int
    of: int

    @property
    def rays(self) -> slice:
        """Which ones they are."""
        return slice(self.first, self.end)

    @property
    def share(self) -> float:
        """Of the batch's rays."""
        return (self.end - self.first) / self.of


def split(rays: int, count: int) -> tuple[Part, ...]:
    """A batch in so many parts, or as many as it has rays."""
    count = min(count, rays)
    cuts = [rays * place // count for place in range(count + 1)]
    return tuple(Part(*ends, rays) for ends in pairwise(cuts))
