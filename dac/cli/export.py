"""`dac export`: a trained scene as one file, a cloud, splats, a mesh; its cameras as a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dac.cli.chosen import ModelFile, ModelName, Results, SceneName, choose, choose_source
from dac.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dac.export.cloud import Cloud
    from dac.export.source import Source
    from dac.scenes.points import Points
    from dac.scenes.scene import Scene

app = typer.Typer(
    no_args_is_help=True,
    help="Write a trained scene as a model file, a point cloud, splats or a mesh, and its images "
    "with their cameras as a data set.",
)

_BY = "leave it out, or add --by density"

InData = Annotated[
    bool, typer.Option("--world", help="In the data set's own coordinates, not the scene's.")
]

Views = Annotated[int, typer.Option(min=1, help="Training views that give points, evenly spaced.")]
Resolution = Annotated[
    int, typer.Option(min=8, max=4096, help="Voxels along the box's longest side.")
]
Opacity = Annotated[float, typer.Option(min=0.01, max=1, help="Least accumulation of a pixel.")]


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
    views: Views = 60,
    resolution: Resolution = 400,
    opacity: Opacity = 0.9,
    normals: Annotated[bool, typer.Option("--normals", help="Write normals too.")] = False,
    in_data: InData = False,
    results: Results = None,
    scene: SceneName = None,
    model: ModelName = None,
) -> None:
    """Coloured points where the rays of the training views end."""
    from dac.export.cloud import require_cloud, save_cloud

    require_cloud(out)
    source = choose_source(file, results, scene, model)
    made, what = _cloud(source, views, resolution, opacity)
    save_cloud(made, out, normals, _similarity(source.world_from_data, in_data))
    typer.echo(f"{out}: {what}, {out.stat().st_size / 1e6:.1f} MB")


@app.command()
def splats(
    out: Annotated[Path, typer.Option(help="The Gaussians, *.ply.")],
    file: ModelFile = None,
    views: Views = 60,
    resolution: Resolution = 400,
    opacity: Opacity = 0.9,
    in_data: InData = False,
    results: Results = None,
    scene: SceneName = None,
    model: ModelName = None,
) -> None:
    """The cloud's points as 3D Gaussians, for viewers of Gaussian splatting.

    Each is a disc of the size of a voxel in its point's colour: a quick look, not what an optimiser
    of splats would make.
    """
    from dac.export.splats import require_splats, save_splats

    require_splats(out)
    source = choose_source(file, results, scene, model)
    made, what = _cloud(source, views, resolution, opacity)
    save_splats(made, out, _similarity(source.world_from_data, in_data))
    typer.echo(f"{out}: {what}, as Gaussians, {out.stat().st_size / 1e6:.1f} MB")


@app.command()
def transforms(
    out: Annotated[Path, typer.Option(help="A new folder.")],
    in_data: InData = False,
    results: Results = None,
    scene: SceneName = None,
) -> None:
    """The images that were trained on, and their cameras, as nerfstudio's transforms.json."""
    from dac.export.dataset import write_transforms

    of = _scene(results, scene)
    write_transforms(of, out, _similarity(of.world_from_data, in_data))
    _say_data_set(out, of)


@app.command()
def colmap(
    out: Annotated[Path, typer.Option(help="A new folder.")],
    in_data: InData = False,
    results: Results = None,
    scene: SceneName = None,
) -> None:
    """The images that were trained on, their cameras and the sparse points, as a COLMAP model."""
    from dac.export.dataset import write_colmap

    of = _scene(results, scene)
    points = _points((results or Path("results")) / of.name, of)
    write_colmap(of, points, out, _similarity(of.world_from_data, in_data))
    none = ", no points: dac train --divide finds them"
    _say_data_set(out, of, none if points is None else f", {len(points):,} points")


