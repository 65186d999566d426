"""The files that jobs read: what a user brings along, and what stands in their place once made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from dac.configuration import Configuration, ResolvedScene
from dac.runs import Run
from dac.scenes.photos.blend import chunks_of
from dac.settings import GRAPH_DIVISIONS
from dac.storage.files import files_under
from dac.workflow.layout import (
    COVISIBILITY,
    FRAME_LIST,
    FRAME_PHOTOS,
    RENDERED,
    SFM_MODEL,
    VIEW_FILES,
    VIEW_FOLDERS,
    VIEWS,
)

DATA_SUFFIXES = {".png", ".jpg", ".jpeg", ".json", ".txt", ".bin"}


def data_set(configuration: Configuration, scene: ResolvedScene) -> dict[str, str]:
    """Where a scene's images lie, and in what format: a .blend file's and a video's are made."""
    if scene.format == "blend":
        return {"path": configuration.path(VIEWS, scene=scene.name), "format": "blender"}
    if scene.format == "video":
        return {"path": configuration.path(FRAME_PHOTOS, scene=scene.name), "format": "photos"}
    return {"path": scene.path, "format": scene.format}


def data_files(configuration: Configuration, scene: ResolvedScene) -> list[str]:
    """Images, poses and models of a scene, and the files that its settings name."""
    made = {"blend": (*VIEW_FILES, *VIEW_FOLDERS), "video": (FRAME_LIST, FRAME_PHOTOS)}
    if scene.format not in made:
        return given_files(scene)
    files = [configuration.path(file, scene=scene.name) for file in made[scene.format]]
    return files + _named_files(scene)


def given_files(scene: ResolvedScene) -> list[str]:
    """Files that are there before anything runs: as `data_files`, or a .blend file or a video."""
    return sorted({*_files_below([scene.path]), *_named_files(scene)})


def _named_files(scene: ResolvedScene) -> list[str]:
    """The files that a scene's settings name."""
    return _files_below([scene.scene.masks, scene.scene.test_list, scene.scene.exclude])


def _files_below(paths: Iterable[str | None]) -> list[str]:
    """Images, poses and models in folders, and files that are named themselves."""
    roots = [Path(path) for path in paths if path is not None]
    files = [file for root in roots for file in files_under(root)]
    chosen = {str(f) for f in files if f in roots or f.suffix.lower() in DATA_SUFFIXES}
    return sorted(chosen)


def rendered(configuration: Configuration, scene: ResolvedScene, name: str) -> list[str]:
    """A file or folder of every chunk of a .blend file's views, in order."""
    return [
        configuration.path(f"{RENDERED}/{name}", scene=scene.name, **vars(chunk))
        for chunk in chunks_of(scene.render)
    ]


def sfm_model(configuration: Configuration, scene: ResolvedScene) -> list[str]:
    """The structure-from-motion model, for scenes that come as photos or a video alone."""
    if scene.format not in ("photos", "video"):
        return []
    return [configuration.path(file, scene=scene.name) for file in SFM_MODEL]


def sparse_model(configuration: Configuration, scene: ResolvedScene) -> list[str]:
    """The COLMAP model that holds a scene's points: found from photos, or brought along."""
    if found := sfm_model(configuration, scene):
        return found
    for folder in (Path(scene.path, "sparse", "0"), Path(scene.path, "sparse"), Path(scene.path)):
        parts = [*folder.glob("cameras.*"), *folder.glob("images.*"), *folder.glob("points3D.*")]
        if parts:
            return sorted(str(part) for part in parts)
    return []


def covisibility_for(
    configuration: Configuration, scene: ResolvedScene, division: str
) -> list[str]:
    """The covisibility matrix, for the divisions that read it."""
    needed = division in GRAPH_DIVISIONS
    return [configuration.path(COVISIBILITY, scene=scene.name)] if needed else []


# --- The runs that a run is made of -------------------------------------------------------------


def builds_on(run: Run, scene: ResolvedScene) -> tuple[Run, ...]:
    """The runs that it goes on from, one after the other."""
    return run.builds_on


def goes_on_from(run: Run, scene: ResolvedScene) -> tuple[Run, ...]:
    """The last of them, whose weights it starts with."""
    return run.builds_on[-1:]


def experts(run: Run, scene: ResolvedScene) -> tuple[Run, ...]:
    """The experts that it is, or learnt from."""
    return run.experts(scene.train.steps)


def generalist(run: Run, scene: ResolvedScene) -> tuple[Run, ...]:
    """The model of all views that it holds beside its experts."""
    return run.generalist


def on_all_views(run: Run) -> dict[str, int]:
    """What a path says of a training on all views.

    Returns:
        steps, those that its schedule spans, and as many times the rays and parameters.
    """
    steps = run.own_steps(0)  # which the path says, whatever an expert's are
    return {
        "steps": steps,
        "horizon": run.horizon or steps,
        "rays": (run.K or 1) if run.kind == "big_batch" else 1,
        "parameters": (run.K or 1) if run.kind == "wide" else 1,
    }


def continued(configuration: Configuration, run: Run, scene: ResolvedScene) -> tuple[Run, ...]:
    """The shorter run that a baseline goes on from; none for most.

    The 2x baseline continues the 1x one where the schedule is constant. The 1x one continues the
    trunk, whose steps are its own first, where specialists grow from that.
    """
    once = scene.train.steps
    if run.kind != "baseline":
        return ()
    if run.steps == once and configuration.settings.specialists_stay:
        trunk = scene.trunk_steps(once)
        first = replace(run, kind="trunk", steps=None, trunk=trunk, horizon=once)
        return (first,) if trunk else ()
    if scene.train.schedule != "constant" or run.steps != 2 * once:
        return ()
    return (replace(run, steps=once),)
