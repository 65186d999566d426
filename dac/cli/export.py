"""`dac export`: a trained scene as one file, as a point cloud, as a mesh."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dac.cli.chosen import ModelFile, ModelName, Results, SceneName, choose, choose_source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

app = typer.Typer(
    no_args_is_help=True, help="Write a trained scene as a model file, a point cloud or a mesh."
)

InData = Annotated[
    bool, typer.Option("--world", help="In the data set's own coordinates, not the scene's.")
]


@app.command()
def model(
    out: Annotated[Path, typer.Option(help="The file, *.safetensors.")],
    card: Annotated[
        Path | None, typer.Option(help="The model card; default: beside the file, *.md.")
    ] = None,
    results: Results = None,
    scene: SceneName = None,
    model: ModelName = None,
) -> None:
    """One file with all that rendering takes, for dac.load, and its model card."""
    from dac.export.publish import export_model

    of, trained = choose(results, scene, model)
    card = out.with_suffix(".md") if card is None else card
    written = export_model(of, trained, out, card)
    score = "" if written.about.psnr is None else f", test PSNR {written.about.psnr:.2f} dB"
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB{score}; its card: {card}")


@app.command()
def cloud(
    out: Annotated[Path, typer.Option(help="The point cloud, *.ply.")],
    file: ModelFile = None,
    views: Annotated[
        int, typer.Option(min=1, help="Training views that give points, evenly spaced.")
    ] = 60,
    resolution: Annotated[
        int, typer.Option(min=8, max=4096, help="Voxels along the box's longest side.")
    ] = 400,
    opacity: Annotated[
        float, typer.Option(min=0.01, max=1, help="Least accumulation of a pixel.")
    ] = 0.9,
    normals: Annotated[bool, typer.Option("--normals", help="Write normals too.")] = False,
    in_data: InData = False,
    results: Results = None,
    scene: SceneName = None,
    model: ModelName = None,
) -> None:
    """Coloured points where the rays of the training views end."""
    from dac.evaluation.evaluate import scored_views
    from dac.export.cloud import make_cloud, require_cloud, save_cloud
    from dac.export.video import render_frame
    from dac.process.signals import deferred

    require_cloud(out)
    source = choose_source(file, results, scene, model)
    net, cameras, background = source.model, source.training, source.background
    voxel = _longest_side(net.space.box) / resolution
    chosen = scored_views(range(len(cameras)), views)
    with deferred() as stop:
        made = make_cloud(
            lambda view: render_frame(net, cameras, view, background, stop),
            cameras,
            chosen,
            background,
            net.space,
            voxel,
            opacity,
        )
        save_cloud(made, out, normals, _similarity(source.world_from_data, in_data))
    typer.echo(
        f"{out}: {len(made.points):,} points of {len(chosen)} views, voxels of {voxel:.3g}"
        f"{_part(net.space.kind)}, {out.stat().st_size / 1e6:.1f} MB"
    )


@app.command()
def mesh(
    out: Annotated[Path, typer.Option(help="The mesh, *.ply or *.glb.")],
    file: ModelFile = None,
    resolution: Annotated[
        int, typer.Option(min=8, max=768, help="Cubes along the box's longest side.")
    ] = 256,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=1e-6,
            help="Density at the surface, in 1 / scene unit; default: where 1 % of the box's "
            "diagonal lets half the light pass.",
        ),
    ] = None,
    components: Annotated[
        int, typer.Option(min=1, help="Connected pieces that are kept, the largest.")
    ] = 1,
    in_data: InData = False,
    results: Results = None,
    scene: SceneName = None,
    model: ModelName = None,
) -> None:
    """A coloured mesh of the density, by marching cubes."""
    from dac.export.mesh import (
        default_threshold,
        field_colour,
        field_density,
        make_mesh,
        require_mesh,
        save_mesh,
    )
    from dac.process.signals import deferred

    require_mesh(out)
    source = choose_source(file, results, scene, model)
    net, space = source.model, source.model.space
    level = default_threshold(space.box) if threshold is None else threshold
    density, colour = field_density(net), field_colour(net)
    with deferred() as stop:
        made = make_mesh(density, colour, space.box, resolution, level, components, stop)
        similarity = _similarity(source.world_from_data, in_data)
        save_mesh(made, out, similarity)
    made.apply_transform(similarity)
    low, high = ("(" + ", ".join(f"{v:.3g}" for v in corner) + ")" for corner in made.bounds)
    watertight = "watertight" if made.is_watertight else "not watertight"
    typer.echo(
        f"{out}: {len(made.vertices):,} vertices, {len(made.faces):,} faces, {watertight}, from "
        f"{low} to {high}{_part(space.kind)}, density {level:.3g}, "
        f"{out.stat().st_size / 1e6:.1f} MB"
    )


def _longest_side(box: tuple[tuple[float, float, float], tuple[float, float, float]]) -> float:
    return max(high - low for low, high in zip(*box, strict=True))


def _similarity(world_from_data: NDArray[np.float64], in_data: bool) -> NDArray[np.float64]:
    """From the scene's world to the coordinates that are written."""
    import numpy as np

    return np.array(np.linalg.inv(world_from_data) if in_data else np.eye(4), np.float64)


def _part(kind: str) -> str:
    """What is said of a scene that goes on outside of the box."""
    return " (the central part of an unbounded scene)" if kind == "contraction" else ""
