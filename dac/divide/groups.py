"""How many groups the views of a scene make, where nobody says.

More specialists are better as long as each has enough views to learn from; their number is bounded
by what their weights take (see `dac.conquer.packing`).
"""

from __future__ import annotations

VIEWS_A_GROUP = 20
FEW_VIEWS = 10  # a group of fewer is below what was tried
MOST_GROUPS = 8


def groups_for(views: int) -> int:
    """K for so many training views: some `VIEWS_A_GROUP` a group, from 2 to `MOST_GROUPS`."""
    return min(MOST_GROUPS, max(2, views // VIEWS_A_GROUP))
