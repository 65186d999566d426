"""`K: auto`: the number of groups follows the data.

It stands in the results' paths, so it has to be known before anything runs; the views that will
train are counted as `dac new` counts them.
"""

from __future__ import annotations

from pathlib import Path

from dac.configuration import ResolvedScene
from dac.divide.groups import groups_for
from dac.scenes.recognise import recognise
from dac.scenes.splits import HOLD


def choose_groups(scene: ResolvedScene) -> int:
    """K for a scene's data set.

    Raises:
        UserError: it isn't there, or can't be read.
    """
    return groups_for(training_views(scene))


def training_views(scene: ResolvedScene) -> int:
    """How many there will be; where `scene.split` is another than the data set's, about.

    Raises:
        UserError: as `choose_groups`.
    """
    if scene.scene.split == "farthest-point":
        return scene.scene.train_views
    if scene.format == "blend":
        return scene.render.train_views
    if scene.format == "video":
        return scene.video.frames - -(-scene.video.frames // HOLD)
    return recognise(Path(scene.path), scene.format).train
