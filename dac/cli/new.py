"""`dac new`: look at a data set, and write the configuration of a scene."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dac.catalogue import RESERVED
from dac.cli.sizes import BOXED, SIZES, Size, Sizes
from dac.errors import UserError
from dac.settings import Division, Format

if TYPE_CHECKING:
    from dac.scenes.recognise import Found

DEFAULT_CONFIG = Path("config/config.yaml")
VIEWS_A_GROUP = 20
FEWEST_VIEWS_A_GROUP = 4  # the default of divide.minimum_views
MOST_GROUPS = 4
_CAMERAS = {
    "photos": "none yet; structure from motion finds them from the photos.",
    "video": "none yet; structure from motion finds them from the frames.",
    "blend": "spread over the upper hemisphere.",
}
_DIVISIONS: dict[Division, str] = {
    "azimuth": "sectors around the object, which is in the middle",
    "azimuth-quantile": "sectors around the object, of equally many views",
    "azimuth-overlap": "overlapping sectors around the object",
    "louvain": "communities of views that see the same points, for a real place",
    "spectral": "clusters of views that see the same points, for a real place",
    "random": "a control: groups that mean nothing",
    "single": "a control: one group of all views",
}


@dataclass(frozen=True)
class Plan:
    """What the configuration of a scene will say, and why.

    Attributes:
        scene: its name.
        found: its data set.
        size: the name of its sizes.
        downscale: by which images are reduced.
        division, K: how the views are divided, into how many groups.
        why_division, why_groups: clauses.
        blender: the program that renders a `.blend` file; None for the one on the PATH.
    """

    scene: str
    found: Found
    size: Size
    downscale: int
    division: Division
    K: int
    why_division: str
    why_groups: str
    blender: str | None = None

    @property
    def sizes(self) -> Sizes:
        return SIZES[self.size]

    @property
    def results(self) -> str:
        return f"results/{self.scene}"


def new(
    scene: Annotated[
        str, typer.Argument(help="A name for it: letters, digits, underscores, e.g. garden.")
    ],
    path: Annotated[
        Path,
        typer.Argument(
            help="What you have: a folder of photos, a video, a .blend file, or a folder in the "
            "layout of COLMAP, nerfstudio or instant-ngp (transforms.json), Blender or "
            "NeRF-synthetic (transforms_train.json), NeRF++ or NSVF."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The file to write.", show_default="config/SCENE.yaml")
    ] = None,
    division: Annotated[
        Division | None,
        typer.Option(
            help="How the views are divided into groups.",
            show_default="azimuth for an object that was made in Blender, louvain for a real place",
        ),
    ] = None,
    K: Annotated[
        int | None,
        typer.Option(
            "--K",
            min=1,
            max=1000,
            help="Groups, and experts. More of them learn side by side, from fewer views each.",
            show_default=f"2 to {MOST_GROUPS}, with some {VIEWS_A_GROUP} training views a group",
        ),
    ] = None,
    size: Annotated[
        Size,
        typer.Option(
            help="Of images, model and training: `small` for a few CPU cores (on two of them 15 to "
            "30 minutes), `paper` for a GPU.",
        ),
    ] = "small",
    format: Annotated[
        Format | None,
        typer.Option(
            help="What the data set is, where that can't be told from its files: `photos` takes "
            "the images of any, and finds new cameras for them.",
            show_default="found out",
        ),
    ] = None,
    blender: Annotated[
        str | None,
        typer.Option(
            help="Blender, or a Python that has bpy; for a .blend file alone.",
            show_default="blender on the PATH",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a scene's configuration from your data.

    One command trains it then. Nothing is trained yet, and the data are only read. What was found
    and decided is said in plain sentences and stands in the file, whose lines you may change;
    docs/settings.md knows them all. Run it in the project's folder: paths in the file are relative
    to that.

      dac new garden data/garden            a folder of photos

      dac new chair data/chair.blend        rendered first

      dac new fox data/fox --K 2            two experts
    """
    out = out or Path("config") / f"{scene}.yaml"
    _refuse(scene, out, force)
    from dac.scenes.recognise import recognise

    found = recognise(path, format)
    program = _blender(blender) if found.format == "blend" else None
    plan = _plan(scene, found, size, division, K, program)
    _write(plan, out)
    for sentence in _sentences(plan, path):
        print(sentence)
    print(f"\nWrote {out}. Next, to see what would run, to run it, and to look on:\n")
    snakemake = f"{_program('snakemake')} --cores all --configfile {out}"
    dac = _program("dac")
    print(f"  {snakemake} -n\n  {snakemake}\n  {dac} status {plan.results}")
    print(f"\nand once it is done:\n\n  {dac} report {plan.results}\n  {dac} view {plan.results}")