@app.command()
def mesh(
    out: Annotated[Path, typer.Option(help="The mesh, *.ply or *.glb.")],
    file: ModelFile = None,
    by: Annotated[
        Literal["density", "depth"] | None,
        typer.Option(
            help="What its surface is: a level of the density, or what the training views show.",
            show_default="density of an object in a box, depth of a place",
        ),
    ] = None,
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
    views: Annotated[
        int, typer.Option(min=1, help="Training views whose depths are fused, evenly spaced.")
    ] = 60,
    opacity: Opacity = 0.9,
    components: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Connected pieces that are kept, the largest.",
            show_default="1, by depth 50",
        ),
    ] = None,
    in_data: InData = False,
    results: Results = None,
    scene: SceneName = None,
    model: ModelName = None,
) -> None:
    """A coloured mesh, by marching cubes of the density, or of fused depths."""
    from dac.export.mesh import require_mesh, save_mesh

    require_mesh(out)
    source = choose_source(file, results, scene, model)
    space = source.model.space
    way = by or ("depth" if space.kind == "contraction" else "density")
    if way == "depth" and threshold is not None:
        raise UserError("--threshold", "is a density's, and this mesh is made of depths", _BY)
    if way == "density":
        made, what = _by_density(source, resolution, threshold, components or 1)
    else:
        made, what = _by_depth(source, resolution, views, opacity, components or 50)
    similarity = _similarity(source.world_from_data, in_data)
    save_mesh(made, out, similarity)
    made.apply_transform(similarity)
    low, high = ("(" + ", ".join(f"{v:.3g}" for v in corner) + ")" for corner in made.bounds)
    watertight = "watertight" if made.is_watertight else "not watertight"
    typer.echo(
        f"{out}: {len(made.vertices):,} vertices, {len(made.faces):,} faces, {watertight}, from "
        f"{low} to {high}, {what}, {out.stat().st_size / 1e6:.1f} MB"
    )


def _by_density(
    source: Source, resolution: int, threshold: float | None, components: int
) -> tuple[Any, str]:
    """The mesh of a level of the density, and what to say of it."""
    from dac.export.mesh import default_threshold, field_colour, field_density, make_mesh
    from dac.process.signals import deferred

    net, space = source.model, source.model.space
    level = default_threshold(space.box) if threshold is None else threshold
    density, colour = field_density(net), field_colour(net)
    with deferred() as stop:
        made = make_mesh(density, colour, space.box, resolution, level, components, stop)
    part = " (the central part of an unbounded scene)" if space.kind == "contraction" else ""
    return made, f"density {level:.3g}{part}"


def _by_depth(
    source: Source, resolution: int, views: int, opacity: float, components: int
) -> tuple[Any, str]:
    """The mesh of what views show, and what to say of it."""
    from dac.evaluation.evaluate import scored_views
    from dac.export.fusion import fused_mesh
    from dac.export.video import render_frame
    from dac.process.signals import deferred

    net, cameras, background = source.model, source.training, source.background
    chosen = scored_views(range(len(cameras)), views)
    with deferred() as stop:
        made = fused_mesh(
            lambda view: render_frame(net, cameras, view, background, stop),
            cameras,
            chosen,
            net.space,
            resolution,
            opacity,
            components,
            stop,
        )
    return made, f"depths of {len(chosen)} views"


def _cloud(source: Source, views: int, resolution: int, opacity: float) -> tuple[Cloud, str]:
    """The points of a source's training views, and what to say of them."""
    from dac.evaluation.evaluate import scored_views
    from dac.export.cloud import make_cloud
    from dac.export.video import render_frame
    from dac.process.signals import deferred

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
    what = f"{len(made.points):,} points of {len(chosen)} views, voxels of {voxel:.3g}"
    return made, what + (" at the middle" if net.space.kind == "contraction" else "")


def _points(folder: Path, scene: Scene) -> Points | None:
    """A scene's sparse points, or those of its structure from motion; None if it has none."""
    from dac.scenes.formats.colmap_model import read_model
    from dac.scenes.points import Points, points_from_model

    if (folder / "points" / "points.npz").is_file():
        return Points.load(folder / "points" / "points.npz")
    if (folder / "sfm" / "points3D.bin").is_file():
        return points_from_model(read_model(folder / "sfm"), scene)
    return None


def _scene(results: Path | None, scene: str | None) -> Scene:
    """The scene that the options mean."""
    from dac.catalogue import choose_scene
    from dac.scenes.scene import Scene

    results = results or Path("results")
    return Scene.load(results / choose_scene(results, scene) / "scene")


def _say_data_set(out: Path, scene: Scene, more: str = "") -> None:
    cameras = scene.cameras
    masks = "" if scene.masks is None else "; its masks are not written"
    typer.echo(
        f"{out}: {len(cameras)} images of {cameras.width} x {cameras.height}, "
        f"{len(scene.train)} to train on, {len(scene.test)} to test on{more}{masks}"
    )


def _longest_side(box: tuple[tuple[float, float, float], tuple[float, float, float]]) -> float:
    return max(high - low for low, high in zip(*box, strict=True))


def _similarity(world_from_data: NDArray[np.float64], in_data: bool) -> NDArray[np.float64]:
    """From the scene's world to the coordinates that are written."""
    import numpy as np

    return np.array(np.linalg.inv(world_from_data) if in_data else np.eye(4), np.float64)
