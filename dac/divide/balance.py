"""Holding groups of views to a largest size.

Notation: n views with labels (n,) in [0, K); `cap` is the largest number of views of a group, and
K * cap >= n, so that there is always room.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from dac.divide.communities import Labels


def cap_by_azimuth(phi: NDArray[np.float64], labels: Labels, K: int, cap: int) -> Labels:
    """Shift the boundaries of sectors until none holds more than `cap` views.

    Excess views go to the nearest sector with room (of two, to the emptier): each sector on the way
    hands the view at its border on to the next, so that every sector stays one interval of azimuth.

    Args:
        phi: (n,) azimuths in [0, 2 pi).
        labels: (n,) sectors in the order of azimuth.
        K: number of sectors.
        cap: largest size.

    Returns:
        (n,) new labels.
    """
    order = np.argsort(phi, kind="stable")
    groups = [[int(view) for view in order if labels[view] == sector] for sector in range(K)]
    while True:
        sizes = [len(group) for group in groups]
        full = int(np.argmax(sizes))
        if sizes[full] <= cap:
            break
        hops, _, step = min(
            (hops, sizes[(full + step * hops) % K], -step)
            for hops in range(1, K)
            for step in (1, -1)
            if sizes[(full + step * hops) % K] < cap
        )
        step = -step
        for hop in range(hops):
            source, target = groups[(full + step * hop) % K], groups[(full + step * (hop + 1)) % K]
            if step > 0:
                target.insert(0, source.pop())
            else:
                target.append(source.pop(0))
    capped = np.empty_like(labels)
    for sector, group in enumerate(groups):
        capped[group] = sector
    return capped


def cap_by_links(A: sparse.csr_matrix, labels: Labels, K: int, cap: int) -> Labels:
    """Move the least attached views out of groups that hold more than `cap` views.

    One view at a time goes from an oversized group to a group with room: the pair of view and
    group for which the view's share of links to the new group, less its share of links to the old
    one, is greatest. A view without links moves last.

    Args:
        A: (n, n) covisibility.
        labels: (n,) groups.
        K: number of groups.
        cap: largest size.

    Returns:
        (n,) new labels.
    """
    labels = labels.copy()
    degree = np.asarray(A.sum(axis=1)).ravel()
    share = sparse.csr_matrix(A / np.maximum(degree, 1)[:, None])
    while True:
        sizes = np.bincount(labels, minlength=K)
        over = sizes[labels] > cap
        if not over.any():
            return labels
        views = np.arange(len(labels))
        member = sparse.csr_matrix((np.ones(len(labels)), (views, labels)), (len(labels), K))
        attached = (share @ member).toarray()
        gain = attached - attached[views, labels][:, None]
        gain[degree == 0] = -2.0
        gain[~over] = -np.inf
        gain[:, sizes >= cap] = -np.inf
        view, group = np.unravel_index(int(np.argmax(gain)), gain.shape)
        labels[view] = group