def _refuse(scene: str, out: Path, force: bool) -> None:
    """Refuse a name that no scene can have, a folder that is no project, a file that is there."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_]{0,63}", scene):
        proposal = re.sub(r"[^A-Za-z0-9]+", "_", scene).strip("_")[:64]
        what = (
            "is no name for a scene: up to 64 letters, digits and underscores, no underscore first"
        )
        raise UserError(scene or "SCENE", what, f"try {proposal}" if proposal else "")
    if scene in RESERVED:
        what = f"is no name for a scene: results have folders {', '.join(RESERVED)}"
        raise UserError(scene, what, f"try {scene}_scene")
    if not (Path("Snakefile").is_file() and DEFAULT_CONFIG.is_file()):
        fix = "go to the project's folder (cd) first"
        raise UserError(Path.cwd(), f"holds no Snakefile with {DEFAULT_CONFIG}", fix)
    if out.is_dir():
        raise UserError(out, "is a folder", "name a file with --out")
    if out.exists() and (not force or out.samefile(DEFAULT_CONFIG)):
        fix = "choose another name, name another file with --out"
        replace = "" if out.samefile(DEFAULT_CONFIG) else ", or replace it with --force"
        raise UserError(out, "exists already", fix + replace)


def _blender(asked: str | None) -> str | None:
    """The program to write down; None if Blender is where settings expect it.

    Raises:
        UserError: it is not there.
    """
    if shutil.which(asked or "blender") is None:
        what = f"{asked} is no program" if asked else "no Blender on the PATH, to render the views"
        raise UserError("blender", what, "name it, e.g. --blender /opt/blender/blender")
    return asked


def _plan(
    scene: str,
    found: Found,
    size: Size,
    division: Division | None,
    K: int | None,
    blender: str | None,
) -> Plan:
    """Decide what was not asked for.

    Raises:
        UserError: too few views for two groups, or for as many as asked for.
    """
    if division is None:
        division = "azimuth" if found.format in BOXED else "louvain"
    if K is None:
        K, why_groups = _groups(found.train, division)
    else:
        why_groups = f"as you asked; about {found.train // K} training views a group"
    if found.train < K * FEWEST_VIEWS_A_GROUP:
        what = f"{found.train} training views are too few for {K} groups"
        raise UserError(found.path, what, f"a group needs at least {FEWEST_VIEWS_A_GROUP}")
    longest = max(found.size or (0,))
    downscale = max(1, math.ceil(longest / SIZES[size].longest_side))
    return Plan(
        scene, found, size, downscale, division, K, _DIVISIONS[division], why_groups, blender
    )


def _groups(train: int, division: Division) -> tuple[int, str]:
    """K and why."""
    if division == "single":
        return 1, "since that is what a single group means"
    K = min(MOST_GROUPS, max(2, train // VIEWS_A_GROUP))
    each = train // K
    if each < VIEWS_A_GROUP:
        return K, f"the fewest, though {each} views a group are few: more images would help"
    limit = f", {MOST_GROUPS} groups at most unless you say --K" if K == MOST_GROUPS else ""
    return K, f"about {each} training views a group (some {VIEWS_A_GROUP} at least){limit}"


def _sentences(plan: Plan, path: Path) -> Iterator[str]:
    """What was found, and what will be done."""
    found = plan.found
    yield f"{path} is {found.kind}: format {found.format}."
    yield f"Images: {_images(found)}."
    yield from found.remarks
    yield f"Cameras: {_CAMERAS.get(found.format, 'they came with the images.')}"
    yield f"Pixels: {_pixels(plan)}"
    yield f"Training: {_training(plan)}"
    yield f"Division: {plan.division}: {plan.why_division}."
    yield f"K = {plan.K}: {plan.why_groups}."
    yield (
        f"Results: {plan.results}/, a folder of their own, so that no other scene's tables are "
        "replaced."
    )


def _images(found: Found) -> str:
    parts = f"{found.train} to train on, {found.test} to test on"
    count = found.train + found.test
    if found.size is None:
        return f"none yet; views are rendered first: {parts}"
    if found.format == "video":
        return f"none yet; about {count} sharp frames are taken out of the video first: {parts}"
    alpha = "with" if found.alpha else "without"
    return f"{count} of {_text(found.size)} pixels, {alpha} alpha: {parts}"


def _pixels(plan: Plan) -> str:
    if plan.found.format == "blend":
        render = plan.sizes.render
        return f"{render.size} x {render.size}, rendered with {render.samples} samples each."
    assert plan.found.size is not None
    if plan.downscale == 1:
        return f"as they are; at most {plan.sizes.longest_side} a side suit {plan.sizes.suits}."
    small = (plan.found.size[0] // plan.downscale, plan.found.size[1] // plan.downscale)
    return (
        f"reduced by {plan.downscale} to {_text(small)}, since at most {plan.sizes.longest_side} a "
        f"side suit {plan.sizes.suits}."
    )


def _training(plan: Plan) -> str:
    """Steps and rays, and what else there is."""
    train = plan.sizes.sections(plan.found.format)["train"]
    others = [
        f"--size {name} is for {sizes.suits}" for name, sizes in SIZES.items() if name != plan.size
    ]
    return (
        f"{plan.size}: {train['steps']:,} steps of {train['rays']:,} rays, for "
        f"{plan.sizes.suits}; {', '.join(others)}."
    )


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _write(plan: Plan, out: Path) -> None:
    """Write the file; it appears only if the workflow would take it.

    Raises:
        UserError: it would not; the disk.
    """
    from dac.settings import merge, parse, read_yaml
    from dac.storage.artifacts import write_file

    def write(temporary: Path) -> None:
        temporary.write_text(_overlay(plan, out), encoding="utf-8")
        parse(merge(read_yaml(DEFAULT_CONFIG), read_yaml(temporary)), str(out))

    write_file(out, write)


def _overlay(plan: Plan, out: Path) -> str:
    """The file's text."""
    found = plan.found
    lines = [
        f"# {plan.scene}: {found.kind}. Written by `dac new`.",
        "#",
        f"#   snakemake --cores all --configfile {out}",
        "#",
        "# Paths are relative to the project's folder. The rest is as config/config.yaml has it;",
        "# docs/settings.md knows every key.",
        f"results: {_scalar(plan.results)}",
        "scenes:",
        f"  - name: {_scalar(plan.scene)}",
        f"    path: {_scalar(str(found.path))}",
        f"    format: {found.format}",
        f"    division: {plan.division}  # {plan.why_division}",
        f"    K: {plan.K}  # {plan.why_groups}",
    ]
    if plan.downscale > 1:
        lines += ["    settings:", "      scene:", f"        downscale: {plan.downscale}"]
        lines[-1] += f"  # {plan.sizes.longest_side} pixels a side at most"
    if found.format == "blend":
        lines += ["    settings:", "      render:"]
        lines.append(f"        size: {plan.sizes.render.size}")
        lines.append(f"        samples: {plan.sizes.render.samples}")
        if plan.blender:
            lines.append(f"        executable: {_scalar(plan.blender)}")
    lines += ["", f"# Size: {plan.size}, for {plan.sizes.suits}."]
    return "\n".join(lines) + "\n" + _sections(plan)


def _sections(plan: Plan) -> str:
    """The sizes' sections, each key on a line."""
    text = ""
    for name, values in plan.sizes.sections(plan.found.format).items():
        text += f"{name}:\n"
        for key, value in values.items():
            text += f"  {key}: {json.dumps(value)}\n"  # which YAML reads, too
    return text


def _scalar(text: str) -> str:
    """A YAML scalar that is read as this text."""
    import yaml

    return yaml.safe_dump(text, allow_unicode=True, width=math.inf).removesuffix("\n...\n").strip()


def _program(name: str) -> str:
    """How the program beside this Python is called from here."""
    beside = Path(sys.executable).with_name(name)
    on_path = shutil.which(name)
    if not beside.is_file() or (on_path and Path(on_path) == beside):
        return name
    return os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside)
